// SPDX-License-Identifier: Apache-2.0
#include "controlplane/notify/queue.h"

#include <gtest/gtest.h>

#include <utility>

namespace weir::control::notify {
namespace {

class QueueTest : public testing::Test {
 protected:
  uint64_t Add(const std::string& type, codec::Json data, uint64_t on_way = 0) {
    Queue::Item item;
    item.number = ++last_;
    item.notice = std::make_shared<const Notice>(
        Notice{"e-" + std::to_string(last_), type, 0, std::move(data)});
    item.is_test = type == "test";
    needless_ = queue_.Add(std::move(item), on_way);
    return last_;
  }
  uint64_t AddRollout(const std::string& name) { return Add("rollout", {{"rollout", name}}); }
  uint64_t AddAlerts(const std::vector<std::pair<std::string, std::string>>& alerts,
                     uint64_t on_way = 0) {
    codec::Json rows = codec::Json::array();
    for (const auto& [id, why] : alerts) rows.push_back({{"id", id}, {"why", why}});
    return Add("alert", {{"policy", "p"}, {"alerts", rows}}, on_way);
  }
  uint64_t Next(int64_t now_ms) const {
    const Queue::Item* next = queue_.Next(now_ms);
    return next == nullptr ? 0 : next->number;
  }
  void SetAside(uint64_t number, int64_t due_ms) {
    queue_.Find(number)->attempts = kAttemptsInTurn;
    queue_.Find(number)->due_ms = due_ms;
  }

  Queue queue_;
  uint64_t last_ = 0;
  std::vector<uint64_t> needless_;
};

TEST_F(QueueTest, KeepsTheOrderOfComing) {
  EXPECT_EQ(Next(0), 0u);
  const uint64_t first = AddRollout("a");
  const uint64_t second = AddRollout("b");
  queue_.Find(first)->attempts = kAttemptsInTurn - 1;
  EXPECT_EQ(Next(0), first);
  queue_.Remove(first);
  EXPECT_EQ(Next(0), second);
}

TEST_F(QueueTest, WhatIsSetAsideHoldsUpOnlyItsOwnSubject) {
  const uint64_t begun = AddRollout("a");
  const uint64_t ended = AddRollout("a");
  const uint64_t other = AddRollout("b");
  SetAside(begun, 1000);
  EXPECT_EQ(Next(5000), other) << "it goes first, whether the other is due or not";
  queue_.Remove(other);
  EXPECT_EQ(Next(999), 0u) << "an end is not told before its beginning";
  EXPECT_EQ(Next(1000), begun);
  queue_.Find(begun)->due_ms = 9000;
  queue_.MakeDue();
  EXPECT_EQ(Next(1000), begun);
  queue_.Remove(begun);
  EXPECT_EQ(Next(0), ended);
}

TEST_F(QueueTest, ATestGoesFirst) {
  AddRollout("a");
  const uint64_t test = Add("test", {});
  EXPECT_EQ(Next(0), test);
}

TEST_F(QueueTest, TheOldestLeavesButForWhatIsOnItsWay) {
  const uint64_t first = AddRollout("a");
  const uint64_t second = AddRollout("b");
  Add("test", {});
  EXPECT_EQ(queue_.TakeOldest(first)->number, second);
  EXPECT_FALSE(queue_.TakeOldest(first).has_value());
}

TEST_F(QueueTest, OnlyTheLastOfRepeatedAlertsWaits) {
  const uint64_t firing = AddAlerts({{"a1", "firing"}});
  const uint64_t repeated = AddAlerts({{"a1", "repeated"}, {"a2", "repeated"}});
  AddAlerts({{"a1", "resolved"}});
  EXPECT_TRUE(needless_.empty()) << "nobody else tells of a2";
  const uint64_t again = AddAlerts({{"a2", "repeated"}, {"a1", "repeated"}});
  EXPECT_EQ(needless_, std::vector<uint64_t>{repeated});
  AddAlerts({{"a1", "worse"}, {"a2", "resolved"}}, again);
  EXPECT_TRUE(needless_.empty()) << "what is on its way stays";
  EXPECT_NE(queue_.Find(firing), nullptr) << "what was told once is told";
}

}  // namespace
}  // namespace weir::control::notify
