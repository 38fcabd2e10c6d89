// SPDX-License-Identifier: Apache-2.0
#include "controlplane/analysis/trigger.h"

#include <gtest/gtest.h>

namespace weir::control::analysis {
namespace {

TEST(Trigger, DefaultsAreValidAndFollowTheLimits) {
  EXPECT_EQ(DefaultTriggers({}).size(), 3u);
  const auto all = DefaultTriggers({0.05, 500, 60'000, 10});
  ASSERT_EQ(all.size(), 5u);
  for (const Trigger& t : all) EXPECT_TRUE(Validate(t).ok()) << t.name;
  EXPECT_EQ(all[3].metric, "error_rate");
  EXPECT_EQ(all[3].threshold, 0.05);
  EXPECT_EQ(all[4].metric, "p99_latency_ms");
  EXPECT_EQ(all[4].min_requests, 10u);
  for (const Trigger& t : RelativeTriggers(60'000, 100)) EXPECT_TRUE(Validate(t).ok()) << t.name;
}

TEST(Trigger, RefusalNamesTheField) {
  Trigger t = DefaultTriggers({0.05, {}, 60'000, 0})[3];
  const auto field = [](Trigger x, auto change) {
    change(x);
    return Validate(x).field();
  };
  EXPECT_EQ(field(t, [](Trigger& x) { x.metric = "Error_rate"; }), "metric");
  EXPECT_EQ(field(t, [](Trigger& x) { x.threshold = 1.5; }), "threshold");
  EXPECT_EQ(field(t, [](Trigger& x) { x.threshold = -0.1; }), "threshold");
  EXPECT_EQ(field(t, [](Trigger& x) { x.window_ms = 0; }), "window");
  t.family = Trigger::Family::kSequential;
  EXPECT_EQ(field(t, [](Trigger& x) { x.raw = true; }), "raw");
  EXPECT_NE(Validate(Trigger{"t", Trigger::Family::kSequential, "eror_rate", 0.1})
                .message()
                .find("error_rate"),
            std::string::npos);
}

}  // namespace
}  // namespace weir::control::analysis
