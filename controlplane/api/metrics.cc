// SPDX-License-Identifier: Apache-2.0
#include "controlplane/api/metrics.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <string_view>

#include "shared/base/build_info.h"
#include "shared/base/text.h"

namespace weir::control::api {
namespace {

constexpr char kFlagPrefix[] = "weir_feature_flags";

std::string Escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

class Text {
 public:
  void Family(std::string name, const char* type, const char* help) {
    name_ = std::move(name);
    out_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name_, help, name_, type);
  }
  void Sample(double value, const std::string& labels = "") {
    out_ += fmt::format("{}{} {}\n", name_, labels.empty() ? "" : "{" + labels + "}", value);
  }
  std::string Take() { return std::move(out_); }

 private:
  std::string name_;
  std::string out_;
};

std::string Label(const char* name, std::string_view value) {
  return fmt::format("{}=\"{}\"", name, Escape(value));
}

void AddNodes(const World& world, uint64_t version, Text& text) {
  std::map<std::string, int> states;
  for (const auto state :
       {publish::NodeState::kJoining, publish::NodeState::kReady, publish::NodeState::kStale,
        publish::NodeState::kDraining, publish::NodeState::kGone})
    states[publish::NodeStateName(state)] = 0;
  for (const auto& node : world.nodes->nodes) ++states[publish::NodeStateName(node->state)];
  text.Family("weir_nodes", "gauge", "Nodes by state.");
  for (const auto& [state, count] : states) text.Sample(count, Label("state", state));
  std::map<std::string, int> refused;
  for (const auto kind :
       {domain::EntryKind::kFlag, domain::EntryKind::kModel, domain::EntryKind::kSplit,
        domain::EntryKind::kExperiment, domain::EntryKind::kObservability})
    refused[domain::EntryKindName(kind)] = 0;
  for (const auto& node : world.nodes->nodes) {
    if (!node->IsLive()) continue;
    for (const wire::RefusedEntry& entry : node->refused)
      ++refused[domain::EntryKindName(static_cast<domain::EntryKind>(entry.kind))];
  }
  text.Family("weir_entries_refused", "gauge",
              "Snapshot entries that live nodes refuse now, each node's counted, by kind.");
  for (const auto& [kind, count] : refused) text.Sample(count, Label("kind", kind));
  text.Family("weir_nodes_behind", "gauge", "Live nodes that have not applied the newest version.");
  text.Sample(static_cast<double>(world.nodes->LiveCount() - world.nodes->AppliedCount(version)));
  text.Family("weir_node_overrides", "gauge", "What an operator forced by hand on the node.");
  for (const auto& node : world.nodes->nodes) {
    if (node->IsLive())
      text.Sample(static_cast<double>(node->overrides.size()), Label("node", node->id));
  }
}

// As the documents name them; features are the flags of the catalog, so labels are bounded. Their
// decisions are counted by the nodes alone: a sum over all that is scraped counts each once.
void AddFlags(const World& world, const std::string& prefix, Text& text) {
  text.Family(prefix + "_rollout_percentage", "gauge",
              "Percent of keys that a feature is meant to be on for.");
  world.catalog.ForEach(domain::Kind::kFlag, [&](const domain::Resource& flag) {
    if (!flag.As<domain::FlagSpec>().IsVariant())
      text.Sample(ConfiguredPercentage(flag, world), Label("feature", flag.name));
  });
  const bool is_killed = world.catalog.emergency().kill_switch;
  text.Family(prefix + "_kill_switch", "gauge", "1 while the kill switch is on.");
  text.Sample(is_killed ? 1 : 0, Label("value", is_killed ? "true" : "false"));
}

void AddAllFlags(const World& world, Text& text) {
  const domain::Resource* resource = world.catalog.Find(domain::Kind::kObservability, "default");
  const auto spec =
      resource == nullptr ? domain::ObservabilitySpec{} : resource->As<domain::ObservabilitySpec>();
  if (!spec.export_metrics) return;
  AddFlags(world, kFlagPrefix, text);
  if (!spec.metric_prefix.empty() && spec.metric_prefix != kFlagPrefix)
    AddFlags(world, spec.metric_prefix, text);
}

void AddRollouts(const World& world, const Counters& counters, Text& text) {
  text.Family("weir_rollout_traffic_ratio", "gauge",
              "Share of requests for the candidate: as wanted, and as judged lately.");
  world.catalog.ForEach(domain::Kind::kRollout, [&](const domain::Resource& rollout) {
    const auto view = world.rollouts.View(rollout.name);
    if (!view.ok() || !domain::IsActive(view->status)) return;
    const std::string label = Label("rollout", rollout.name);
    text.Sample(view->status.percentage / 100, label + ",state=\"desired\"");
    const auto canary = static_cast<double>(view->judge.canary.requests);
    const double total = canary + static_cast<double>(view->judge.stable.requests);
    if (total > 0) text.Sample(canary / total, label + ",state=\"actual\"");
  });
  text.Family("weir_prediction_drift", "gauge",
              "How far the candidate's outputs are from stable's, over the judge's window.");
  world.catalog.ForEach(domain::Kind::kRollout, [&](const domain::Resource& rollout) {
    const auto view = world.rollouts.View(rollout.name);
    if (!view.ok() || !view->judge.drift.has_value()) return;
    const auto& spec = rollout.As<domain::RolloutSpec>();
    const std::string labels =
        fmt::format("{},{},{}", Label("rollout", rollout.name), Label("model", spec.model),
                    Label("model_version", spec.candidate));
    text.Sample(view->judge.drift->psi, labels + ",test=\"psi\"");
    text.Sample(view->judge.drift->ks, labels + ",test=\"ks\"");
  });
  text.Family("weir_rollbacks_total", "counter", "Rollouts taken back, by what triggered it.");
  for (const auto& [key, count] : counters.rollbacks) {
    text.Sample(static_cast<double>(count),
                Label("rollout", key.first) + "," + Label("trigger", key.second));
  }
}

int OpenDescriptors() {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  int count = -3;  // ".", ".." and the directory itself
  while (readdir(directory) != nullptr) ++count;
  closedir(directory);
  return count;
}

void AddProcess(Text& text) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  text.Family("process_cpu_seconds_total", "counter", "User and system time.");
  text.Sample(seconds(usage.ru_utime) + seconds(usage.ru_stime));
  if (const Result<std::string> statm = ReadFile("/proc/self/statm"); statm.ok()) {
    uint64_t size = 0;
    uint64_t resident = 0;
    if (std::sscanf(statm->c_str(), "%" SCNu64 " %" SCNu64, &size, &resident) == 2) {
      const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
      text.Family("process_virtual_memory_bytes", "gauge", "Virtual memory.");
      text.Sample(static_cast<double>(size) * page);
      text.Family("process_resident_memory_bytes", "gauge", "Resident memory.");
      text.Sample(static_cast<double>(resident) * page);
    }
  }
  text.Family("process_open_fds", "gauge", "Open file descriptors.");
  text.Sample(OpenDescriptors());
}

}  // namespace

