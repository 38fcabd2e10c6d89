// SPDX-License-Identifier: Apache-2.0
#include "controlplane/control_settings.h"

#include <sys/stat.h>

#include <cstdlib>

#include "shared/http/address.h"
#include "shared/transport/address.h"

namespace weir::control {
namespace {

constexpr int64_t kMaxDrainDelayMs = 600'000;
constexpr int64_t kMinBackupEveryMs = 1000;
constexpr int64_t kMaxBackupEveryMs = 365LL * 86'400'000;

const settings::Program& ControlProgram() {
  static const settings::Program program{
      "weir-control",
      "WEIR_CONTROL",
      "keeps flags, models and rollouts, publishes them to nodes and judges what they report",
      {
          {"data_dir", "DIR", "database, key and models"},
          {"listen", "HOST:PORT",
           "the admin API; elsewhere than on loopback with TLS and tokens only; port 0 picks one"},
          {"tls_cert", "FILE", "PEM certificates of the admin API, its own first: https"},
          {"tls_key", "FILE", "PEM key of it; both are read again at SIGHUP"},
          {"require_auth", "", "the admin API asks for a token on loopback too"},
          {"bootstrap_token", "TOKEN", "opens everything, to make the first tokens with", true},
          {"open_metrics", "", "/metrics needs no token"},
          {"cfg_listen", "ADDRESS", "for nodes: what is published"},
          {"session_listen", "ADDRESS", "for nodes: requests and answers"},
          {"telemetry_listen", "ADDRESS", "for nodes: what they count"},
          {"rotation_cfg_listen", "ADDRESS", "the same while the server's key is rotated"},
          {"rotation_session_listen", "ADDRESS", "without them, another port of the same host"},
          {"rotation_telemetry_listen", "ADDRESS", "that is free"},
          {"resources", "DIR", "files to apply at the start and whenever they change"},
          {"require_token", "", "nodes of this machine need an enrolment token too"},
          {"gate_commands", "PATHS",
           "files and folders whose programs gates may run; none without"},
          {"backup_dir", "DIR", "gets a backup every so often; none are made without"},
          {"backup_every", "DURATION", "between two of them"},
          {"backup_keep", "N", "the newest so many stay; 0: all"},
          {"backup_keep_for", "DURATION", "older ones go, but for the newest; 0s: never"},
          {"drain_delay", "DURATION", "unready for so long before SIGTERM stops the program"},
          {"log_level", "LEVELS", "such as info,publish=debug"},
          {"log_format", "FORMAT", "text or json"},
          {"pid_file", "FILE", "gets the process id"},
          {"ready_file", "FILE", "gets {pid, api, cfg, session, telemetry} once all is served"},
      },
      {"weir-control --data-dir /var/lib/weir --resources /etc/weir/resources",
       "weir-control --listen 127.0.0.1:0 --ready-file /run/weir/control",
       "weir-control --listen :7080 --tls-cert cert.pem --tls-key key.pem "
       "--bootstrap-token-file first.token"}};
  return program;
}

std::string DefaultDataDir() {
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state == '/')
    return std::string(state) + "/weir";
  const char* home = std::getenv("HOME");
  return home == nullptr ? "" : std::string(home) + "/.local/state/weir";
}

constexpr size_t kMinBootstrapToken = 16;  // characters

bool IsLoopbackHost(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

Status Check(const ControlSettings& settings) {
  if (settings.data_dir.empty())
    return InvalidArgument("data_dir", "is not given, and there is no HOME");
  const auto api = http::ParseAddress(settings.listen);
  if (!api.ok()) return InvalidArgument("listen", api.status().message());
  if (settings.tls_cert.empty() != settings.tls_key.empty()) {
    return settings.tls_key.empty()
               ? InvalidArgument("tls_cert", "needs tls_key, the certificate's key, too")
               : InvalidArgument("tls_key", "needs tls_cert, the key's certificate, too");
  }
  if (!IsLoopbackHost(api->host) && settings.tls_cert.empty()) {
    return InvalidArgument("listen", settings.listen +
                                         " is not on loopback: tokens would pass in the clear; "
                                         "give --tls-cert and --tls-key, or put a proxy that "
                                         "speaks https before 127.0.0.1");
  }
  if (!settings.bootstrap_token.empty() && settings.bootstrap_token.size() < kMinBootstrapToken)
    return InvalidArgument("bootstrap_token", "is shorter than 16 characters");
  const std::pair<const char*, const std::string&> channels[] = {
      {"cfg_listen", settings.cfg_listen},
      {"session_listen", settings.session_listen},
      {"telemetry_listen", settings.telemetry_listen}};
  const std::pair<const char*, const std::string&> rotation[] = {
      {"rotation_cfg_listen", settings.rotation_cfg_listen},
      {"rotation_session_listen", settings.rotation_session_listen},
      {"rotation_telemetry_listen", settings.rotation_telemetry_listen}};
  for (const auto& [name, text] : rotation) {
    if (text.empty()) continue;
    const auto address = transport::ZmqAddress(text);
    if (!address.ok()) return InvalidArgument(name, address.status().message());
  }
  for (const auto& [name, text] : channels) {
    const auto address = transport::ZmqAddress(text);
    if (!address.ok()) return InvalidArgument(name, address.status().message());
  }
  struct stat found {};
  if (!settings.resources.empty() &&
      (::stat(settings.resources.c_str(), &found) != 0 || !S_ISDIR(found.st_mode)))
    return InvalidArgument("resources", settings.resources + " is not a directory");
  for (const std::string& path : settings.gate_commands) {
    if (!path.starts_with('/'))
      return InvalidArgument("gate_commands", "\"" + path + "\" is not an absolute path");
    if (::stat(path.c_str(), &found) != 0)
      return InvalidArgument("gate_commands", path + " does not exist");
  }
  if (settings.drain_delay.ms < 0 || settings.drain_delay.ms > kMaxDrainDelayMs)
    return InvalidArgument("drain_delay", "is not in 0s..10m");
  if (settings.backup_every.ms < kMinBackupEveryMs || settings.backup_every.ms > kMaxBackupEveryMs)
    return InvalidArgument("backup_every", "is not in 1s..365d");
  if (settings.backup_keep_for.ms < 0) return InvalidArgument("backup_keep_for", "is below 0s");
  if (settings.log_format != "text" && settings.log_format != "json")
    return InvalidArgument("log_format", "\"" + settings.log_format + "\" is not text or json");
  return OkStatus();
}

}  // namespace

bool RequiresTokens(const ControlSettings& settings) {
  const auto api = http::ParseAddress(settings.listen);
  return settings.require_auth || !api.ok() || !IsLoopbackHost(api->host);
}

Result<settings::Outcome> LoadControlSettings(ControlSettings& settings, int argc, char** argv) {
  settings.data_dir = DefaultDataDir();
  return settings::Load<ControlSettings>(settings, argc, argv, ControlProgram(), Check);
}

}  // namespace weir::control
