// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/stale.h"

#include <fmt/format.h>

#include <optional>

#include "shared/base/clock.h"

namespace weir::control::cli {
namespace {

using codec::Json;

std::optional<int64_t> TimeOf(const Json& object, const char* field) {
  if (!object.is_object() || !object.contains(field) || !object[field].is_string())
    return std::nullopt;
  const Result<int64_t> ms = ParseTimeMs(object[field].get_ref<const std::string&>());
  return ms.ok() ? std::optional(*ms) : std::nullopt;
}

int64_t Days(int64_t ms) { return ms / (24 * 3'600'000); }

// What everybody gets, "" when it depends on the key or the context.
std::string OneAnswer(const Json& spec) {
  if (!spec.value("enabled", false)) return "off for everybody";
  if (spec.contains("variants")) {
    if (spec.contains("targeting")) return "";
    return fmt::format("\"{}\" for everybody", spec.value("default_variant", ""));
  }
  if (spec.value("allowlist_only", false)) return "";
  const double percentage = spec.value("rollout_percentage", 100.0);
  if (percentage <= 0) return "at 0 %";
  return percentage >= 100 ? "at 100 %" : "";
}

}  // namespace

std::vector<std::string> StaleReasons(const Json& flag, int64_t now_wall_ms) {
  std::vector<std::string> reasons;
  const Json spec = flag.value("spec", Json::object());
  const Json status = flag.value("status", Json::object());
  const auto expires = TimeOf(spec, "expires");
  if (expires.has_value() && *expires <= now_wall_ms)
    reasons.push_back(fmt::format("expired on {}", FormatTimeMs(*expires).substr(0, 10)));

  const auto evaluated = TimeOf(status, "last_evaluated_at");
  if (evaluated.has_value() && now_wall_ms - *evaluated >= kStaleAfterMs)
    reasons.push_back(fmt::format("not evaluated in {} days", Days(now_wall_ms - *evaluated)));

  const auto changed = TimeOf(flag.value("metadata", Json::object()), "updated_at");
  if (!changed.has_value() || now_wall_ms - *changed < kStaleAfterMs) return reasons;
  const int64_t unchanged_days = Days(now_wall_ms - *changed);

  if (!evaluated.has_value() && !status.contains("stats"))
    reasons.push_back(fmt::format("not evaluated in {} days", unchanged_days));
  const std::string answer = OneAnswer(spec);
  if (!answer.empty() && !spec.contains("schedule") && !status.contains("rollout"))
    reasons.push_back(fmt::format("{}, unchanged for {} days", answer, unchanged_days));
  return reasons;
}

}  // namespace weir::control::cli
