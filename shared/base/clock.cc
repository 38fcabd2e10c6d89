// SPDX-License-Identifier: Apache-2.0
#include "shared/base/clock.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>

namespace weir {
namespace {

class SystemClock : public Clock {
 public:
  int64_t MonotonicNs() const override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  int64_t WallMs() const override {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
};

struct Unit {
  std::string_view name;
  int64_t ms;
};
constexpr Unit kUnits[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};
constexpr double kLongestMs = 3650.0 * 86'400'000;

}  // namespace

const Clock& Clock::System() {
  static const SystemClock clock;
  return clock;
}

Result<int64_t> ParseDurationMs(std::string_view text) {
  const auto error = [&] {
    return InvalidArgument("", fmt::format("\"{}\" is not a duration (250ms, 30s, 5m, 24h, 7d or "
                                           "plain seconds, up to 3650d)",
                                           text));
  };
  double number = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (ec != std::errc() || !std::isfinite(number) || number < 0) return error();
  const std::string_view suffix = text.substr(static_cast<size_t>(end - text.data()));
  for (const Unit& unit : kUnits) {
    if (suffix != unit.name && !(suffix.empty() && unit.name == "s")) continue;
    const double ms = number * static_cast<double>(unit.ms);
    if (ms > kLongestMs) return error();
    return static_cast<int64_t>(std::llround(ms));
  }
  return error();
}

std::string FormatDurationMs(int64_t ms) {
  if (ms == 0) return "0s";
  for (size_t i = std::size(kUnits); i-- > 0;) {
    if (ms % kUnits[i].ms == 0) return fmt::format("{}{}", ms / kUnits[i].ms, kUnits[i].name);
  }
  return fmt::format("{}ms", ms);
}

std::string FormatTimeMs(int64_t wall_ms) {
  const std::time_t seconds = static_cast<std::time_t>(wall_ms / 1000);
  std::tm tm{};
  gmtime_r(&seconds, &tm);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", tm.tm_year + 1900, tm.tm_mon + 1,
                     tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, wall_ms % 1000);
}

Result<int64_t> ParseTimeMs(std::string_view text) {
  const auto error = [&] {
    return InvalidArgument(
        "", fmt::format("\"{}\" is not a time (2026-11-20T14:05[:00[.123]][Z|+01:00])", text));
  };
  const std::string s(text);
  std::tm tm{};
  int used = 0;
  if (std::sscanf(s.c_str(), "%4d-%2d-%2d%*1[T ]%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
                  &tm.tm_hour, &tm.tm_min, &used) != 5 ||
      used == 0) {
    return error();
  }
  const char* rest = s.c_str() + used;
  double seconds = 0;
  if (*rest == ':') {
    char* end = nullptr;
    seconds = std::strtod(rest + 1, &end);
    if (end == rest + 1 || !(seconds >= 0 && seconds < 61)) return error();  // nor "nan"
    rest = end;
  }
  int64_t offset_s = 0;
  if (*rest == '+' || *rest == '-') {
    int hours = 0;
    int minutes = 0;
    if (std::sscanf(rest + 1, "%2d:%2d", &hours, &minutes) != 2) return error();
    offset_s = (int64_t{hours} * 3600 + int64_t{minutes} * 60) * (*rest == '-' ? -1 : 1);
  } else if (*rest != '\0' && std::string_view(rest) != "Z") {
    return error();
  }
  if (tm.tm_year < 1 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
      tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59) {
    return error();
  }
  tm.tm_year -= 1900;
  tm.tm_mon -= 1;
  return (static_cast<int64_t>(timegm(&tm)) - offset_s) * 1000 + std::llround(seconds * 1000);
}

}  // namespace weir
