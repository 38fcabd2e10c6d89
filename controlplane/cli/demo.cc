// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/demo.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <thread>

#include "controlplane/cli/api_client.h"
#include "controlplane/cli/cluster.h"
#include "controlplane/cli/demo_qos.h"
#include "controlplane/cli/load.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"

namespace weir::control::cli {
namespace {

using codec::Json;

constexpr char kModel[] = "fraud_detection";
constexpr int kRequestsPerSecond = 600;
constexpr int64_t kStepDeadlineMs = 60'000;

std::atomic<bool> g_interrupted{false};  // the signal handler's only word

int64_t NowMs() { return Clock::System().WallMs(); }

// One line on stderr that is rewritten on a terminal, and printed when it changes its `key`
// otherwise.
class ProgressLine {
 public:
  void Show(const std::string& key, const std::string& text) {
    if (terminal_) {
      std::fprintf(stderr, "\r\x1b[K%6.1fs  %s", Seconds(), text.c_str());
    } else if (key != key_) {
      std::fprintf(stderr, "%6.1fs  %s\n", Seconds(), text.c_str());
    }
    key_ = key;
    std::fflush(stderr);
  }
  // Ends the line, so that what follows starts on a new one.
  void Done(const std::string& text) {
    std::fprintf(stderr, "%s%6.1fs  %s\n", terminal_ ? "\r\x1b[K" : "", Seconds(), text.c_str());
    key_.clear();
  }

 private:
  double Seconds() const { return static_cast<double>(NowMs() - start_ms_) / 1000; }
  const bool terminal_ = ::isatty(STDERR_FILENO) != 0;
  const int64_t start_ms_ = NowMs();
  std::string key_;
};

Result<std::string> ModelDir() {
  for (const std::string& dir :
       {ProgramDir() + "/../../../config/models", ProgramDir() + "/../share/weir/models"}) {
    if (std::filesystem::exists(dir + "/requests.jsonl")) return dir;
  }
  return NotFound(
      "the demo's models are not beside the program (config/models or share/weir/models)");
}

Json Phases(const std::vector<double>& percentages, const std::string& duration) {
  Json phases = Json::array();
  for (const double percentage : percentages) {
    phases.push_back({{"name", fmt::format("p{}", percentage)},
                      {"percentage", percentage},
                      {"duration", duration},
                      {"min_requests", 10},
                      {"gates",
                       {{{"type", "metrics_threshold"},
                         {"metric", "error_rate"},
                         {"condition", "< 0.01"},
                         {"min_requests", 10}}}}});
  }
  return phases;
}

class Demo {
 public:
  explicit Demo(const DemoOptions& options) : options_(options) {}

  int Run();

 private:
  Status Play();
  Status StartAll();
  Status PushVersions(const std::vector<std::string>& versions);
  Status WaitReady(const std::string& version);
  Status StartRollout(const std::string& name, const std::string& candidate, const Json& phases);
  // Follows a rollout until its state is one of `ends`.
  Result<Json> Follow(const std::string& name, const std::vector<std::string>& ends);
  Status PromoteHealthy();
  Status TakeBackBroken();
  Status MendSlow(const std::vector<std::string>& bodies);
  Status Conclude();
  Result<Json> HistoryOf(const std::string& name);
  void Print(const std::string& line) const {
    if (!options_.json) std::printf("%s\n", line.c_str());
  }

