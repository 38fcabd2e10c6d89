// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/episodes.h"

#include <gtest/gtest.h>

namespace weir::node::front {
namespace {

const breaker::Change kOpened{{"m", "2"}, true, "it failed"};
const breaker::Change kClosed{{"m", "2"}, false, ""};

TEST(Episodes, LastFromTheFirstWorkersBreakerToTheLastOnes) {
  Episodes episodes;
  const auto begun = episodes.Take(kOpened, 1000);
  ASSERT_TRUE(begun.has_value());
  EXPECT_EQ(*begun, (wire::Episode{"breaker", "model/m/2", 1000, 0, "it failed"}));
  EXPECT_FALSE(episodes.Take(kOpened, 1100).has_value());  // of another worker
  EXPECT_FALSE(episodes.Take(kClosed, 1200).has_value());
  EXPECT_TRUE(episodes.Take({{"m", "3"}, true, "too"}, 1250).has_value());
  const auto ended = episodes.Take(kClosed, 1300);
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(*ended, (wire::Episode{"breaker", "model/m/2", 1000, 1300, "it failed"}));
  EXPECT_FALSE(episodes.Take(kClosed, 1400).has_value());
  EXPECT_EQ(episodes.Take(kOpened, 1500)->from_wall_ms, 1500);
}

}  // namespace
}  // namespace weir::node::front
