// SPDX-License-Identifier: Apache-2.0
// What local times are in UTC is from Python's zoneinfo.
#include "controlplane/gates/time_gate.h"

#include <gtest/gtest.h>

#include "shared/base/clock.h"

namespace weir::control::gates {
namespace {

using State = Outcome::State;

Outcome At(const domain::Gate& gate, const std::string& utc, int64_t age_ms = 0) {
  return LookAtTime(gate, age_ms, *ParseTimeMs(utc));
}

domain::Gate Window(std::vector<std::string> days, std::string from, std::string to,
                    std::string zone) {
  domain::Gate gate;
  gate.type = "time_based";
  gate.days = std::move(days);
  gate.from = std::move(from);
  gate.to = std::move(to);
  gate.time_zone = std::move(zone);
  return gate;
}

const std::vector<std::string> kWorkdays = {"mon", "tue", "wed", "thu", "fri"};

TEST(TimeGate, PassesAfterItsDuration) {
  domain::Gate gate;
  gate.duration.ms = 24 * 3'600'000;
  const Outcome before = At(gate, "2026-11-20T12:00:00Z", 11 * 3'600'000 + 1);
  EXPECT_EQ(before.state, State::kWaiting);
  EXPECT_EQ(before.reason, "13h more of 1d");
  EXPECT_EQ(At(gate, "2026-11-20T12:00:00Z", gate.duration.ms - 1).state, State::kWaiting);
  EXPECT_EQ(At(gate, "2026-11-20T12:00:00Z", gate.duration.ms).state, State::kPassed);
}

TEST(TimeGate, SaysWhenItOpens) {
  const domain::Gate gate = Window(kWorkdays, "09:00", "17:00", "Europe/Berlin");
  // Sunday 20:00 in Berlin (winter: UTC+1).
  const Outcome sunday = At(gate, "2026-11-22T19:00:00Z");
  EXPECT_EQ(sunday.state, State::kWaiting);
  EXPECT_EQ(sunday.reason, "opens Mon 09:00 Europe/Berlin, in 13h");
  EXPECT_EQ(At(gate, "2026-11-23T07:59:59.999Z").state, State::kWaiting);
  const Outcome open = At(gate, "2026-11-23T08:00:00Z");
  EXPECT_EQ(open.state, State::kPassed);
  EXPECT_EQ(open.reason, "open until Mon 17:00 Europe/Berlin");
  EXPECT_EQ(At(gate, "2026-11-23T15:59:59.999Z").state, State::kPassed);
  EXPECT_EQ(At(gate, "2026-11-23T16:00:00Z").reason, "opens Tue 09:00 Europe/Berlin, in 16h");
  EXPECT_EQ(At(gate, "2026-11-20T16:00:00Z").reason, "opens Mon 09:00 Europe/Berlin, in 2d 16h");
}

TEST(TimeGate, FollowsTheClocksOfSummer) {
  const domain::Gate gate = Window({}, "09:00", "17:00", "Europe/Berlin");
  // 29 March 2026, 02:00 → 03:00: from then on 09:00 in Berlin is 07:00 UTC.
  EXPECT_EQ(At(gate, "2026-03-28T07:30:00Z").state, State::kWaiting);
  EXPECT_EQ(At(gate, "2026-03-28T08:00:00Z").state, State::kPassed);
  EXPECT_EQ(At(gate, "2026-03-29T07:00:00Z").state, State::kPassed);
  // The night of the change is an hour shorter: 17:00 to 09:00 takes 15 hours.
  EXPECT_EQ(At(gate, "2026-03-28T16:00:00Z").reason, "opens Sun 09:00 Europe/Berlin, in 15h");
  // 25 October 2026, 03:00 → 02:00: an hour longer.
  EXPECT_EQ(At(gate, "2026-10-24T15:00:00Z").reason, "opens Sun 09:00 Europe/Berlin, in 17h");
}

TEST(TimeGate, AMomentThatTheClocksSkipIsWhenTheyDo) {
  const domain::Gate gate = Window({"sun"}, "02:30", "04:00", "Europe/Berlin");
  EXPECT_EQ(At(gate, "2026-03-29T00:59:59Z").state, State::kWaiting);
  EXPECT_EQ(At(gate, "2026-03-29T01:00:00Z").state, State::kPassed) << "03:00 in Berlin";
  EXPECT_EQ(At(gate, "2026-03-29T02:00:00Z").state, State::kWaiting) << "04:00 in Berlin";
}

TEST(TimeGate, AMomentThatComesTwiceOpensAtTheFirstAndClosesAtTheSecond) {
  const domain::Gate gate = Window({"sun"}, "02:15", "02:45", "Europe/Berlin");
  EXPECT_EQ(At(gate, "2026-10-25T00:14:59Z").state, State::kWaiting);
  EXPECT_EQ(At(gate, "2026-10-25T00:15:00Z").state, State::kPassed) << "02:15 in summer time";
  EXPECT_EQ(At(gate, "2026-10-25T01:44:59Z").state, State::kPassed) << "02:44 in winter time";
  EXPECT_EQ(At(gate, "2026-10-25T01:45:00Z").state, State::kWaiting);
}

TEST(TimeGate, MayPassMidnight) {
  const domain::Gate gate = Window({"fri"}, "22:00", "06:00", "America/New_York");
  // Winter in New York: UTC-5. Friday 20 November 22:00 is Saturday 03:00 UTC.
  EXPECT_EQ(At(gate, "2026-11-21T02:59:00Z").reason, "opens Fri 22:00 America/New_York, in 1m");
  EXPECT_EQ(At(gate, "2026-11-21T03:00:00Z").state, State::kPassed);
  EXPECT_EQ(At(gate, "2026-11-21T10:59:59Z").reason, "open until Sat 06:00 America/New_York");
  EXPECT_EQ(At(gate, "2026-11-21T11:00:00Z").state, State::kWaiting);
  EXPECT_EQ(At(gate, "2026-11-22T03:00:00Z").state, State::kWaiting) << "Saturday is not its day";
}

TEST(TimeGate, WithoutHoursADayIsWholeAndWithoutAZoneItIsUtc) {
  const domain::Gate gate = Window({"Wed"}, "", "", "");
  EXPECT_EQ(At(gate, "2026-11-24T23:59:59Z").reason, "opens Wed 00:00 UTC, in 1s");
  EXPECT_EQ(At(gate, "2026-11-25T00:00:00Z").state, State::kPassed);
  EXPECT_EQ(At(gate, "2026-11-25T23:59:59Z").state, State::kPassed);
  EXPECT_EQ(At(gate, "2026-11-26T00:00:00Z").state, State::kWaiting);
}

TEST(TimeGate, NeedsBothWhenBothAreGiven) {
  domain::Gate gate = Window(kWorkdays, "09:00", "17:00", "UTC");
  gate.duration.ms = 3'600'000;
  EXPECT_EQ(At(gate, "2026-11-23T10:00:00Z", 0).reason, "1h more of 1h");
  EXPECT_EQ(At(gate, "2026-11-23T18:00:00Z", 3'600'000).reason, "opens Tue 09:00 UTC, in 15h");
  EXPECT_EQ(At(gate, "2026-11-23T10:00:00Z", 3'600'000).state, State::kPassed);
}

TEST(TimeGate, SaysWhatIsWrong) {
  const std::string now = "2026-11-23T10:00:00Z";
  const Outcome zone = At(Window({}, "09:00", "17:00", "Europe/Berln"), now);
  EXPECT_EQ(zone.state, State::kWaiting);
  EXPECT_NE(zone.reason.find("time_zone: \"Europe/Berln\" is not a time zone"), std::string::npos)
      << zone.reason;
  EXPECT_FALSE(CheckTimeZone("Europe/Berln").ok());
  EXPECT_FALSE(CheckTimeZone("../../etc/passwd").ok());
  EXPECT_TRUE(CheckTimeZone("Europe/Berlin").ok());
  EXPECT_TRUE(CheckTimeZone("").ok());
  EXPECT_NE(At(Window({"someday"}, "", "", ""), now).reason.find("days: "), std::string::npos);
  EXPECT_NE(At(Window({}, "25:00", "", ""), now).reason.find("from: "), std::string::npos);
  EXPECT_NE(At(Window({}, "", "9", ""), now).reason.find("to: "), std::string::npos);
  EXPECT_EQ(At({}, now).state, State::kWaiting);
}

}  // namespace
}  // namespace weir::control::gates