  const DemoOptions options_;
  ProgressLine progress_;
  std::string dir_;
  std::string models_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<ApiClient> api_;
  std::unique_ptr<Load> load_;
  Json result_ = Json::object();
};

Status Demo::StartAll() {
  WEIR_ASSIGN_OR_RETURN(models_, ModelDir());
  dir_ = options_.dir;
  if (dir_.empty()) {
    const char* tmp = std::getenv("TMPDIR");
    std::string pattern =
        std::string(tmp != nullptr && *tmp != '\0' ? tmp : "/tmp") + "/weir-demo-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr)
      return Unavailable("cannot make a directory in " + pattern);
    dir_ = pattern;
  }
  ClusterOptions cluster;
  cluster.dir = dir_;
  cluster.free_ports = true;
  WEIR_ASSIGN_OR_RETURN(Cluster up, Cluster::Up(cluster, [&](const std::string& line) {
                          progress_.Show(line, line);
                        }));
  cluster_ = std::make_unique<Cluster>(std::move(up));
  api_ = std::make_unique<ApiClient>(cluster_->server(), ApiAccess{}, 5000);
  progress_.Done(fmt::format("control plane at {}, {} nodes, data in {}", cluster_->server(),
                             cluster_->nodes().size(), dir_));
  return OkStatus();
}

Status Demo::PushVersions(const std::vector<std::string>& versions) {
  Json spec = {{"versions", Json::object()}};
  for (const std::string& version : versions) {
    WEIR_ASSIGN_OR_RETURN(const std::string bytes,
                          ReadFile(fmt::format("{}/{}-{}.json", models_, kModel, version)));
    WEIR_ASSIGN_OR_RETURN(const std::string blob, api_->PutBlob(bytes));
    spec["versions"][version] = {{"runtime", "xgboost"}, {"blob", blob}};
  }
  const std::string target = fmt::format("/v1/models/{}", kModel);
  const bool exists = api_->Get(target).ok();
  if (!exists) {
    spec["stable"] = versions.front();
    spec["inputs"] = {{{"name", "features"}, {"datatype", "FP32"}, {"shape", {-1, 12}}}};
    const Json resource = {{"apiVersion", "weir/v1"},
                           {"kind", "Model"},
                           {"metadata", {{"name", kModel}}},
                           {"spec", spec}};
    WEIR_RETURN_IF_ERROR(api_->Send("PUT", target, resource).status());
  } else {
    WEIR_RETURN_IF_ERROR(api_->Send("PATCH", target, {{"spec", spec}}).status());
  }
  for (const std::string& version : versions) WEIR_RETURN_IF_ERROR(WaitReady(version));
  progress_.Done(fmt::format("pushed {} {}: READY on {} nodes", kModel, Join(versions, ", "),
                             cluster_->nodes().size()));
  return OkStatus();
}

Status Demo::WaitReady(const std::string& version) {
  for (const Process& node : cluster_->nodes()) {
    http::Client client("http://" + node.http);
    const std::string target = fmt::format("/v2/models/{}/versions/{}/ready", kModel, version);
    const int64_t deadline = NowMs() + kStepDeadlineMs;
    for (;;) {
      const auto response = client.Do("GET", target);
      if (response.ok() && response->status == 200) break;
      if (NowMs() > deadline)
        return Unavailable(fmt::format("{} {} is not READY on {}", kModel, version, node.name));
      if (g_interrupted) return FailedPrecondition("interrupted");
      progress_.Show("ready" + version,
                     fmt::format("waiting for {} {} on {}", kModel, version, node.name));
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  return OkStatus();
}

Status Demo::StartRollout(const std::string& name, const std::string& candidate,
                          const Json& phases) {
  const Json resource = {{"apiVersion", "weir/v1"},
                         {"kind", "Rollout"},
                         {"metadata", {{"name", name}}},
                         {"spec",
                          {{"model", kModel},
                           {"candidate", candidate},
                           {"phases", phases},
                           {"rollback", {{"error_rate", 0.05}}}}}};
  load_->Mark();
  return api_->Send("PUT", "/v1/rollouts/" + name + "?reason=demo", resource).status();
}

Result<Json> Demo::Follow(const std::string& name, const std::vector<std::string>& ends) {
  const int64_t deadline = NowMs() + kStepDeadlineMs;
  while (NowMs() < deadline) {
    if (g_interrupted) return FailedPrecondition("interrupted");
    WEIR_ASSIGN_OR_RETURN(const Json rollout, api_->Get("/v1/rollouts/" + name));
    const Json& status = rollout["status"];
    const std::string state = status.value("state", "");
    const double percentage = status.value("percentage", 0.0);
    const LoadCounts counts = load_->Counts();
    std::string waiting = status.value("waiting_for", "");
    if (waiting.size() > 60) waiting = waiting.substr(0, 57) + "...";
    progress_.Show(fmt::format("{}{}{}", name, state, percentage),
                   fmt::format("{}: {} at {} %, {} requests, {} by the canary, {} failed{}{}", name,
                               state, percentage, counts.requests, counts.canary, counts.failed,
                               waiting.empty() ? "" : "; waiting for ", waiting));
    if (std::find(ends.begin(), ends.end(), state) != ends.end()) return rollout;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return Unavailable(
      fmt::format("{} did not end within {}", name, FormatDurationMs(kStepDeadlineMs)));
}

Result<Json> Demo::HistoryOf(const std::string& name) {
  WEIR_ASSIGN_OR_RETURN(const Json history,
                        api_->Get("/v1/history?kind=Rollout&name=" + name + "&limit=50"));
  Json items = history["items"];
  std::reverse(items.begin(), items.end());
  return items;
}

Status Demo::PromoteHealthy() {
  const int64_t start_ms = NowMs();
  WEIR_RETURN_IF_ERROR(StartRollout("fraud-1-1-0", "1.1.0", Phases({1, 10, 50, 100}, "3s")));
  WEIR_ASSIGN_OR_RETURN(const Json rollout, Follow("fraud-1-1-0", {"promoted", "rolled_back"}));
  const LoadCounts counts = load_->Counts();
  if (rollout["status"].value("state", "") != "promoted") {
    return Internal("the healthy version was rolled back: " + rollout["status"].dump());
  }
  WEIR_ASSIGN_OR_RETURN(const Json model, api_->Get(fmt::format("/v1/models/{}", kModel)));
  progress_.Done(
      fmt::format("1.1.0 went 1 → 10 → 50 → 100 % and is stable now: {} requests, {} failed",
                  counts.requests, counts.failed));
  result_["promoted"] = {{"rollout", "fraud-1-1-0"},
                         {"model", kModel},
                         {"from", "1.0.0"},
                         {"to", model["spec"].value("stable", "")},
                         {"seconds", static_cast<double>(NowMs() - start_ms) / 1000},
                         {"requests", counts.requests},
                         {"failed_requests", counts.failed}};
  return OkStatus();
}

Status Demo::TakeBackBroken() {
  WEIR_RETURN_IF_ERROR(PushVersions({"1.2.0"}));
  WEIR_RETURN_IF_ERROR(StartRollout("fraud-1-2-0", "1.2.0", Phases({10, 100}, "60s")));
  WEIR_ASSIGN_OR_RETURN(const Json rollout, Follow("fraud-1-2-0", {"rolled_back", "promoted"}));
  const Json& status = rollout["status"];
  if (status.value("state", "") != "rolled_back")
    return Internal("the broken version was promoted");
  std::this_thread::sleep_for(
      std::chrono::milliseconds(1000));  // requests after the return: none may fail
  const LoadCounts counts = load_->Counts();
  const auto since_first_bad = [&](const Json& time) -> Json {
    const Result<int64_t> ms =
        time.is_string() ? ParseTimeMs(time.get<std::string>()) : Result<int64_t>(NotFound(""));
    return ms.ok() ? Json(*ms - counts.first_failed_wall_ms) : Json();
  };
  WEIR_ASSIGN_OR_RETURN(const Json history, HistoryOf("fraud-1-2-0"));
  Json committed_at;
  for (const Json& row : history) {
    if (row.value("revision", uint64_t{0}) == status.value("rollback_revision", uint64_t{0}))
      committed_at = row["at"];
  }
  result_["rolled_back"] = {
      {"rollout", "fraud-1-2-0"},
      {"first_bad_at", FormatTimeMs(counts.first_failed_wall_ms)},
      {"detected_ms", since_first_bad(status["last_verdict"]["detected_at"])},
      {"committed_ms", since_first_bad(committed_at)},
      {"last_node_ms", since_first_bad(status["completed_at"])},
      {"last_failed_ms", counts.last_failed_wall_ms - counts.first_failed_wall_ms},
      {"failed_requests", counts.failed},
      {"requests", counts.requests},
      {"trigger", status["last_verdict"].value("trigger", "")},
      {"evidence", status["last_verdict"].value("evidence", "")}};
  progress_.Done(fmt::format("1.2.0 was taken back by itself: {} of {} requests failed ({})",
                             counts.failed, counts.requests, counts.last_error));
  return OkStatus();
}

Status Demo::MendSlow(const std::vector<std::string>& bodies) {
  QosScene scene;
  scene.api = api_.get();
  scene.model = kModel;
  scene.version = "1.1.0";
  scene.bodies = bodies;
  for (const Process& node : cluster_->nodes()) scene.nodes.push_back(node.http);
  scene.show = [this](const std::string& key, const std::string& text) {
    progress_.Show(key, text);
  };
  scene.is_interrupted = [] { return g_interrupted.load(); };
  WEIR_ASSIGN_OR_RETURN(result_["qos"], PlayQosScene(scene));
  progress_.Done(QosSummary(result_["qos"]));
  return OkStatus();
}

Status Demo::Conclude() {
  const Json& back = result_["rolled_back"];
  Print("\nThe broken version, in milliseconds after its first bad answer:");
  Print(fmt::format("  first bad answer   {:>6}  at {}", 0, back.value("first_bad_at", "")));
  Print(fmt::format("  detected           {:>6}  {}: {}", back["detected_ms"].dump(),
                    back.value("trigger", ""), back.value("evidence", "")));
  Print(fmt::format("  committed          {:>6}", back["committed_ms"].dump()));
  Print(fmt::format("  last node returned {:>6}  {} of {} requests failed",
                    back["last_node_ms"].dump(), back["failed_requests"].dump(),
                    back["requests"].dump()));
  for (const std::string& line : QosLines(result_["qos"])) Print(line);
  Print("\nHistory:");
  WEIR_ASSIGN_OR_RETURN(const Json history, api_->Get("/v1/history?limit=50"));
  Json items = history["items"];
  std::reverse(items.begin(), items.end());
  for (const Json& row : items) {
    std::string what;
    for (const Json& change : row["changes"]) {
      what += fmt::format("{}{}/{}", what.empty() ? "" : ", ", change.value("kind", ""),
                          change.value("name", ""));
    }
    Print(fmt::format("  {:>3}  {}  {:<20}  {:<38}  {}", row["revision"].dump(),
                      row.value("at", "").substr(11, 12), row.value("actor", ""), what,
                      row.value("reason", "")));
  }
  if (options_.keep) {
    Print(fmt::format("\nStill running: control plane {}  (weir --server {} status)",
                      cluster_->server(), cluster_->server()));
    for (const Process& node : cluster_->nodes())
      Print(fmt::format("  {} http://{}", node.name, node.http));
    Print(fmt::format("  weir down --dir {}", dir_));
    result_["server"] = cluster_->server();
    result_["dir"] = dir_;
  }
  std::printf("%s%s\n", options_.json ? "" : "\n", result_.dump().c_str());
  return OkStatus();
}

Status Demo::Play() {
  WEIR_RETURN_IF_ERROR(StartAll());
  WEIR_RETURN_IF_ERROR(PushVersions({"1.0.0", "1.1.0"}));
  WEIR_ASSIGN_OR_RETURN(const std::string requests, ReadFile(models_ + "/requests.jsonl"));
  LoadOptions load;
  load.model = kModel;
  load.requests_per_second = kRequestsPerSecond;
  std::vector<std::string> bodies = Split(requests, '\n');
  std::erase(bodies, "");
  load.bodies = bodies;
  for (const Process& node : cluster_->nodes()) load.nodes.push_back(node.http);
  load_ = std::make_unique<Load>(std::move(load));
  WEIR_RETURN_IF_ERROR(PromoteHealthy());
  WEIR_RETURN_IF_ERROR(TakeBackBroken());
  load_->Stop();
  WEIR_RETURN_IF_ERROR(MendSlow(bodies));
  return Conclude();
}

int Demo::Run() {
  struct sigaction action {};
  action.sa_handler = [](int) { g_interrupted = true; };
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  const Status status = Play();
  load_.reset();
  if (!status.ok()) progress_.Done("demo failed: " + status.ToString());
  if (cluster_ != nullptr && !(options_.keep && status.ok())) {
    if (const Status down = cluster_->Down(10'000); !down.ok()) progress_.Done(down.ToString());
  }
  const bool remove = status.ok() && !options_.keep && options_.dir.empty();
  if (remove) {
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
  } else if (!status.ok() && !dir_.empty()) {
    progress_.Done("logs are in " + dir_ + "/log");
  }
  return status.ok() ? kExitDone : kExitNo;
}

}  // namespace

int RunDemo(const DemoOptions& options) { return Demo(options).Run(); }

}  // namespace weir::control::cli
