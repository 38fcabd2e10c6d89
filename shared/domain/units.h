// SPDX-License-Identifier: Apache-2.0
// Values with a unit, so that every codec writes them the way people read them.
#pragma once

#include <cstdint>
#include <string>

namespace weir::domain {

// A length of time. Text: "30s", "5m", plain seconds. Wire: milliseconds.
struct DurationMs {
  int64_t ms = 0;
  bool operator==(const DurationMs&) const = default;
};

// A moment of wall time, since the Unix epoch. Text: RFC 3339 in UTC. Wire: milliseconds.
struct TimeMs {
  int64_t ms = 0;
  bool operator==(const TimeMs&) const = default;
};

// A JSON value as compact text: what Weir carries and does not look into. "" is no value.
struct JsonText {
  std::string text;
  bool empty() const { return text.empty(); }
  bool operator==(const JsonText&) const = default;
};

// Percent on the fine scale of DECISIONS: 0..100000, thousandths of a percent.
using FinePercent = uint32_t;
inline constexpr FinePercent kFineAll = 100'000;

}  // namespace weir::domain
