// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include "bench/crowd.h"
#include "bench/process.h"
#include "bench/wire.h"
#include "controlplane/cli/api_client.h"
#include "controlplane/cli/cluster.h"
#include "shared/base/text.h"
#include "shared/codec/json.h"

namespace weir::bench {
namespace {

using codec::Json;

constexpr int64_t kStepMs = 60'000;
constexpr int64_t kSettleMs = 8000;  // heartbeats, beacons, acknowledgements

double NowMs() { return static_cast<double>(Clock::System().MonotonicNs()) / 1e6; }

std::string Bare(const std::string& address) {
  return address.rfind("tcp://", 0) == 0 ? address.substr(6) : address;
}

// One weir-control on loopback, in a directory of its own; keeps its ports.
class ControlPlane {
 public:
  static Result<std::unique_ptr<ControlPlane>> Open() {
    std::unique_ptr<ControlPlane> self(new ControlPlane());
    std::string pattern = (std::filesystem::temp_directory_path() / "weir-bench-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr)
      return Unavailable("cannot make a directory in " + pattern);
    self->dir_ = pattern;
    WEIR_RETURN_IF_ERROR(self->Start());
    return self;
  }
  ~ControlPlane() {
    child_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
  }

  Status Start() {
    const std::string ready = dir_ + "/ready";
    ::unlink(ready.c_str());
    WEIR_ASSIGN_OR_RETURN(
        Child child, Child::Start({control::cli::ProgramDir() + "/weir-control", "--data-dir",
                                   dir_ + "/data", "--ready-file", ready, "--log-level", "warn",
                                   "--listen", api_, "--cfg-listen", cfg_, "--session-listen",
                                   session_, "--telemetry-listen", telemetry_},
                                  dir_ + "/log"));
    child_.emplace(std::move(child));
    for (const double end_ms = NowMs() + kStepMs; NowMs() < end_ms && !Interrupted(); PauseMs(2)) {
      const Result<std::string> text = ReadFile(ready);
      if (!text.ok()) continue;
      WEIR_ASSIGN_OR_RETURN(const Json json, codec::ParseJson(*text));
      api_ = json.value("api", "");
      cfg_ = Bare(json.value("cfg", ""));
      session_ = Bare(json.value("session", ""));
      telemetry_ = Bare(json.value("telemetry", ""));
      client_.emplace("http://" + api_, control::cli::ApiAccess{}, 20'000);
      return OkStatus();
    }
    const Result<std::string> log = ReadFile(dir_ + "/log");
    return Unavailable("weir-control does not start: " + (log.ok() ? *log : ""));
  }
  void Kill() {
    ::kill(pid(), SIGKILL);
    ::waitpid(pid(), nullptr, 0);
    child_->Forget();
  }

  pid_t pid() const { return child_->pid(); }
  control::cli::ApiClient& api() { return *client_; }
  const std::string& cfg() const { return cfg_; }
  const std::string& session() const { return session_; }

 private:
  ControlPlane() = default;
  std::string dir_;
  std::string api_ = "127.0.0.1:0", cfg_ = api_, session_ = api_, telemetry_ = api_;
  std::optional<Child> child_;
  std::optional<control::cli::ApiClient> client_;
};

// When every one of `nodes` is live and has what is published; asks every few milliseconds.
Result<double> AwaitConverged(ControlPlane& control, size_t nodes) {
  Json summary;
  for (const double end_ms = NowMs() + kStepMs; NowMs() < end_ms && !Interrupted(); PauseMs(5)) {
    const auto status = control.api().Get("/v1/status");
    if (!status.ok()) continue;
    summary = (*status)["nodes"];
    if (summary["live"] == nodes && summary["applied"] == nodes) return NowMs();
  }
  return Unavailable(
      fmt::format("not all of {} nodes are there: {}", nodes, summary.dump().substr(0, 200)));
}

Status Enrol(ControlPlane& control, const Crowd& crowd) {
  for (const Crowd::Identity& identity : crowd.identities()) {
    WEIR_RETURN_IF_ERROR(
        control.api()
            .Send("POST", "/v1/enroll",
                  {{"node", identity.id}, {"public_key", identity.keys.public_key}})
            .status());
  }
  return OkStatus();
}

Result<std::string> ServerKey(ControlPlane& control) {
  WEIR_ASSIGN_OR_RETURN(const Json bootstrap, control.api().Get("/v1/bootstrap"));
  return bootstrap.value("server_key", "");
}

Status PutFlag(ControlPlane& control) {
  return control.api()
      .Send("PUT", "/v1/flags/bench",
            {{"apiVersion", "weir/v1"},
             {"kind", "Flag"},
             {"metadata", {{"name", "bench"}}},
             {"spec", {{"enabled", true}, {"rollout_percentage", 5}}}})
      .status();
}

Result<std::vector<double>> Changes(ControlPlane& control, size_t nodes, int changes) {
  std::vector<double> times;
  for (int i = 0; i < changes && !Interrupted(); ++i) {
    PauseMs(20 + i * 7 % 13);
    const double start = NowMs();
    WEIR_RETURN_IF_ERROR(
        control.api()
            .Send("PATCH", "/v1/flags/bench", {{"spec", {{"rollout_percentage", 10 + i % 80}}}})
            .status());
    WEIR_ASSIGN_OR_RETURN(const double end, AwaitConverged(control, nodes));
    times.push_back(end - start);
  }
  return times;
}

// Killed and started again at once: from the start of the new one.
Result<std::vector<double>> Returns(ControlPlane& control, size_t nodes, int returns) {
  std::vector<double> times;
  for (int i = 0; i < returns && !Interrupted(); ++i) {
    PauseMs(1500);
    control.Kill();
    const double start = NowMs();
    WEIR_RETURN_IF_ERROR(control.Start());
    WEIR_ASSIGN_OR_RETURN(const double end, AwaitConverged(control, nodes));
    times.push_back(end - start);
  }
  return times;
}

}  // namespace

Status MeasureThousand(const WireEffort& effort, Report& report) {
  const size_t nodes = effort.nodes.back();
  WEIR_ASSIGN_OR_RETURN(const auto control, ControlPlane::Open());
  WEIR_RETURN_IF_ERROR(PutFlag(*control));
  WEIR_ASSIGN_OR_RETURN(const auto crowd, Crowd::Make(nodes, "n"));
  WEIR_RETURN_IF_ERROR(Enrol(*control, *crowd));
  PauseMs(2000);
  const double empty_mb = MemoryOf(control->pid()).rss_mb;
  WEIR_ASSIGN_OR_RETURN(const std::string key, ServerKey(*control));
  const double start = NowMs();
  WEIR_RETURN_IF_ERROR(crowd->Connect(control->cfg(), control->session(), key));
  WEIR_ASSIGN_OR_RETURN(const double joined, AwaitConverged(*control, nodes));
  PauseMs(kSettleMs);
  const double full_mb = MemoryOf(control->pid()).rss_mb;
  WEIR_ASSIGN_OR_RETURN(std::vector<double> changes,
                        Changes(*control, nodes, std::min(effort.changes, 50)));
  WEIR_ASSIGN_OR_RETURN(std::vector<double> returns, Returns(*control, nodes, effort.returns));
  const auto add = [&](std::string name, double value, const char* unit) {
    report.Add({.name = std::move(name), .value = value, .unit = unit, .yardstick = ""});
  };
  add(fmt::format("weir-control: memory of each of {} connected nodes", nodes),
      (full_mb - empty_mb) * 1024 / static_cast<double>(nodes), "KB");
  add("  weir-control resident with all of them", full_mb, "MB");
  add(fmt::format("weir-control: {} nodes joining at once, until all have applied", nodes),
      joined - start, "ms");
  for (const double q : {0.5, 0.99}) {
    add(fmt::format("PATCH → the last of {} nodes has applied, p{:.0f}", nodes, q * 100),
        Quantile(changes, q), "ms");
  }
  add(fmt::format("control plane killed → started → all {} nodes are back, p50", nodes),
      Quantile(returns, 0.5), "ms");
  add("  the slowest of them", Quantile(returns, 1), "ms");
  report.Note(fmt::format(
      "A thousand: the real weir-control with {0} light nodes, each enrolled, with two connections "
      "and no telemetry. Memory: VmRSS before and {1} s after they joined. PATCH: {2} changes "
      "through the API, until GET /v1/status, asked every 5 ms, counts all as applied. Return: {3} "
      "times kill -9, from starting it again; nodes reconnect by libzmq's back-off from 200 ms.",
      nodes, kSettleMs / 1000, changes.size(), returns.size()));
  return OkStatus();
}

}  // namespace weir::bench
