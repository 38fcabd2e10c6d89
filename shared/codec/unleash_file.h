// SPDX-License-Identifier: Apache-2.0
// Unleash's features, as GET /api/client/features answers and an export holds them → Flags.
#pragma once

#include <string>
#include <string_view>

#include "shared/codec/resource.h"

namespace weir::codec {

// Percentages become percentages (other users get in: the hashes differ), user ids an allow-list,
// dependencies `requires`. What cannot be carried over is a warning that names flag and strategy.
// Nobody gets in who was out: a strategy that limits its users in a way that Weir's rollout flags
// do not know is left out, and a flag with an unknown strategy comes disabled.
FileContent ReadUnleash(std::string_view text, const std::string& file);

}  // namespace weir::codec
