// SPDX-License-Identifier: Apache-2.0
// The rules of flags.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "shared/domain/checker.h"

namespace weir::domain {
namespace {

constexpr size_t kMaxVariants = 256;
constexpr size_t kMaxVariantName = 256;  // bytes; telemetry counts answers under it
constexpr size_t kMaxSchedule = 64;
constexpr size_t kMaxAllowlist = 4096;  // the wire's array limit

// False where names are too many or too long to stand in messages.
bool CheckVariantNames(Checker& c, const FlagSpec& spec) {
  c.Count("spec.variants", spec.variants.size(), kMaxVariants);
  if (spec.variants.size() > kMaxVariants) return false;
  const auto is_control = [](unsigned char x) { return x < 0x20 || x == 0x7f; };
  bool are_short = true;
  for (const auto& [name, value] : spec.variants) {
    if (name.empty()) c.Fail("spec.variants", "has a variant without a name");
    if (name.size() > kMaxVariantName) {
      are_short = false;
      c.Fail("spec.variants", fmt::format("has a name of {} bytes; at most {} are allowed",
                                          name.size(), kMaxVariantName));
    } else if (std::any_of(name.begin(), name.end(), is_control)) {
      std::string shown = name;
      std::replace_if(shown.begin(), shown.end(), is_control, '?');
      c.Fail("spec.variants",
             fmt::format("has the name \"{}\" with control characters (shown as ?)", shown));
    }
  }
  return are_short;
}

// What a definition in flagd's terms must keep to, but for the values themselves and the rule:
// those are JSON, and codec/flag_check.h looks into them.
void CheckVariants(Checker& c, const FlagSpec& spec) {
  if (!spec.malformed.empty()) return;  // nothing else of it is looked at
  if (!CheckVariantNames(c, spec)) return;
  std::vector<std::string> names;
  for (const auto& [name, value] : spec.variants) names.push_back(name);
  if (!spec.default_variant.empty()) c.OneOf("spec.default_variant", spec.default_variant, names);
  if (!spec.off_variant.empty()) c.OneOf("spec.off_variant", spec.off_variant, names);
  if (spec.rollout_percentage.has_value()) {
    c.Fail("spec.rollout_percentage",
           "is not for a flag with variants; use fractional in targeting");
  }
  if (!spec.allowlist.empty() || spec.allowlist_only) {
    c.Fail("spec.allowlist", "is not for a flag with variants; use targeting");
  }
}

// The flag as it stands; its schedule is CheckSchedule's.
void CheckNow(Checker& c, const FlagSpec& spec) {
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

// As the control plane writes it into the flag when it is due.
void Apply(const FlagChange& set, FlagSpec& spec) {
  if (set.enabled) spec.enabled = set.enabled;
  if (set.rollout_percentage) spec.rollout_percentage = set.rollout_percentage;
  if (!set.default_variant.empty()) spec.default_variant = set.default_variant;
}

std::vector<Violation> ViolationsNow(const FlagSpec& spec) {
  std::vector<Violation> violations;
  Checker checker(violations);
  CheckNow(checker, spec);
  return violations;
}

// Makes the change in `spec` and says what is wrong with it that was not before. A change that
// leads to a wrong flag is not made: the ones after it are judged without it.
void CheckChange(Checker& c, const std::string& path, const FlagChange& set, FlagSpec& spec) {
  const std::vector<Violation> known = ViolationsNow(spec);
  const std::optional<bool> enabled = spec.enabled;
  const std::optional<double> percentage = spec.rollout_percentage;
  const std::string variant = spec.default_variant;
  Apply(set, spec);
  bool is_good = true;
  for (const Violation& violation : ViolationsNow(spec)) {
    const auto is_same = [&](const Violation& other) {
      return other.path == violation.path && other.message == violation.message;
    };
    if (std::any_of(known.begin(), known.end(), is_same)) continue;
    is_good = false;
    const std::string field = violation.path.substr(sizeof "spec." - 1);
    if (field == "rollout_percentage" || field == "default_variant") {
      c.Fail(path + "." + field, violation.message);
    } else {
      c.Fail(path, fmt::format("leads to a flag whose {} {}", field, violation.message));
    }
  }
  if (is_good) return;
  spec.enabled = enabled;
  spec.rollout_percentage = percentage;
  spec.default_variant = variant;
}

void CheckSchedule(Checker& c, const FlagSpec& spec) {
  c.Count("spec.schedule", spec.schedule.size(), kMaxSchedule);
  if (spec.schedule.size() > kMaxSchedule) return;
  FlagSpec after = spec;  // with the items so far
  for (size_t i = 0; i < spec.schedule.size(); ++i) {
    const ScheduledChange& change = spec.schedule[i];
    const std::string path = fmt::format("spec.schedule[{}]", i);
    const FlagChange& set = change.set;
    if (i > 0 && change.at.ms <= spec.schedule[i - 1].at.ms) {
      c.Fail(path + ".at", "is not after the item before; give them in order of time");
    }
    if (set == FlagChange{}) c.Fail(path + ".set", "changes nothing");
    if (!set.default_variant.empty() && !spec.IsVariant()) {
      c.Fail(path + ".set.default_variant", "is for a flag with variants");
    } else {
      CheckChange(c, path + ".set", set, after);
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
  CheckNow(c, spec);
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
