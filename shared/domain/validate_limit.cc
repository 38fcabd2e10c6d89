// SPDX-License-Identifier: Apache-2.0
// The rules of limits and silences.
#include <fmt/format.h>

#include <cmath>
#include <set>

#include "shared/domain/checker.h"
#include "shared/domain/sink.h"

namespace weir::domain {
namespace {

constexpr uint64_t kMostSlots = 1'000'000;
constexpr size_t kMaxActs = 64;
constexpr size_t kMaxMatchers = 16;
constexpr int64_t kLongestTargetDelayMs = 60'000;

void CheckSlots(Checker& c, const std::string& path, uint64_t slots) {
  if (slots > kMostSlots) c.Fail(path, fmt::format("{} is above {}", slots, kMostSlots));
}

void CheckLimitRate(Checker& c, const std::string& path, double rate) {
  if (!std::isfinite(rate) || rate < 0)
    c.Fail(path, fmt::format("{} is not a number from 0 on (0: no limit)", rate));
}

}  // namespace

void Check(Checker& c, const LimitSpec& spec) {
  CheckSlots(c, "spec.max_concurrent", spec.max_concurrent);
  CheckSlots(c, "spec.max_queue", spec.max_queue);
  CheckSlots(c, "spec.caller_concurrent", spec.caller_concurrent);
  CheckLimitRate(c, "spec.requests_per_second", spec.requests_per_second);
  CheckLimitRate(c, "spec.caller_requests_per_second", spec.caller_requests_per_second);
  if (spec.min_concurrent == 0)
    c.Fail("spec.min_concurrent", "is 0: a model that answers nobody is not a limit");
  if (spec.max_concurrent > 0 && spec.min_concurrent > spec.max_concurrent) {
    c.Fail("spec.min_concurrent",
           fmt::format("{} is above max_concurrent, {}", spec.min_concurrent, spec.max_concurrent));
  }
  if (spec.most_concurrent > 0 && spec.most_concurrent < spec.max_concurrent) {
    c.Fail("spec.most_concurrent", fmt::format("{} is below max_concurrent, {}",
                                               spec.most_concurrent, spec.max_concurrent));
  }
  if (spec.max_queue > 0 && spec.max_concurrent == 0)
    c.Fail("spec.max_queue", "without max_concurrent nothing waits");
  if (spec.target_delay.ms < 1 || spec.target_delay.ms > kLongestTargetDelayMs)
    c.Fail("spec.target_delay", "is not in 1ms..60s");
  if (spec.replicas == 0) c.Fail("spec.replicas", "is 0");
  c.Count("spec.acts", spec.acts.size(), kMaxActs);
  for (size_t i = 0; i < spec.acts.size(); ++i) {
    const std::string path = fmt::format("spec.acts[{}]", i);
    if (!IsLimitAction(spec.acts[i].action))
      c.Fail(path + ".action",
             fmt::format("\"{}\" lays nothing over a limit", spec.acts[i].action));
    CheckLimitRate(c, path + ".value", spec.acts[i].value);
    CheckLimitRate(c, path + ".caller_requests_per_second",
                   spec.acts[i].caller_requests_per_second);
  }
}

void CheckLimitReferences(Checker& c, const Resource& limit, const Lookup& find,
                          const ForEach& for_each) {
  if (find(Kind::kModel, limit.name) != nullptr) return;
  std::vector<std::string> names;
  for_each(Kind::kModel, [&](const Resource& model) { names.push_back(model.name); });
  c.Fail("metadata.name",
         fmt::format("a Limit is named after its model; there is no model \"{}\"{}", limit.name,
                     DidYouMean(limit.name, names)));
}

void Check(Checker& c, const SilenceSpec& spec) {
  static const std::vector<std::string> kMatchers = {"policy", "slo", "model", "version",
                                                     "severity"};
  if (spec.matchers.empty())
    c.Fail("spec.matchers",
           "is empty: it would silence everything; name a policy, slo, model, "
           "version or severity");
  c.Count("spec.matchers", spec.matchers.size(), kMaxMatchers);
  for (const auto& [name, value] : spec.matchers) c.OneOf("spec.matchers." + name, name, kMatchers);
  if (const auto severity = spec.matchers.find("severity"); severity != spec.matchers.end())
    c.OneOf("spec.matchers.severity", severity->second, Severities());
  if (spec.until.ms <= spec.starts.ms) c.Fail("spec.until", "is not after its start");
}

}  // namespace weir::domain
