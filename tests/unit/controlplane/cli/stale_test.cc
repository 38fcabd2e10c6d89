// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/stale.h"

#include <gmock/gmock.h>

#include "shared/base/clock.h"

namespace weir::control::cli {
namespace {

using codec::Json;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t kNowMs = 1'763'683'200'000;  // 2025-11-21T00:00:00Z
constexpr int64_t kDayMs = 24 * 3'600'000;

// Somebody asks for it, unless `is_evaluated` is false.
Json Flag(const Json& spec, int64_t unchanged_days, Json status = Json::object(),
          bool is_evaluated = true) {
  if (is_evaluated) status["stats"] = {{"total", 1}};
  return {{"metadata", {{"updated_at", FormatTimeMs(kNowMs - unchanged_days * kDayMs)}}},
          {"spec", spec},
          {"status", status}};
}

TEST(Stale, NamesTheDayOfExpiry) {
  Json spec = {{"enabled", true}, {"rollout_percentage", 10}, {"expires", "2025-11-01T00:00:00Z"}};
  EXPECT_THAT(StaleReasons(Flag(spec, 1), kNowMs), ElementsAre("expired on 2025-11-01"));
  spec["expires"] = "2025-11-21T00:00:00.001Z";
  EXPECT_THAT(StaleReasons(Flag(spec, 1), kNowMs), IsEmpty());
}

TEST(Stale, OneAnswerForEverybodyCountsAfterThirtyUnchangedDays) {
  const Json all = {{"enabled", true}, {"rollout_percentage", 100}};
  EXPECT_THAT(StaleReasons(Flag(all, 29), kNowMs), IsEmpty());
  EXPECT_THAT(StaleReasons(Flag(all, 30), kNowMs), ElementsAre("at 100 %, unchanged for 30 days"));
  EXPECT_THAT(StaleReasons(Flag({{"enabled", true}}, 31), kNowMs),
              ElementsAre("at 100 %, unchanged for 31 days"));
  EXPECT_THAT(StaleReasons(Flag({{"enabled", true}, {"rollout_percentage", 0}}, 40), kNowMs),
              ElementsAre("at 0 %, unchanged for 40 days"));
  EXPECT_THAT(StaleReasons(Flag({{"enabled", false}, {"rollout_percentage", 5}}, 40), kNowMs),
              ElementsAre("off for everybody, unchanged for 40 days"));
  EXPECT_THAT(StaleReasons(Flag({{"enabled", true}, {"rollout_percentage", 5}}, 40), kNowMs),
              IsEmpty());
}

TEST(Stale, WhatAScheduleARolloutARuleOrAnAllowListDecidesIsNotOneAnswer) {
  Json spec = {{"enabled", true}, {"rollout_percentage", 100}};
  EXPECT_THAT(StaleReasons(Flag(spec, 40, {{"rollout", "r"}}), kNowMs), IsEmpty());
  spec["schedule"] = {{{"at", "2026-01-01T00:00:00Z"}, {"set", {{"enabled", false}}}}};
  EXPECT_THAT(StaleReasons(Flag(spec, 40), kNowMs), IsEmpty());
  EXPECT_THAT(StaleReasons(Flag({{"enabled", true}, {"allowlist_only", true}}, 40), kNowMs),
              IsEmpty());
  Json variants = {
      {"enabled", true}, {"variants", {{"small", 8}, {"large", 32}}}, {"default_variant", "small"}};
  EXPECT_THAT(StaleReasons(Flag(variants, 40), kNowMs),
              ElementsAre("\"small\" for everybody, unchanged for 40 days"));
  variants["targeting"] = {{"if", Json::array({true, "large"})}};
  EXPECT_THAT(StaleReasons(Flag(variants, 40), kNowMs), IsEmpty());
}

TEST(Stale, WhatNobodyAsksForCountsAfterThirtyUnchangedDays) {
  const Json spec = {{"enabled", true}, {"rollout_percentage", 10}};
  EXPECT_THAT(StaleReasons(Flag(spec, 29, Json::object(), false), kNowMs), IsEmpty());
  EXPECT_THAT(StaleReasons(Flag(spec, 35, Json::object(), false), kNowMs),
              ElementsAre("not evaluated in 35 days"));
  EXPECT_THAT(StaleReasons(Flag(spec, 35), kNowMs), IsEmpty());
  const auto last = [](int64_t days) {
    return Json{{"last_evaluated_at", FormatTimeMs(kNowMs - days * kDayMs)}};
  };
  EXPECT_THAT(StaleReasons(Flag(spec, 90, last(31)), kNowMs),
              ElementsAre("not evaluated in 31 days"));
  EXPECT_THAT(StaleReasons(Flag(spec, 90, last(29), false), kNowMs), IsEmpty());
  EXPECT_THAT(StaleReasons(Flag(spec, 1, last(31), false), kNowMs),
              ElementsAre("not evaluated in 31 days"))
      << "a change is no use";
}

}  // namespace
}  // namespace weir::control::cli
