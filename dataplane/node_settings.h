// SPDX-License-Identifier: Apache-2.0
// The settings of weir-node: flags, WEIR_NODE_… and YAML (shared/settings/settings.h).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "shared/base/status.h"
#include "shared/domain/units.h"
#include "shared/settings/settings.h"

namespace weir::node {

struct NodeSettings {
  std::vector<std::string> control{"http://127.0.0.1:7080"};
  std::string listen = "127.0.0.1:8080";
  std::string admin_listen = "127.0.0.1:9090";
  std::string id;
  std::map<std::string, std::string> labels;
  uint64_t workers = 0;  // 0: one per core
  std::string cache_dir;
  std::string enroll_token;
  uint64_t max_body = 8 << 20;
  uint64_t max_concurrent_requests = 0;
  domain::DurationMs request_timeout{60'000};
  domain::DurationMs drain_delay{0};
  std::string log_level = "info";
  std::string log_format = "text";
  std::string pid_file;
  std::string ready_file;
  std::string override_file;
  std::string break_glass_token;
  std::vector<std::string> ofrep_tokens;
  std::vector<std::string> cors_origins;
  std::vector<std::string> outcome_tokens;
  std::vector<std::string> require_token;
  std::string control_ca_file;
  std::string tls_cert;
  std::string tls_key;
};

template <class V>
void Describe(V& v, NodeSettings& f) {
  v(1, "control", f.control);
  v(2, "listen", f.listen);
  v(3, "admin_listen", f.admin_listen);
  v(4, "id", f.id);
  v(5, "labels", f.labels);
  v(6, "workers", f.workers);
  v(7, "cache_dir", f.cache_dir);
  v(8, "enroll_token", f.enroll_token);
  v(9, "max_body", f.max_body);
  v(10, "max_concurrent_requests", f.max_concurrent_requests);
  v(11, "request_timeout", f.request_timeout);
  v(12, "drain_delay", f.drain_delay);
  v(13, "log_level", f.log_level);
  v(14, "log_format", f.log_format);
  v(15, "pid_file", f.pid_file);
  v(16, "ready_file", f.ready_file);
  v(17, "override", f.override_file);
  v(18, "break_glass_token", f.break_glass_token);
  v(19, "ofrep_tokens", f.ofrep_tokens);
  v(20, "cors_origins", f.cors_origins);
  v(21, "outcome_tokens", f.outcome_tokens);
  v(22, "require_token", f.require_token);
  v(23, "control_ca_file", f.control_ca_file);
  v(24, "tls_cert", f.tls_cert);
  v(25, "tls_key", f.tls_key);
}

Result<settings::Outcome> LoadNodeSettings(NodeSettings& settings, int argc, char** argv);

// The configured id, else the one kept in <cache_dir>/node.id, else a new "<hostname>-<6 hex>",
// which is kept there. Makes cache_dir if it does not exist; an error says what cannot be written.
Result<std::string> NodeId(const NodeSettings& settings);

}  // namespace weir::node