std::string MetricsText(const World& world, const Counters& counters, uint64_t version) {
  Text text;
  text.Family("weir_build_info", "gauge", "1; the labels say which build this is.");
  text.Sample(1, Label("version", BuildVersion()) + "," + Label("type", BuildType()));
  text.Family("weir_revision", "gauge", "The last commit.");
  text.Sample(static_cast<double>(world.catalog.revision()));
  text.Family("weir_snapshot_version", "gauge", "The version that nodes shall have.");
  text.Sample(static_cast<double>(version));
  text.Family("weir_commits_total", "counter", "Commits since the start.");
  text.Sample(static_cast<double>(counters.commits));
  const domain::EmergencySpec emergency = world.catalog.emergency();
  text.Family("weir_kill_switch", "gauge", "1 while the kill switch is on.");
  text.Sample(emergency.kill_switch ? 1 : 0);
  text.Family("weir_emergency", "gauge", "1 while it is on.");
  text.Sample(emergency.kill_switch ? 1 : 0, "kind=\"kill_switch\"");
  text.Sample(emergency.rollback_to_baseline ? 1 : 0, "kind=\"rollback_to_baseline\"");
  text.Sample(emergency.freeze ? 1 : 0, "kind=\"freeze\"");
  AddNodes(world, version, text);
  AddRollouts(world, counters, text);
  AddAllFlags(world, text);
  text.Family("weir_requests_total", "counter", "Answers of the admin API.");
  for (const auto& [key, count] : counters.requests) {
    text.Sample(static_cast<double>(count),
                Label("endpoint", key.first) + fmt::format(",status=\"{}\"", key.second));
  }
  text.Family("weir_auth_refusals_total", "counter", "Callers that were refused, and why.");
  for (const auto& [reason, count] : counters.refusals)
    text.Sample(static_cast<double>(count), Label("reason", reason));
  AddProcess(text);
  return text.Take();
}

}  // namespace weir::control::api
