// SPDX-License-Identifier: Apache-2.0
// weir-node: wiring, and nothing else. HTTP serves first, from the last good snapshot if there is
// one; the bus looks for the control plane meanwhile.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/access/token_guard.h"
#include "dataplane/bus/bootstrap.h"
#include "dataplane/bus/bus.h"
#include "dataplane/front/front.h"
#include "dataplane/logging/phase_level.h"
#include "dataplane/node_settings.h"
#include "dataplane/override/break_glass.h"
#include "dataplane/override/layer.h"
#include "dataplane/runtime/loader.h"
#include "dataplane/runtime/remote/remote_runtime.h"
#include "dataplane/runtime/xgboost/xgboost_runtime.h"
#include "shared/base/build_info.h"
#include "shared/base/crash_point.h"
#include "shared/base/log.h"
#include "shared/base/process.h"
#include "shared/base/text.h"
#include "shared/codec/json.h"
#include "shared/http/client.h"
#include "shared/transport/context.h"
#include "shared/transport/keys.h"

namespace weir::node {
namespace {

constexpr int kBadConfiguration = 2;
constexpr int64_t kDrainMs = 10'000;
constexpr int64_t kFinishMs = 3000;
constexpr int64_t kFetchMs = 20'000;

size_t Workers(const NodeSettings& settings) {
  return settings.workers > 0 ? settings.workers
                              : std::max(1u, std::thread::hardware_concurrency());
}

front::FrontOptions MakeFrontOptions(const NodeSettings& settings) {
  front::FrontOptions options;
  options.http.listen = settings.listen;
  options.http.workers = static_cast<int>(Workers(settings));
  options.http.max_body = settings.max_body;
  options.http.max_concurrent_requests = settings.max_concurrent_requests;
  options.http.request_timeout_ms = settings.request_timeout.ms;
  options.ofrep.cors_origins = settings.cors_origins;
  options.ofrep.tokens = settings.ofrep_tokens;
  options.outcome_tokens = settings.outcome_tokens;
  options.require_token = *access::ParseRequired(settings.require_token);  // checked at the start
  options.http.tls_cert_file = settings.tls_cert;
  options.http.tls_key_file = settings.tls_key;
  if (settings.admin_listen != settings.listen) {
    options.admin.emplace();
    options.admin->listen = settings.admin_listen;
    options.admin->tls_cert_file = settings.tls_cert;
    options.admin->tls_key_file = settings.tls_key;
  }
  return options;
}

std::vector<std::shared_ptr<runtime::Runtime>> MakeRuntimes(size_t workers) {
  auto runtimes = runtime::MakeRemoteRuntimes({.workers = workers});
  runtimes.push_back(runtime::MakeXgboostRuntime());
  return runtimes;
}

// Who fetches models, and from where.
struct Fetcher {
  std::vector<std::string> control;
  std::string ca_file;
  std::string node;
  transport::KeyPair keys;
};

// Where tokens are required, a node shows that it holds its key.
Result<http::ClientResponse> GetWithProof(http::Client& client, const Fetcher& fetcher,
                                          const std::string& path) {
  WEIR_ASSIGN_OR_RETURN(const auto bootstrap, client.Do("GET", "/v1/bootstrap"));
  WEIR_ASSIGN_OR_RETURN(const bus::Channels channels, bus::ParseBootstrap(bootstrap.body));
  WEIR_ASSIGN_OR_RETURN(const std::string proof,
                        transport::Prove(fetcher.keys, channels.server_key, "GET " + path));
  return client.Do("GET", path,
                   {{"Authorization", fmt::format("Weir-Node {}.{}", fetcher.node, proof)}});
}

Result<std::string> FetchBlob(const Fetcher& fetcher, const std::string& sha256) {
  Status last = Unavailable("no control plane is configured");
  const std::string path = "/v1/blobs/" + sha256;
  for (const std::string& url : fetcher.control) {
    http::ClientOptions options;
    options.timeout_ms = kFetchMs;
    options.ca_file = fetcher.ca_file;
    http::Client client(url, options);
    auto answer = client.Do("GET", path);
    if (answer.ok() && answer->status == 401) answer = GetWithProof(client, fetcher, path);
    if (answer.ok() && answer->status == 200) return std::move(answer->body);
    if (!answer.ok()) {
      last = answer.status();
    } else if (answer->status == 404) {
      last = NotFound(fmt::format("{} has no blob {}", url, sha256));
    } else {
      last = Unavailable(fmt::format("{}: blob {}: {}", url, sha256, answer->status));
    }
  }
  return last;
}

std::vector<wire::VersionReport> ToReports(const runtime::VersionTable& table) {
  std::vector<wire::VersionReport> reports;
  for (const runtime::VersionStatus& status : table.statuses()) {
    reports.push_back(
        {status.model, status.version, runtime::StateName(status.state), status.detail});
  }
  return reports;
}

// Everything that runs, in the order in which it is started.
class Node {
 public:
  Node(const NodeSettings& settings, std::string id, transport::KeyPair keys)
      : settings_(settings),
        id_(std::move(id)),
        keys_(std::move(keys)),
        layer_(MakeLayerOptions(settings), MakeLayerHooks()),
        break_glass_(layer_, settings.break_glass_token),
        front_(WithBreakGlass(MakeFrontOptions(settings))) {}

