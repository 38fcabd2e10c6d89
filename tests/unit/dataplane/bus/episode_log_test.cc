// SPDX-License-Identifier: Apache-2.0
#include "dataplane/bus/episode_log.h"

#include <gtest/gtest.h>

#include <string>

namespace weir::node::bus {
namespace {

wire::Episode Episode(int64_t from, int64_t to, const std::string& subject = "m") {
  return {.kind = "breaker", .subject = subject, .from_wall_ms = from, .to_wall_ms = to};
}

TEST(EpisodeLog, AnEndReplacesItsBeginning) {
  EpisodeLog log;
  log.Take(Episode(1, 0));
  log.Take(Episode(1, 0, "n"));
  log.Take(Episode(1, 5));
  ASSERT_EQ(log.all().size(), 2u);
  EXPECT_EQ(log.all()[0], Episode(1, 5));
  EXPECT_EQ(log.all()[1], Episode(1, 0, "n"));
  log.Take(Episode(6, 0));
  EXPECT_EQ(log.all().size(), 3u) << "another one of the same subject";
}

TEST(EpisodeLog, KeepsTheLastOnesAndThoseThatGoOn) {
  constexpr auto kMax = static_cast<int64_t>(wire::NodeReport::kMaxEpisodes);
  EpisodeLog log;
  log.Take(Episode(1, 0, "goes on"));
  for (int64_t i = 2; i < kMax + 10; ++i) log.Take(Episode(i, i + 1));
  ASSERT_EQ(log.all().size(), wire::NodeReport::kMaxEpisodes);
  EXPECT_EQ(log.all().front().subject, "goes on");
  EXPECT_EQ(log.all().back().from_wall_ms, kMax + 9);
  EXPECT_EQ(log.all()[1].from_wall_ms, 11);
}

TEST(EpisodeLog, WhenAllGoOnTheOldestIsDropped) {
  EpisodeLog log;
  for (int64_t i = 1; i <= 33; ++i) log.Take(Episode(i, 0));
  ASSERT_EQ(log.all().size(), 32u);
  EXPECT_EQ(log.all().front().from_wall_ms, 2);
}

}  // namespace
}  // namespace weir::node::bus
