// SPDX-License-Identifier: Apache-2.0
#include "shared/domain/validate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <set>

#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "shared/domain/checker.h"
#include "shared/domain/snapshot.h"

namespace weir::domain {
namespace {

constexpr size_t kMaxPhases = 64;
constexpr size_t kMaxVersions = 64;
constexpr size_t kMaxGroups = 64;

const std::vector<std::string> kHashKeys = {"user_id", "session_id", "request_id"};
const std::vector<std::string> kDatatypes = {"BOOL",  "UINT8", "UINT16", "UINT32", "UINT64", "INT8",
                                             "INT16", "INT32", "INT64",  "FP32",   "FP64"};
const std::vector<std::string> kGateMetrics = {"error_rate", "requests", "p50_latency_ms",
                                               "p95_latency_ms", "p99_latency_ms"};

void Check(Checker& c, const ModelSpec& spec) {
  c.Count("spec.versions", spec.versions.size(), kMaxVersions);
  std::vector<std::string> names;
  for (const auto& [name, version] : spec.versions) names.push_back(name);
  for (const auto& [name, version] : spec.versions) {
    const std::string path = fmt::format("spec.versions.{}", name);
    if (!IsResourceName(name)) c.Fail(path, "is not a version name (letters, digits, . _ -)");
    c.OneOf(path + ".runtime", version.runtime, {"xgboost"});
    if (version.blob.empty()) {
      c.Fail(path + ".blob",
             "is missing; `weir model push` sets it, or give a uri in an applied file");
    } else if (version.blob.size() != 71 || version.blob.rfind("sha256:", 0) != 0 ||
               !FromHex(version.blob.substr(7)).ok()) {
      c.Fail(path + ".blob", fmt::format("\"{}\" is not sha256: and 64 hex digits", version.blob));
    }
    if (version.fault.has_value()) {
      c.Ratio(path + ".fault.error_rate", version.fault->error_rate);
      if (version.fault->delay.ms > 60'000) c.Fail(path + ".fault.delay", "is longer than 60s");
      if (const auto time = ParseTimeMs(version.fault->expires); !time.ok()) {
        c.Fail(path + ".fault.expires",
               version.fault->expires.empty()
                   ? "is missing; a rehearsal must end: give a duration or a time"
                   : time.status().message());
      }
    }
  }
  if (!spec.stable.empty()) c.OneOf("spec.stable", spec.stable, names);
  if (!spec.pinned.empty()) c.OneOf("spec.pinned", spec.pinned, names);
  std::set<std::string> seen;
  c.Count("spec.inputs", spec.inputs.size(), 64);
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    const TensorSpec& input = spec.inputs[i];
    const std::string path = fmt::format("spec.inputs[{}]", i);
    if (input.name.empty() || !seen.insert(input.name).second) {
      c.Fail(path + ".name", fmt::format("\"{}\" is empty or repeated", input.name));
    }
    c.OneOf(path + ".datatype", input.datatype, kDatatypes);
    for (const int64_t dimension : input.shape) {
      if (dimension < -1 || dimension == 0) {
        c.Fail(path + ".shape", fmt::format("{} is neither positive nor -1 (any)", dimension));
      }
    }
  }
}

void Check(Checker& c, const std::string& path, const Gate& gate) {
  c.OneOf(path + ".type", gate.type, {"manual_approval", "metrics_threshold"});
  if (gate.type != "metrics_threshold") return;
  c.OneOf(path + ".metric", gate.metric, kGateMetrics);
  if (const auto condition = ParseCondition(gate.condition); !condition.ok()) {
    c.Fail(path + ".condition", condition.status().message());
  }
}

void Check(Checker& c, const RolloutSpec& spec) {
  if (spec.model.empty() == spec.flag.empty()) {
    c.Fail("spec", "needs exactly one of model and flag");
  }
  if (spec.candidate.empty() != spec.model.empty()) {
    c.Fail("spec.candidate", spec.model.empty() ? "is only for a model's rollout" : "is missing");
  }
  c.OneOf("spec.hash_key", spec.hash_key, kHashKeys);
  c.OneOf("spec.strategy", spec.strategy, {"hash", "random"});
  c.OneOf("spec.start", spec.start, {"auto", "manual"});
  c.Seed("spec.hash_seed", spec.hash_seed);
  if (spec.phases.empty()) c.Fail("spec.phases", "is missing; give at least one phase");
  c.Count("spec.phases", spec.phases.size(), kMaxPhases);
  std::set<std::string> names;
  double before = 0;
  for (size_t i = 0; i < spec.phases.size(); ++i) {
    const Phase& phase = spec.phases[i];
    const std::string path = fmt::format("spec.phases[{}]", i);
    if (!IsResourceName(phase.name) || !names.insert(phase.name).second) {
      c.Fail(path + ".name", fmt::format("\"{}\" is empty, repeated or not a name", phase.name));
    }
    c.Percent(path + ".percentage", phase.percentage);
    if (phase.percentage < before) {
      c.Fail(path + ".percentage",
             fmt::format("{} is below the {} of the phase before", phase.percentage, before));
    }
    before = phase.percentage;
    for (size_t g = 0; g < phase.gates.size(); ++g) {
      Check(c, fmt::format("{}.gates[{}]", path, g), phase.gates[g]);
    }
  }
  if (spec.rollback.error_rate) c.Ratio("spec.rollback.error_rate", *spec.rollback.error_rate);
  if (spec.rollback.p99_latency_ms && !(*spec.rollback.p99_latency_ms > 0)) {
    c.Fail("spec.rollback.p99_latency_ms", "is not above 0");
  }
  if (spec.rollback.evaluation_window.ms < 1000) {
    c.Fail("spec.rollback.evaluation_window", "is shorter than 1s");
  }
}

void Check(Checker& c, const ExperimentSpec& spec) {
  c.OneOf("spec.hash_key", spec.hash_key, kHashKeys);
  c.Seed("spec.hash_seed", spec.hash_seed);
  if (spec.groups.size() < 2) c.Fail("spec.groups", "needs two or more groups");
  c.Count("spec.groups", spec.groups.size(), kMaxGroups);
  uint64_t sum = 0;
  std::set<std::string> names;
  for (size_t i = 0; i < spec.groups.size(); ++i) {
    const ExperimentGroup& group = spec.groups[i];
    if (!IsResourceName(group.name) || !names.insert(group.name).second) {
      c.Fail(fmt::format("spec.groups[{}].name", i),
             fmt::format("\"{}\" is empty, repeated or not a name", group.name));
    }
    if (group.weight > 1'000'000)
      c.Fail(fmt::format("spec.groups[{}].weight", i), "is above 1000000");
    sum += group.weight;
  }
  if (sum == 0) c.Fail("spec.groups", "have a weight of 0 together");
}

void Check(Checker&, const EmergencySpec&) {}

void Check(Checker&, const SinkSpec&) {}

void Check(Checker& c, const ObservabilitySpec& spec) {
  const auto is_plain = [](char x) {
    return std::isalnum(static_cast<unsigned char>(x)) || x == '_';
  };
  const std::string& prefix = spec.metric_prefix;
  if (prefix.size() > 100 || !std::all_of(prefix.begin(), prefix.end(), is_plain) ||
      (!prefix.empty() && std::isdigit(static_cast<unsigned char>(prefix[0])))) {
    c.Fail("spec.metric_prefix", fmt::format("\"{}\" is not the beginning of a metric's name "
                                             "(letters, digits, _; no digit first)",
                                             prefix));
  }
  if ((prefix == "weir" || prefix.rfind("weir_", 0) == 0) && prefix != "weir_feature_flags") {
    c.Fail("spec.metric_prefix",
           fmt::format("\"{}\" would repeat the names of Weir's own metrics; choose a prefix that "
                       "does not begin with weir_",
                       prefix));
  }
}

void CheckRolloutReferences(Checker& c, const Resource& rollout, const Lookup& find,
                            const ForEach& for_each) {
  const RolloutSpec& spec = rollout.As<RolloutSpec>();
  if (!spec.model.empty()) {
    const Resource* model = find(Kind::kModel, spec.model);
    std::vector<std::string> names;
    if (model == nullptr) {
      for_each(Kind::kModel, [&](const Resource& other) { names.push_back(other.name); });
      c.Fail("spec.model", fmt::format("model \"{}\" does not exist{}", spec.model,
                                       DidYouMean(spec.model, names)));
    } else {
      const auto& versions = model->As<ModelSpec>().versions;
      for (const auto& [name, version] : versions) names.push_back(name);
      if (!versions.contains(spec.candidate)) c.OneOf("spec.candidate", spec.candidate, names);
    }
  } else if (const Resource* flag = find(Kind::kFlag, spec.flag); flag == nullptr) {
    c.Fail("spec.flag", fmt::format("flag \"{}\" does not exist", spec.flag));
  } else if (flag->As<FlagSpec>().IsVariant()) {
    c.Fail("spec.flag",
           fmt::format("flag \"{}\" has variants, no percentage to roll out", spec.flag));
  }
  if (!rollout.status.has_value() || !IsActive(*rollout.status)) return;
  for_each(Kind::kRollout, [&](const Resource& other) {
    const RolloutSpec& theirs = other.As<RolloutSpec>();
    if (other.name == rollout.name || !other.status || !IsActive(*other.status)) return;
    if (theirs.model == spec.model && theirs.flag == spec.flag) {
      c.Fail(spec.model.empty() ? "spec.flag" : "spec.model",
             fmt::format("rollout \"{}\" is already {} on \"{}\"", other.name, other.status->state,
                         spec.model.empty() ? spec.flag : spec.model));
    }
  });
}

}  // namespace

const char* EntryKindName(EntryKind kind) {
  switch (kind) {
    case EntryKind::kFlag:
      return "flag";
    case EntryKind::kModel:
      return "model";
    case EntryKind::kSplit:
      return "split";
    case EntryKind::kExperiment:
      return "experiment";
    case EntryKind::kObservability:
      return "observability";
  }
  return "?";
}

void FillDefaults(Resource& resource, int64_t now_wall_ms) {
  if (auto* flag = std::get_if<FlagSpec>(&resource.spec)) {
    if (flag->targeting.text == "{}") flag->targeting.text.clear();  // flagd's "no rule"
    if (flag->metadata.text == "{}") flag->metadata.text.clear();
    if (flag->IsVariant()) {
      if (!flag->enabled) flag->enabled = true;
      return;
    }
    if (!flag->enabled && flag->rollout_percentage) flag->enabled = true;
    if (flag->enabled && !flag->rollout_percentage) flag->rollout_percentage = 100;
    if (flag->hash_seed.empty()) flag->hash_seed = resource.name;
  } else if (auto* rollout = std::get_if<RolloutSpec>(&resource.spec)) {
    if (rollout->hash_seed.empty())
      rollout->hash_seed = rollout->model.empty() ? rollout->flag : rollout->model;
    if (!resource.status) resource.status.emplace();
  } else if (auto* experiment = std::get_if<ExperimentSpec>(&resource.spec)) {
    if (experiment->hash_seed.empty()) experiment->hash_seed = resource.name;
  } else if (auto* model = std::get_if<ModelSpec>(&resource.spec)) {
    for (auto& [name, version] : model->versions) {
      if (version.runtime.empty()) version.runtime = "xgboost";
      if (!version.fault) continue;
      const Result<int64_t> duration = ParseDurationMs(version.fault->expires);
      if (duration.ok()) version.fault->expires = FormatTimeMs(now_wall_ms + *duration);
    }
  }
}

std::vector<Violation> Validate(const Resource& resource) {
  std::vector<Violation> violations;
  Checker checker(violations);
  if (!IsResourceName(resource.name)) {
    checker.Fail("metadata.name",
                 fmt::format("\"{}\" is not a name: 1..253 letters, digits, . _ -, "
                             "starting with a letter or digit",
                             resource.name));
  }
  const bool is_single = resource.kind == Kind::kEmergency || resource.kind == Kind::kObservability;
  if (is_single && resource.name != "default") {
    checker.Fail("metadata.name", fmt::format("\"{}\": the one {} is named \"default\"",
                                              resource.name, KindName(resource.kind)));
  }
  checker.Count("metadata.labels", resource.labels.size(), 64);
  checker.Count("metadata.annotations", resource.annotations.size(), 64);
  std::visit([&](const auto& spec) { Check(checker, spec); }, resource.spec);
  return violations;
}

std::vector<Violation> ValidateReferences(const Resource& resource, const Lookup& find,
                                          const ForEach& for_each) {
  std::vector<Violation> violations;
  Checker checker(violations);
  if (resource.kind == Kind::kFlag) CheckFlagReferences(checker, resource, find, for_each);
  if (resource.kind == Kind::kRollout) CheckRolloutReferences(checker, resource, find, for_each);
  return violations;
}

Result<FinePercent> ToFinePercent(double percent) {
  if (!(percent >= 0 && percent <= 100)) {
    return InvalidArgument("", fmt::format("{} is not in 0..100", percent));
  }
  const double fine = std::round(percent * 1000);
  if (std::abs(percent * 1000 - fine) > 1e-6) {
    return InvalidArgument("", fmt::format("{} has more than three decimals", percent));
  }
  return static_cast<FinePercent>(fine);
}

bool Condition::Holds(double x) const {
  if (op == "<") return x < value;
  if (op == "<=") return x <= value;
  if (op == ">") return x > value;
  return x >= value;
}

Result<Condition> ParseCondition(const std::string& text) {
  Condition condition;
  for (const char* op : {"<=", ">=", "<", ">"}) {
    if (text.rfind(op, 0) != 0) continue;
    condition.op = op;
    const char* number = text.c_str() + condition.op.size();
    char* end = nullptr;
    condition.value = std::strtod(number, &end);
    if (end != number && *end == '\0' && std::isfinite(condition.value)) return condition;
    break;
  }
  return InvalidArgument(
      "", fmt::format("\"{}\" is not a comparison such as \"< 0.01\" (<, <=, >, >=)", text));
}

bool IsShadow(const RolloutSpec& spec, const Phase& phase) {
  return (phase.mode.empty() ? spec.mode : phase.mode) == "shadow";
}

bool IsActive(const RolloutStatus& status) {
  return status.state == "progressing" || status.state == "paused" || status.state == "frozen" ||
         status.state == "rolling_back";
}

}  // namespace weir::domain