  Status Start() {
    WEIR_RETURN_IF_ERROR(layer_.Load());
    front_.SetEpisodeListener(
        [this](const wire::Episode& episode) { bus_->ReportEpisode(episode); });
    WEIR_RETURN_IF_ERROR(front_.Start());
    runtime::LoaderOptions options;
    options.cache_dir = settings_.cache_dir;
    options.node = id_;
    loader_ = std::make_unique<runtime::Loader>(
        MakeRuntimes(Workers(settings_)),
        [fetcher = Fetcher{settings_.control, settings_.control_ca_file, id_, keys_}](
            const std::string& sha) { return FetchBlob(fetcher, sha); },
        [this](std::shared_ptr<const runtime::VersionTable> table) {
          // READY is said once every worker answers with it.
          front_.PublishVersions(table, [this, table] { bus_->ReportVersions(ToReports(*table)); });
        },
        options);
    bus_ = std::make_unique<bus::Bus>(context_, MakeBusOptions(), MakeHooks());
    loader_->Start();
    layer_.Start();
    bus_->Start();
    return OkStatus();
  }

  // Unready first, then what is in flight, then what was counted.
  void Stop(const Signals& signals) {
    bus_->SetDraining();
    signals.WaitForStop(settings_.drain_delay.ms);
    front_.Drain(kDrainMs);
    bus_->Finish(kFinishMs);
    loader_->Stop();
    bus_->Stop();
    layer_.Stop();
    front_.Stop();
  }

  // SIGHUP.
  void Reload() {
    layer_.ReloadFile();
    if (settings_.tls_cert.empty()) return;
    const Status status = front_.ReloadCertificate();
    if (status.ok()) {
      Log("node").info("certificate and key were read again: {}", settings_.tls_cert);
    } else {
      Log("node").error("the certificate stays as it was: {}", status.ToString());
    }
  }

  std::string http() const { return front_.http_address(); }
  std::string admin() const { return front_.admin_address(); }

 private:
  bus::BusOptions MakeBusOptions() {
    bus::BusOptions options;
    options.join.control = settings_.control;
    options.join.node = id_;
    options.join.token = settings_.enroll_token;
    options.join.ca_file = settings_.control_ca_file;
    options.keys = keys_;
    options.labels = settings_.labels;
    options.incarnation = static_cast<uint64_t>(Clock::System().WallMs());
    options.http = front_.http_address();
    options.admin = front_.admin_address();
    if (!settings_.cache_dir.empty()) {
      options.snapshot_path = settings_.cache_dir + "/snapshot";
      options.cordon_path = settings_.cache_dir + "/cordoned";
      options.trusted_path = settings_.cache_dir + "/server.pub";
    }
    return options;
  }

  static override::LayerOptions MakeLayerOptions(const NodeSettings& settings) {
    override::LayerOptions options;
    options.file = settings.override_file;
    if (!settings.cache_dir.empty()) options.kept = settings.cache_dir + "/override.json";
    return options;
  }

  override::LayerHooks MakeLayerHooks() {
    override::LayerHooks hooks;
    hooks.publish_rules = [this](std::shared_ptr<const decision::Ruleset> rules,
                                 std::function<void()> taken) {
      phase_logging_.Apply(*rules);
      front_.PublishRules(std::move(rules), std::move(taken));
    };
    hooks.publish_episode = [this](const wire::Episode& episode) { bus_->ReportEpisode(episode); };
    hooks.current_at_ms = [this] { return bus_->current_at_ms(); };
    hooks.publish_standing = [this](std::shared_ptr<const override::Standing> standing) {
      bus_->ReportOverrides(standing->sentences);
      front_.PublishOverrides(std::make_shared<const front::OverridesView>(
          front::OverridesView{standing->is_active, standing->sentences, standing->unwatched}));
    };
    return hooks;
  }

