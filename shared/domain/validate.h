// SPDX-License-Identifier: Apache-2.0
// The rules that resources obey: one function that lists every violation, each with the path, the
// value and what is allowed; and one that fills in what a user may leave out. Both are pure.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "shared/base/status.h"
#include "shared/domain/resource.h"

namespace weir::domain {

struct Violation {
  std::string path;  // "spec.phases[1].percentage"
  std::string message;
};

// Fills defaults that are stored: a flag's enabled, percentage and seed (its name), a rollout's
// seed (its subject's name), `expires` given as a duration (from `now_wall_ms`).
void FillDefaults(Resource& resource, int64_t now_wall_ms);

// What one resource alone can get wrong. Call after FillDefaults.
std::vector<Violation> Validate(const Resource& resource);

// What a resource can get wrong together with others: flags that do not exist or form a cycle,
// a rollout's model and candidate, a second rollout on one subject.
using Lookup = std::function<const Resource*(Kind, const std::string& name)>;
using ForEach = std::function<void(Kind, const std::function<void(const Resource&)>&)>;
std::vector<Violation> ValidateReferences(const Resource& resource, const Lookup& find,
                                          const ForEach& for_each);

// The flags that must be on for the same key: requires, and the prefix of a rollout
// flag's dotted name (dots in the names of variant flags, which are flagd's, mean nothing).
std::vector<std::string> FlagParents(const std::string& name, const FlagSpec& spec);

// Percent → fine scale. InvalidArgument outside 0..100, NaN, or more than three decimals.
Result<FinePercent> ToFinePercent(double percent);

// "< 0.01" → operator ("<", "<=", ">", ">=") and number.
struct Condition {
  std::string op;
  double value = 0;
  bool Holds(double x) const;
};
Result<Condition> ParseCondition(const std::string& text);

// Whether the phase only copies requests to the candidate.
bool IsShadow(const RolloutSpec& spec, const Phase& phase);

// A rollout that still routes or may: everything but the final states.
bool IsActive(const RolloutStatus& status);

}  // namespace weir::domain
