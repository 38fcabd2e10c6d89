// SPDX-License-Identifier: Apache-2.0
#include "dataplane/node_settings.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "shared/base/text.h"
#include "shared/http/address.h"

namespace weir::node {
namespace {

constexpr uint64_t kMaxWorkers = 256;
constexpr int64_t kMaxDrainDelayMs = 600'000;
constexpr size_t kMinToken = 16;  // bytes of what opens every flag of a node

const settings::Program& NodeProgram() {
  static const settings::Program program{
      "weir-node",
      "WEIR_NODE",
      "serves inference, decides locally and streams telemetry",
      {
          {"control", "URL[,URL...]", "where the control plane is"},
          {"control_ca_file", "FILE",
           "PEM certificates that a control plane's https must have; none: the system's"},
          {"listen", "HOST:PORT", "for applications; port 0 picks one"},
          {"admin_listen", "HOST:PORT", "for operators; may be the same address"},
          {"tls_cert", "FILE", "PEM certificates of both addresses, the node's first: https"},
          {"tls_key", "FILE", "PEM key of it; both are read again at SIGHUP"},
          {"require_token", "SURFACES",
           "of ofrep, inference, admin: those ask for a token with that scope (weir token create)"},
          {"id", "NAME", "the node's name; by default made once and kept in --cache-dir"},
          {"labels", "KEY=VALUE", "what rollouts select nodes by"},
          {"workers", "N", "threads that serve requests; 0: one per core"},
          {"cache_dir", "DIR",
           "keeps key, last good snapshot and models, to start without control"},
          {"enroll_token", "TOKEN", "lets this node in", true},
          {"override", "FILE", "forces flags, splits and pins here; read again on SIGHUP"},
          {"break_glass_token", "TOKEN", "lets operators override over the admin address", true},
          {"ofrep_tokens", "TOKEN[,TOKEN...]", "who may evaluate flags over OFREP; none: all",
           true},
          {"outcome_tokens", "TOKEN[,TOKEN...]", "who may post outcomes; none: all", true},
          {"cors_origins", "ORIGIN[,ORIGIN...]", "browsers of these may use OFREP; *: all"},
          {"max_body", "BYTES", "of a request"},
          {"max_concurrent_requests", "N", "more are refused; 0: no limit"},
          {"request_timeout", "DURATION", "for a request's answer"},
          {"drain_delay", "DURATION", "unready for so long before SIGTERM stops the node"},
          {"log_level", "LEVELS", "such as info,bus=debug"},
          {"log_format", "FORMAT", "text or json"},
          {"pid_file", "FILE", "gets the process id"},
          {"ready_file", "FILE", "gets {pid, http, admin} once HTTP is served"},
      },
      {"weir-node --control http://127.0.0.1:7080",
       "weir-node --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --ready-file /run/weir/node"}};
  return program;
}

// scheme://host[:port], as browsers send it.
bool IsOrigin(const std::string& text) {
  const size_t scheme = text.find("://");
  if (scheme == std::string::npos || scheme == 0 || scheme + 3 == text.size()) return false;
  return text.find_first_of("/ ,*?#", scheme + 3) == std::string::npos;
}

// Those that access::ParseRequired knows.
Status CheckSurfaces(const std::vector<std::string>& surfaces) {
  static const std::vector<std::string> kSurfaces = {"ofrep", "inference", "admin"};
  for (const std::string& surface : surfaces) {
    if (std::find(kSurfaces.begin(), kSurfaces.end(), surface) != kSurfaces.end()) continue;
    return InvalidArgument("require_token", "\"" + surface + "\" is not one of " +
                                                Join(kSurfaces, ", ") +
                                                DidYouMean(surface, kSurfaces));
  }
  return OkStatus();
}

Status Check(const NodeSettings& settings) {
  if (settings.control.empty()) return InvalidArgument("control", "no address is given");
  for (const char* name : {"listen", "admin_listen"}) {
    const std::string& text = name[0] == 'l' ? settings.listen : settings.admin_listen;
    const auto address = http::ParseAddress(text);
    if (!address.ok()) return InvalidArgument(name, address.status().message());
  }
  if (!settings.id.empty() && !IsResourceName(settings.id)) {
    return InvalidArgument("id", "\"" + settings.id +
                                     "\" is not 1..253 of a-z A-Z 0-9 . _ -, starting with a "
                                     "letter or a digit");
  }
  if (!settings.break_glass_token.empty() && settings.break_glass_token.size() < kMinToken) {
    return InvalidArgument("break_glass_token", "is shorter than 16 characters");
  }
  for (const auto& [name, tokens] : {std::pair("ofrep_tokens", &settings.ofrep_tokens),
                                     std::pair("outcome_tokens", &settings.outcome_tokens)}) {
    for (const std::string& token : *tokens) {
      if (token.empty()) return InvalidArgument(name, "holds an empty token");
    }
  }
  WEIR_RETURN_IF_ERROR(CheckSurfaces(settings.require_token));
  if (settings.tls_cert.empty() != settings.tls_key.empty()) {
    return settings.tls_key.empty()
               ? InvalidArgument("tls_cert", "needs tls_key, the certificate's key, too")
               : InvalidArgument("tls_key", "needs tls_cert, the key's certificate, too");
  }
  for (const std::string& origin : settings.cors_origins) {
    if (origin != "*" && !IsOrigin(origin)) {
      return InvalidArgument("cors_origins", "\"" + origin +
                                                 "\" is not * or scheme://host[:port], such as "
                                                 "https://shop.example");
    }
  }
  if (settings.workers > kMaxWorkers) return InvalidArgument("workers", "is not in 0..256");
  if (settings.max_body == 0) return InvalidArgument("max_body", "is 0");
  if (settings.request_timeout.ms <= 0) {
    return InvalidArgument("request_timeout", "is not above 0");
  }
  if (settings.drain_delay.ms < 0 || settings.drain_delay.ms > kMaxDrainDelayMs) {
    return InvalidArgument("drain_delay", "is not in 0s..10m");
  }
  if (settings.log_format != "text" && settings.log_format != "json") {
    return InvalidArgument("log_format", "\"" + settings.log_format + "\" is not text or json");
  }
  return OkStatus();
}

// The host's name as far as it can stand in a resource's name.
std::string HostName() {
  std::array<char, 200> buffer{};
  if (gethostname(buffer.data(), buffer.size() - 1) != 0) return "node";
  std::string name;
  for (const char* c = buffer.data(); *c != '\0'; ++c) {
    const bool is_plain = std::isalnum(static_cast<unsigned char>(*c)) != 0;
    if (is_plain || (!name.empty() && (*c == '-' || *c == '.'))) name += *c;
  }
  return name.empty() ? "node" : name;
}

}  // namespace

Result<settings::Outcome> LoadNodeSettings(NodeSettings& settings, int argc, char** argv) {
  return settings::Load<NodeSettings>(settings, argc, argv, NodeProgram(), Check);
}

Result<std::string> NodeId(const NodeSettings& settings) {
  if (!settings.cache_dir.empty()) WEIR_RETURN_IF_ERROR(MakeDirectories(settings.cache_dir));
  if (!settings.id.empty()) return settings.id;
  const std::string fresh = HostName() + "-" + RandomHex(3);
  if (settings.cache_dir.empty()) return fresh;
  const std::string path = settings.cache_dir + "/node.id";
  const auto kept = ReadFile(path);
  if (kept.ok()) {
    const std::string id = kept->substr(0, kept->find('\n'));
    if (IsResourceName(id)) return id;
    return DataLoss(path + ": holds no node id");
  }
  if (kept.status().code() != Code::kNotFound) return kept.status();
  WEIR_RETURN_IF_ERROR(WriteFileAtomic(path, fresh + "\n", 0600));
  return fresh;
}

}  // namespace weir::node
