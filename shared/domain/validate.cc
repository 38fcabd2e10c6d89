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

constexpr size_t kMaxGroups = 64;

const std::vector<std::string> kHashKeys = {"user_id", "session_id", "request_id"};
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
    case EntryKind::kToken:
      return "token";
    case EntryKind::kLimit:
      return "limit";
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
  } else if (auto* policy = std::get_if<PolicySpec>(&resource.spec)) {
    FillDefaults(*policy);
  } else if (auto* sink = std::get_if<SinkSpec>(&resource.spec)) {
    sink->min_severity = CanonicalSeverity(sink->min_severity);
  } else if (auto* silence = std::get_if<SilenceSpec>(&resource.spec)) {
    const auto severity = silence->matchers.find("severity");
    if (severity != silence->matchers.end()) severity->second = CanonicalSeverity(severity->second);
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
  if (resource.kind == Kind::kModel) CheckModelReferences(checker, resource, find, for_each);
  if (resource.kind == Kind::kRollout) CheckRolloutReferences(checker, resource, find, for_each);
  if (resource.kind == Kind::kPolicy) CheckPolicyReferences(checker, resource, find);
  if (resource.kind == Kind::kLimit) CheckLimitReferences(checker, resource, find, for_each);
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

}  // namespace weir::domain
