// SPDX-License-Identifier: Apache-2.0
// JSON text (RFC 8259) → Value in an arena. Text without escapes is copied too: the result does not
// depend on the input.
#pragma once

#include <string_view>

#include "shared/base/status.h"
#include "shared/targeting/arena.h"
#include "shared/targeting/value.h"

namespace weir::targeting {

// InvalidArgument with the byte position; lists and maps nest at most `max_depth` deep.
Result<Value> ParseJsonValue(std::string_view json, int max_depth, Arena& arena);

}  // namespace weir::targeting
