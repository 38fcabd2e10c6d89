// SPDX-License-Identifier: Apache-2.0
// The rules of flags.
#include <fmt/format.h>

#include <set>

#include "shared/domain/checker.h"

namespace weir::domain {
namespace {

constexpr size_t kMaxVariants = 256;
constexpr size_t kMaxSchedule = 64;
constexpr size_t kMaxAllowlist = 4096;  // the wire's array limit

// What a definition in flagd's terms must keep to, but for the values themselves and the rule:
// those are JSON, and codec/flag_check.h looks into them.
void CheckVariants(Checker& c, const FlagSpec& spec) {
  if (!spec.malformed.empty()) return;  // nothing else of it is looked at
  std::vector<std::string> names;
  for (const auto& [name, value] : spec.variants) names.push_back(name);
  c.Count("spec.variants", names.size(), kMaxVariants);
  if (!spec.default_variant.empty()) c.OneOf("spec.default_variant", spec.default_variant, names);
  if (!spec.off_variant.empty()) c.OneOf("spec.off_variant", spec.off_variant, names);
  if (spec.rollout_percentage.has_value()) {
    c.Fail("spec.rollout_percentage",
           "is not for a flag with variants; use fractional in targeting");
  }
  if (!spec.allowlist.empty() || spec.allowlist_only) {
    c.Fail("spec.allowlist", "is not for a flag with variants; use targeting");
  }
  for (size_t i = 0; i < spec.schedule.size(); ++i) {
    const std::string& variant = spec.schedule[i].set.default_variant;
    const std::string path = fmt::format("spec.schedule[{}].set.default_variant", i);
    if (!variant.empty()) c.OneOf(path, variant, names);
  }
}

void CheckSchedule(Checker& c, const FlagSpec& spec) {
  c.Count("spec.schedule", spec.schedule.size(), kMaxSchedule);
  for (size_t i = 0; i < spec.schedule.size(); ++i) {
    const ScheduledChange& change = spec.schedule[i];
    const std::string path = fmt::format("spec.schedule[{}]", i);
    const FlagChange& set = change.set;
    if (i > 0 && change.at.ms <= spec.schedule[i - 1].at.ms) {
      c.Fail(path + ".at", "is not after the item before; give them in order of time");
    }
    if (set == FlagChange{}) c.Fail(path + ".set", "changes nothing");
    if (set.rollout_percentage) {
      c.Percent(path + ".set.rollout_percentage", *set.rollout_percentage);
      if (spec.IsVariant()) {
        c.Fail(path + ".set.rollout_percentage", "is not for a flag with variants");
      }
    }
    if (!set.default_variant.empty() && !spec.IsVariant()) {
      c.Fail(path + ".set.default_variant", "is for a flag with variants");
    }
  }
}

// True when following parents from `name` comes back to it.
bool HasCycle(const std::string& name, const Resource& self, const Lookup& find) {
  std::set<std::string> seen;
  std::vector<std::string> open = FlagParents(name, self.As<FlagSpec>());
  while (!open.empty()) {
    const std::string next = std::move(open.back());
    open.pop_back();
    if (next == name) return true;
    if (!seen.insert(next).second) continue;
    const Resource* flag = find(Kind::kFlag, next);
    if (flag == nullptr) continue;
    for (std::string& parent : FlagParents(next, flag->As<FlagSpec>()))
      open.push_back(std::move(parent));
  }
  return false;
}

}  // namespace

void Check(Checker& c, const FlagSpec& spec) {
  c.Count("spec.tags", spec.tags.size(), 64);
  if (spec.description.size() > 4096) c.Fail("spec.description", "is longer than 4096 bytes");
  CheckSchedule(c, spec);
  if (spec.IsVariant()) return CheckVariants(c, spec);
  if (!spec.targeting.empty() || !spec.default_variant.empty() || !spec.off_variant.empty()) {
    c.Fail("spec.variants", "is missing, but targeting or a default is given");
  }
  if (!spec.enabled.has_value()) {
    c.Fail("spec.enabled", "is missing; give enabled: true|false, or a rollout_percentage");
  }
  const double percentage = spec.rollout_percentage.value_or(100);
  c.Percent("spec.rollout_percentage", percentage);
  c.OneOf("spec.strategy", spec.strategy, {"hash", "random"});
  c.Seed("spec.hash_seed", spec.hash_seed);
  if (percentage > 0 && percentage < 100 && spec.hash_seed.empty()) {
    c.Fail("spec.hash_seed", fmt::format("is missing; a percentage of {} needs one", percentage));
  }
  c.Count("spec.allowlist", spec.allowlist.size(), kMaxAllowlist);
  if (spec.allowlist.empty() && spec.allowlist_only && spec.enabled.value_or(false)) {
    c.Fail("spec.allowlist", "is empty, but allowlist_only is true: nobody could be in");
  }
}

void CheckFlagReferences(Checker& c, const Resource& flag, const Lookup& find,
                         const ForEach& for_each) {
  for (const std::string& parent : FlagParents(flag.name, flag.As<FlagSpec>())) {
    if (find(Kind::kFlag, parent) != nullptr) continue;
    std::vector<std::string> names;
    for_each(Kind::kFlag, [&](const Resource& other) { names.push_back(other.name); });
    c.Fail("spec.requires",
           fmt::format("flag \"{}\" does not exist{}", parent, DidYouMean(parent, names)));
  }
  if (HasCycle(flag.name, flag, find)) c.Fail("spec.requires", "leads back to the flag itself");
}

std::vector<std::string> FlagParents(const std::string& name, const FlagSpec& spec) {
  std::vector<std::string> parents = spec.prerequisites;
  if (spec.IsVariant()) return parents;  // in flagd's names a dot means nothing
  if (const size_t dot = name.rfind('.'); dot != std::string::npos)
    parents.push_back(name.substr(0, dot));
  return parents;
}

}  // namespace weir::domain
