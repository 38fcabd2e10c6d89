// SPDX-License-Identifier: Apache-2.0
#include "controlplane/ingest/deliveries.h"

#include <gmock/gmock.h>

namespace weir::control::ingest {
namespace {

using codec::Json;
using ::testing::HasSubstr;

const Origin kTeller{"n1", 1'763'683'200'000};

class DeliveriesTest : public ::testing::Test {
 protected:
  // One word of the bus: how far it counted, and what the node said of itself.
  void Add(HighWater counted, std::optional<Told> told = std::nullopt) {
    TelemetryTick tick;
    tick.high_waters[kTeller] = counted;
    if (told.has_value()) tick.told[kTeller] = *told;
    deliveries_.Add(tick);
  }
  Json Row() {
    const Json view = deliveries_.View("", [](const std::string&, uint64_t) { return true; });
    EXPECT_EQ(view["items"].size(), 1u);
    EXPECT_EQ(view["agrees"], view["items"][0]["agrees"]);
    return view["items"][0];
  }

  Deliveries deliveries_;
};

TEST_F(DeliveriesTest, WhatIsOnItsWayIsPending) {
  Add({.seq = 7, .lost = 2, .counted = 5}, Told{{10, 3, 4}, false, 6});
  const Json row = Row();
  EXPECT_EQ(row["agrees"], true) << row;
  EXPECT_EQ(row["state"], "live");
  EXPECT_EQ(row["sent"], 10);
  EXPECT_EQ(row["counted"], 5);
  EXPECT_EQ(row["declared_lost"], 2);
  EXPECT_EQ(row["pending"], 3);
  EXPECT_EQ(row["merged"], 4);
  EXPECT_EQ(row["started_at"], "2025-11-21T00:00:00.000Z");
}

TEST_F(DeliveriesTest, WhatCameAfterItsLastWordIsNoDisagreement) {
  Add({.seq = 4, .lost = 0, .counted = 4}, Told{{4, 0, 0}, false, 3});
  Add({.seq = 9, .lost = 0, .counted = 9});
  const Json row = Row();
  EXPECT_EQ(row["agrees"], true) << row;
  EXPECT_EQ(row["sent"], 9);
  EXPECT_EQ(row["pending"], 0);
}

TEST_F(DeliveriesTest, ABatchThatTheNodeTakesForStoredAndIsNotIsShown) {
  Add({.seq = 5, .lost = 0, .counted = 5}, Told{{10, 3, 0}, false, 5});
  const Json row = Row();
  EXPECT_EQ(row["agrees"], false);
  EXPECT_THAT(row["why"].get<std::string>(), HasSubstr("takes 7 batches for stored, 2"));
}

TEST_F(DeliveriesTest, ABatchThatWasCountedTwiceIsShown) {
  Add({.seq = 5, .lost = 0, .counted = 6}, Told{{5, 0, 0}, false, 5});
  EXPECT_EQ(Row()["agrees"], false);
  EXPECT_THAT(Row()["why"].get<std::string>(), HasSubstr("6 batches were counted"));
}

TEST_F(DeliveriesTest, MoreThanItEverSentIsShown) {
  Add({.seq = 9, .lost = 0, .counted = 9}, Told{{5, 0, 0}, true, 5});
  EXPECT_EQ(Row()["state"], "ended");
  EXPECT_EQ(Row()["agrees"], false);
  Add({.seq = 9, .lost = 0, .counted = 9}, Told{{5, 0, 0}, false, 8});
  EXPECT_EQ(Row()["agrees"], false) << "eight were counted a second before it had sent five";
}

TEST_F(DeliveriesTest, ANodeThatSaysNothingOfItselfIsSilent) {
  Add({.seq = 3, .lost = 1, .counted = 2});
  EXPECT_EQ(Row()["state"], "silent");
  EXPECT_EQ(Row()["agrees"], true);
}

TEST_F(DeliveriesTest, WhatIsStoredComesBack) {
  Add({.seq = 5, .lost = 0, .counted = 5}, Told{{6, 1, 2}, false, 5});
  const auto rows = deliveries_.TakeDirty();
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_TRUE(deliveries_.TakeDirty().empty());
  deliveries_.MarkDirty(rows);
  EXPECT_EQ(deliveries_.TakeDirty().size(), 1u) << "it could not be stored";
  Deliveries restored;
  restored.Restore({{kTeller, {.seq = 5, .lost = 0, .counted = 5}}}, rows);
  const Json row =
      restored.View("n1", [](const std::string&, uint64_t) { return false; })["items"][0];
  EXPECT_EQ(row["sent"], 6);
  EXPECT_EQ(row["merged"], 2);
  EXPECT_EQ(row["pending"], 1);
  EXPECT_EQ(row["state"], "gone");
  EXPECT_EQ(restored.View("n2", {})["items"].size(), 0u);
}

}  // namespace
}  // namespace weir::control::ingest
