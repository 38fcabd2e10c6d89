// SPDX-License-Identifier: Apache-2.0
// Semantic versions (semver.org 2.0.0) as flagd reads them: a leading v or V, and "1" or "1.2" for
// 1.0.0 and 1.2.0. Views into the text; build metadata is checked and forgotten.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace weir::targeting {

struct Version {
  uint64_t major = 0;
  uint64_t minor = 0;
  uint64_t patch = 0;
  std::string_view prerelease;
};
std::optional<Version> ParseVersion(std::string_view text);
// Below, equal or above 0, by precedence.
int CompareVersions(const Version& a, const Version& b);

}  // namespace weir::targeting
