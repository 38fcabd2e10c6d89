// SPDX-License-Identifier: Apache-2.0
// What every flag, model and experiment answers for a key, and why, as the JSON of `weir explain`
// (SURFACES). The same on a node, in the control plane and from a file: it asks decision/decide.h.
#pragma once

#include <cstdint>
#include <string>

#include "shared/codec/json.h"
#include "shared/decision/ruleset.h"

namespace weir::explain {

struct Query {
  std::string key;          // stands for user, session and request id alike
  std::string model;        // only this model; "" for all
  std::string flag;         // only this flag; "" for all
  uint64_t random = 0;      // drawn by the caller, for strategy: random
  std::string context{};    // a JSON object as text, for targeting; "" for none
  int64_t now_wall_ms = 0;  // for schedules and $flagd.timestamp
};

// {key, snapshot: {epoch, version} | null, flags: […], splits: […], experiments: […]}, each list in
// order of name. `snapshot` is null when the ruleset has no epoch (it came from a file). Every
// model has a row in splits, also while nothing is rolled out (reason NO_ROLLOUT); stable answers a
// key whose requests a shadow phase copies to the candidate (reason SHADOW, `copied: true`). With
// `model` or `flag` only what concerns it is listed; an unknown flag answers FLAG_NOT_FOUND, an
// unknown model nothing. A flag's row has `value` and `variant` where there is an answer, else
// `error` with OpenFeature's code; a context that cannot be read makes every flag's row
// INVALID_CONTEXT.
codec::Json Explain(const decision::Ruleset& rules, const Query& query);

}  // namespace weir::explain
