// SPDX-License-Identifier: Apache-2.0
#include "dataplane/outcomes/outcome.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "shared/base/clock.h"
#include "shared/codec/json.h"

namespace weir::node::outcomes {
namespace {

using codec::Json;

constexpr int64_t kMaxAheadMs = 60'000;
constexpr int64_t kFirstMs = 100'000'000'000;  // March 1973; as seconds the year 5138
constexpr double kMaxValue = 1e12;             // so that no one value drowns all others
constexpr size_t kMaxMetric = 64;
constexpr size_t kMaxKey = 4096;

// As it is written.
struct Written {
  Outcome outcome;
  Json value;
  Json timestamp;
};
template <class V>
void Describe(V& v, Written& f) {
  v(2, "model", f.outcome.model);
  v(4, "flag", f.outcome.flag);
  v(6, "key", f.outcome.key);
  v(8, "decision", f.outcome.decision);
  v(10, "metric", f.outcome.metric, codec::Required());
  v(12, "value", f.value, codec::Required());
  v(14, "timestamp", f.timestamp);
}

bool IsMetric(std::string_view name) {
  return !name.empty() && name.size() <= kMaxMetric &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
         });
}

Status CheckNames(const Outcome& outcome) {
  if (!outcome.flag.empty() && !outcome.model.empty()) {
    return InvalidArgument("flag", "stands beside a model; an outcome is of one of them");
  }
  if (outcome.model.empty() && outcome.flag.empty() && outcome.decision.empty()) {
    return InvalidArgument("model", "is missing; give model, flag or decision");
  }
  if (!outcome.key.empty() && !outcome.decision.empty()) {
    return InvalidArgument("key", "stands beside a decision, which says it already");
  }
  if (outcome.key.empty() && outcome.decision.empty()) {
    return InvalidArgument(
        "key", "is missing; give key, or as decision the answer's header x-weir-decision");
  }
  if (!outcome.flag.empty() && !outcome.decision.empty()) {
    return InvalidArgument("decision", "is a model's; give the key for an outcome of a flag");
  }
  if (outcome.key.size() > kMaxKey) {
    return InvalidArgument("key", fmt::format("has more than {} bytes", kMaxKey));
  }
  if (!IsMetric(outcome.metric)) {
    return InvalidArgument("metric", "is not 1..64 of a-z 0-9 _ .");
  }
  return OkStatus();
}

Status ReadValue(const Json& written, double& value) {
  if (!written.is_number()) {
    return InvalidArgument("value", codec::Show(written) + ", but a number is expected");
  }
  value = written.get<double>();
  if (std::isfinite(value) && std::abs(value) <= kMaxValue) return OkStatus();
  return InvalidArgument("value", "is beyond 1e12");
}

Status ReadTimestamp(const Json& written, int64_t now_wall_ms, int64_t& at_wall_ms) {
  at_wall_ms = now_wall_ms;
  if (written.is_null()) return OkStatus();
  if (written.is_string()) {
    const auto parsed = ParseTimeMs(written.get_ref<const std::string&>());
    if (!parsed.ok()) return InvalidArgument("timestamp", parsed.status().message());
    at_wall_ms = *parsed;
  } else if (written.is_number_integer()) {
    at_wall_ms = written.get<int64_t>();
    if (at_wall_ms < kFirstMs) {
      return InvalidArgument(
          "timestamp", fmt::format("{} is no time in milliseconds since 1970, or long ago; write "
                                   "milliseconds, or RFC 3339",
                                   at_wall_ms));
    }
  } else {
    return InvalidArgument("timestamp",
                           codec::Show(written) + ", but RFC 3339 or milliseconds are expected");
  }
  if (at_wall_ms <= now_wall_ms + kMaxAheadMs) return OkStatus();
  return InvalidArgument(
      "timestamp",
      FormatTimeMs(at_wall_ms) + " is ahead of this node's clock, " + FormatTimeMs(now_wall_ms));
}

Status Read(const Json& json, int64_t now_wall_ms, Outcome& out) {
  codec::Errors errors;
  auto written = codec::FromJson<Written>(json, "", errors);
  if (!errors.empty()) return InvalidArgument(errors.front().path, errors.front().message);
  WEIR_RETURN_IF_ERROR(CheckNames(written.outcome));
  WEIR_RETURN_IF_ERROR(ReadValue(written.value, written.outcome.value));
  WEIR_RETURN_IF_ERROR(ReadTimestamp(written.timestamp, now_wall_ms, written.outcome.at_wall_ms));
  out = std::move(written.outcome);
  return OkStatus();
}

}  // namespace

Result<std::vector<Posted>> ReadOutcomes(std::string_view body, int64_t now_wall_ms) {
  const auto parsed = codec::ParseJson(body);
  if (!parsed.ok()) return InvalidArgument("body", parsed.status().ToString());
  if (!parsed->is_object()) return InvalidArgument("body", "is no JSON object");
  std::vector<const Json*> written;
  const auto list = parsed->find("outcomes");
  if (list == parsed->end()) {
    written.push_back(&*parsed);
  } else if (!list->is_array() || parsed->size() > 1) {
    return InvalidArgument("outcomes", "is no list, or something stands beside it");
  } else {
    for (const Json& item : *list) written.push_back(&item);
  }
  if (written.size() > kMaxOutcomes) {
    return InvalidArgument("outcomes", fmt::format("has {}; at most {} may come in one request",
                                                   written.size(), kMaxOutcomes));
  }
  std::vector<Posted> posted(written.size());
  for (size_t i = 0; i < written.size(); ++i) {
    posted[i].status = Read(*written[i], now_wall_ms, posted[i].outcome);
  }
  return posted;
}

}  // namespace weir::node::outcomes
