// SPDX-License-Identifier: Apache-2.0
#include "controlplane/gates/time_gate.h"

#include <date/tz.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <exception>
#include <optional>
#include <string_view>
#include <vector>

#include "shared/base/text.h"

namespace weir::control::gates {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using SysTime = date::sys_time<milliseconds>;

constexpr const char* kDays[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
constexpr const char* kShownDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr int kDaysAhead = 8;  // a weekly window opens within as many

Result<const date::time_zone*> FindZone(const std::string& name) {
  try {
    return date::locate_zone(name.empty() ? "UTC" : name);
  } catch (const std::exception&) {
    return InvalidArgument("time_zone",
                           fmt::format("\"{}\" is not a time zone; give one such as Europe/Berlin, "
                                       "or UTC (this machine's zones: /usr/share/zoneinfo)",
                                       name));
  }
}

// "09:30", up to "24:00".
Result<minutes> ParseTimeOfDay(const char* field, const std::string& text) {
  int hour = 0;
  int minute = 0;
  int used = 0;
  const bool is_read = std::sscanf(text.c_str(), "%2d:%2d%n", &hour, &minute, &used) == 2 &&
                       static_cast<size_t>(used) == text.size();
  if (!is_read || hour < 0 || minute < 0 || minute > 59 || hour * 60 + minute > 24 * 60) {
    return InvalidArgument(field, fmt::format("\"{}\" is not a time of day such as 09:00", text));
  }
  return minutes(hour * 60 + minute);
}

// Sunday is 0. "mon" and "Monday" are the same.
Result<unsigned> ParseDay(const std::string& text) {
  std::string begin = text.substr(0, 3);
  for (char& c : begin) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const auto* found = std::find(std::begin(kDays), std::end(kDays), begin);
  if (found == std::end(kDays))
    return InvalidArgument("days", fmt::format("\"{}\" is not a day such as mon", text));
  return static_cast<unsigned>(found - std::begin(kDays));
}

struct Window {
  std::vector<unsigned> days;  // empty: every day
  minutes from{0};
  minutes to{24 * 60};  // not after `from`: of the next day
  const date::time_zone* zone = nullptr;
};

Result<Window> ParseWindow(const domain::Gate& gate) {
  Window window;
  for (const std::string& text : gate.days) {
    WEIR_ASSIGN_OR_RETURN(const unsigned day, ParseDay(text));
    window.days.push_back(day);
  }
  if (!gate.from.empty()) {
    WEIR_ASSIGN_OR_RETURN(window.from, ParseTimeOfDay("from", gate.from));
  }
  if (!gate.to.empty()) {
    WEIR_ASSIGN_OR_RETURN(window.to, ParseTimeOfDay("to", gate.to));
  }
  WEIR_ASSIGN_OR_RETURN(window.zone, FindZone(gate.time_zone));
  return window;
}

struct Opening {
  SysTime from;
  SysTime to;
};

Opening OpeningOn(const Window& window, date::local_days day) {
  const date::local_days end_day = window.to > window.from ? day : day + date::days(1);
  return {window.zone->to_sys(day + window.from, date::choose::earliest),
          window.zone->to_sys(end_day + window.to, date::choose::latest)};
}

std::string Moment(const Window& window, SysTime at) {
  const auto local = window.zone->to_local(at);
  const auto day = date::floor<date::days>(local);
  const auto time = date::floor<minutes>(local - day).count();
  return fmt::format("{} {:02}:{:02} {}", kShownDays[date::weekday(day).c_encoding()], time / 60,
                     time % 60, window.zone->name());
}

Outcome LookAtWindow(const Window& window, int64_t now_wall_ms) {
  const SysTime now{milliseconds(now_wall_ms)};
  const auto today = date::floor<date::days>(window.zone->to_local(now));
  // Yesterday's may still be open, over midnight.
  for (int ahead = -1; ahead <= kDaysAhead; ++ahead) {
    const date::local_days day = today + date::days(ahead);
    const unsigned weekday = date::weekday(day).c_encoding();
    const auto& days = window.days;
    if (!days.empty() && std::find(days.begin(), days.end(), weekday) == days.end()) continue;
    const Opening opening = OpeningOn(window, day);
    if (now >= opening.to) continue;
    if (now >= opening.from)
      return {Outcome::State::kPassed, "open until " + Moment(window, opening.to)};
    return {Outcome::State::kWaiting, fmt::format("opens {}, in {}", Moment(window, opening.from),
                                                  Roughly((opening.from - now).count()))};
  }
  return {Outcome::State::kWaiting, "opens on no day"};  // an opening that the clocks skip whole
}

}  // namespace

std::string Roughly(int64_t ms) {
  constexpr int64_t kMinute = 60;
  constexpr int64_t kHour = 60 * kMinute;
  constexpr int64_t kDay = 24 * kHour;
  const int64_t seconds = (std::max<int64_t>(ms, 0) + 999) / 1000;
  if (seconds < kMinute) return fmt::format("{}s", seconds);
  const int64_t whole = (seconds + kMinute - 1) / kMinute * kMinute;
  const auto two = [](int64_t many, const char* unit, int64_t few, const char* small) {
    return few == 0 ? fmt::format("{}{}", many, unit)
                    : fmt::format("{}{} {}{}", many, unit, few, small);
  };
  if (whole < kHour) return fmt::format("{}m", whole / kMinute);
  if (whole < kDay) return two(whole / kHour, "h", whole % kHour / kMinute, "m");
  const int64_t hours = (whole + kHour - 1) / kHour;
  return two(hours / 24, "d", hours % 24, "h");
}

Status CheckTimeZone(const std::string& name) { return FindZone(name).status(); }

Outcome LookAtTime(const domain::Gate& gate, int64_t phase_age_ms, int64_t now_wall_ms) {
  const bool has_window = !gate.days.empty() || !gate.from.empty() || !gate.to.empty();
  std::vector<std::string> missing;
  std::vector<std::string> seen;
  if (gate.duration.ms > 0) {
    const int64_t left_ms = gate.duration.ms - phase_age_ms;
    (left_ms > 0 ? missing : seen)
        .push_back(left_ms > 0
                       ? fmt::format("{} more of {}", Roughly(left_ms), Roughly(gate.duration.ms))
                       : fmt::format("{} have passed", Roughly(gate.duration.ms)));
  }
  if (has_window) {
    const Result<Window> window = ParseWindow(gate);
    if (!window.ok()) return {Outcome::State::kWaiting, window.status().ToString()};
    Outcome outcome = LookAtWindow(*window, now_wall_ms);
    const bool is_open = outcome.state == Outcome::State::kPassed;
    (is_open ? seen : missing).push_back(std::move(outcome.reason));
  }
  if (missing.empty() && seen.empty())
    return {Outcome::State::kWaiting, "it has neither a duration nor a window (days, from, to)"};
  if (missing.empty()) return {Outcome::State::kPassed, Join(seen, "; ")};
  return {Outcome::State::kWaiting, Join(missing, "; ")};
}

}  // namespace weir::control::gates
