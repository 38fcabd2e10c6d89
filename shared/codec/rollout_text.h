// SPDX-License-Identifier: Apache-2.0
// What people may write shorter in a Rollout, and in the files that become one:
//   success_criteria: {error_rate: "< 0.01"}     of a phase: a metrics_threshold gate each
//   duration: null                               of a phase: none
//   triggers: ["error_rate > 0.02", system_failure]      also as automatic_triggers
//   threshold: 5000ms                            of a trigger
//   response_time                                for p95_latency_ms
// The plain form holds the fields of domain_fields.h alone; the plain form of a plain form is the
// same.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "shared/codec/json.h"

namespace weir::codec {

// Paths of a tree that was made of another one: new prefix → the prefix it had, the first match
// counts.
using WrittenPaths = std::vector<std::pair<std::string, std::string>>;
std::string WrittenPath(const WrittenPaths& paths, const std::string& path);

struct PlainRollout {
  Json spec;
  WrittenPaths written;
};
// Of the Rollout's `spec`. Errors have the paths as written; what is of another shape than expected
// is left for the reader of the plain form to refuse.
PlainRollout PlainRolloutSpec(const Json& spec, Errors& errors);

// `user_satisfaction: > 0.95` is no YAML (there, > begins a folded text) but what people write:
// the same text with such comparisons in quotes, line by line. For texts that YAML refuses.
std::string QuoteComparisons(std::string_view yaml);

}  // namespace weir::codec
