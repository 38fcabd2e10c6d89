// SPDX-License-Identifier: Apache-2.0
// The settings of weir-control: flags, WEIR_CONTROL_… and YAML (shared/settings/settings.h).
#pragma once

#include <string>
#include <vector>

#include "shared/base/status.h"
#include "shared/domain/units.h"
#include "shared/settings/settings.h"

namespace weir::control {

struct ControlSettings {
  std::string data_dir;  // after LoadControlSettings never empty
  std::string listen = "127.0.0.1:7080";
  std::string cfg_listen = "127.0.0.1:7081";
  std::string session_listen = "127.0.0.1:7082";
  std::string telemetry_listen = "127.0.0.1:7083";
  // Of the second set of sockets while the server's key is rotated; "": the host of the first, any
  // port.
  std::string rotation_cfg_listen;
  std::string rotation_session_listen;
  std::string rotation_telemetry_listen;
  std::string resources;
  bool require_token = false;
  bool require_auth = false;
  std::string bootstrap_token;
  bool open_metrics = false;
  std::string tls_cert;
  std::string tls_key;
  std::vector<std::string> gate_commands;  // files and folders; empty: gates run no command
  domain::DurationMs drain_delay{0};
  std::string backup_dir;
  domain::DurationMs backup_every{86'400'000};
  uint64_t backup_keep = 7;
  domain::DurationMs backup_keep_for{0};
  std::string log_level = "info";
  std::string log_format = "text";
  std::string pid_file;
  std::string ready_file;
};

template <class V>
void Describe(V& v, ControlSettings& f) {
  v(1, "data_dir", f.data_dir);
  v(2, "listen", f.listen);
  v(3, "cfg_listen", f.cfg_listen);
  v(4, "session_listen", f.session_listen);
  v(5, "telemetry_listen", f.telemetry_listen);
  v(31, "rotation_cfg_listen", f.rotation_cfg_listen);
  v(32, "rotation_session_listen", f.rotation_session_listen);
  v(33, "rotation_telemetry_listen", f.rotation_telemetry_listen);
  v(6, "resources", f.resources);
  v(7, "require_token", f.require_token);
  v(8, "drain_delay", f.drain_delay);
  v(9, "log_level", f.log_level);
  v(10, "log_format", f.log_format);
  v(11, "pid_file", f.pid_file);
  v(12, "ready_file", f.ready_file);
  v(13, "gate_commands", f.gate_commands);
  v(41, "backup_dir", f.backup_dir);
  v(42, "backup_every", f.backup_every);
  v(43, "backup_keep", f.backup_keep);
  v(44, "backup_keep_for", f.backup_keep_for);
  v(14, "require_auth", f.require_auth);
  v(15, "bootstrap_token", f.bootstrap_token);
  v(16, "open_metrics", f.open_metrics);
  v(17, "tls_cert", f.tls_cert);
  v(18, "tls_key", f.tls_key);
}

// Whether who calls the admin API must show a token whatever the catalog says: it is asked for, or
// the API is not on loopback alone.
bool RequiresTokens(const ControlSettings& settings);

Result<settings::Outcome> LoadControlSettings(ControlSettings& settings, int argc, char** argv);

}  // namespace weir::control
