// SPDX-License-Identifier: Apache-2.0
// Rulesets without a control plane: what a node would have if a file alone were applied, or what it
// has by a saved answer of GET /v1/snapshot. For `weir explain --file` and the embedded evaluator.
// Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/codec/resource.h"
#include "shared/decision/ruleset.h"

namespace weir::evaluator {

// Rollouts count as just started, at their first phase (at 0 % with `start: manual`); emergencies
// hold. `now_wall_ms` is when the file is taken to be applied. Epoch and version stay 0.
// InvalidArgument with file, line and path of the first error of `content` (an edit of what the
// file does not hold is one), and how many more there are. Prerequisites that the file does not
// have are not on.
Result<decision::Ruleset> RulesOf(const codec::FileContent& content, int64_t now_wall_ms);

// {epoch, version, emergency, entries: [{kind, name, entry}]}, as GET /v1/snapshot answers.
// InvalidArgument with the path of what is wrong; entries of kinds that are not known are an error.
Result<decision::Ruleset> RulesOfSnapshot(const codec::Json& snapshot);

// Either of the two by what the text is. `name` is the file's, for messages and formats.
Result<decision::Ruleset> RulesOfText(std::string_view text, const std::string& name,
                                      int64_t now_wall_ms);

}  // namespace weir::evaluator