  front::FrontOptions WithBreakGlass(front::FrontOptions options) {
    options.break_glass = [this](const http::Request& request,
                                 std::function<void(http::Response)> respond) {
      break_glass_.Handle(request, std::move(respond));
    };
    return options;
  }

  bus::BusHooks MakeHooks() {
    bus::BusHooks hooks;
    hooks.publish_rules = [this](std::shared_ptr<const decision::Ruleset> rules,
                                 std::function<void()> taken) {
      loader_->SetWanted(rules);
      layer_.SetRules(std::move(rules), std::move(taken));
    };
    hooks.collect_telemetry = [this](front::Front::Collected done) {
      front_.CollectTelemetry(std::move(done));
    };
    hooks.activity = [this] {
      const front::Front::Activity activity = front_.activity();
      return bus::Activity{activity.requests, activity.open, ResidentBytes()};
    };
    hooks.publish_status = [this](const bus::BusStatus& status) {
      layer_.SetContact(!status.stale);
      front_.PublishStatus(std::make_shared<const front::NodeStatusView>(
          front::NodeStatusView{id_, status.stale, status.draining, status.control_error,
                                status.current_at_ms, status.pending_batches, status.nacks,
                                status.cordon, status.stored_wall_ms, status.in_step_at_ms}));
    };
    return hooks;
  }

  const NodeSettings& settings_;
  const std::string id_;
  const transport::KeyPair keys_;
  logging::PhaseLogging phase_logging_;  // the layer's thread
  override::Layer layer_;
  override::BreakGlass break_glass_;
  front::Front front_;
  transport::Context context_;
  std::unique_ptr<runtime::Loader> loader_;
  std::unique_ptr<bus::Bus> bus_;
};

int Fail(const Status& status) {
  fmt::print(stderr, "weir-node: {}\n", status.ToString());
  return kBadConfiguration;
}

// SIGHUP: the override file and the certificate are read again; the node's settings are those of
// its start.
void WaitUntilTold(const Signals& signals, const NodeSettings& settings, Node& node) {
  while (signals.Wait() == SIGHUP) {
    if (settings.override_file.empty() && settings.tls_cert.empty()) {
      Log("node").info("SIGHUP: nothing to read again; flags and models come as snapshots");
    }
    node.Reload();
  }
}

int Run(int argc, char** argv) {
  NodeSettings settings;
  auto outcome = LoadNodeSettings(settings, argc, argv);
  if (!outcome.ok()) return Fail(outcome.status());
  if (!outcome->run) return outcome->exit_code;
  const Status logging = InitLogging("weir-node", settings.log_level, settings.log_format);
  if (!logging.ok()) return Fail(logging);
  const Status armed = ArmCrashPoint();
  if (!armed.ok()) return Fail(armed);
  const Signals signals;  // before there are threads
  auto id = NodeId(settings);
  if (!id.ok()) return Fail(id.status());
  auto keys = settings.cache_dir.empty()
                  ? transport::GenerateKeyPair()
                  : transport::LoadOrCreateKeyPair(settings.cache_dir + "/node.key");
  if (!keys.ok()) return Fail(keys.status());

  Node node(settings, *id, *keys);
  const Status started = node.Start();
  if (!started.ok()) return Fail(started);
  const StartFiles files{settings.pid_file, settings.ready_file};
  const codec::Json ready{{"pid", getpid()}, {"http", node.http()}, {"admin", node.admin()}};
  const Status written = files.Write(ready.dump());
  if (written.ok()) {
    Log("node").info("weir-node {} is \"{}\": http {}, admin {}", BuildVersion(), *id, node.http(),
                     node.admin());
    WaitUntilTold(signals, settings, node);
    Log("node").info("stopping");
  }
  node.Stop(signals);
  files.Remove();
  if (!written.ok()) return Fail(written);
  return 0;
}

}  // namespace
}  // namespace weir::node

int main(int argc, char** argv) { return weir::node::Run(argc, argv); }
