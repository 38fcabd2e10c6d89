// SPDX-License-Identifier: Apache-2.0
#include "dataplane/admission/gates.h"

#include <gtest/gtest.h>

#include <string>

namespace weir::node::admission {
namespace {

constexpr Now kNow{1'000'000'000, 1'763'683'200'000};

class GatesTest : public testing::Test {
 protected:
  GatesTest() {
    for (const char* name : {"fraud", "churn"}) {
      domain::ModelEntry model;
      model.name = name;
      rules_.Set(std::move(model));
    }
  }
  void Limit(const std::string& model, uint64_t slots) {
    domain::LimitEntry limit;
    limit.name = model;
    limit.max_concurrent = limit.most_concurrent = slots;
    limit.min_concurrent = 1;
    rules_.Set(std::move(limit));
  }
  void Flag(bool enabled) {
    domain::FlagEntry flag;
    flag.name = kGovernorFlag;
    flag.enabled = enabled;
    flag.threshold = 100'000;
    flag.seed = kGovernorFlag;
    rules_.Set(std::move(flag));
  }
  void Set(const std::string& node = "n1") { gates_.Set(rules_, node, kNow); }

  decision::Ruleset rules_;
  Gates gates_{2};
};

TEST_F(GatesTest, OnlyAModelWithALimitHasAGate) {
  Limit("fraud", 3);
  Set();
  ASSERT_NE(gates_.Find("fraud"), nullptr);
  EXPECT_EQ(gates_.Find("fraud")->View().slots, 3u);
  EXPECT_EQ(gates_.Find("churn"), nullptr);
}

TEST_F(GatesTest, WithoutItsLimitAModelHasNone) {
  Limit("fraud", 3);
  Set();
  const std::shared_ptr<Gate> gate = gates_.Find("fraud");
  rules_.Remove(domain::EntryKind::kLimit, "fraud");
  Set();
  EXPECT_EQ(gates_.Find("fraud"), nullptr);
  EXPECT_EQ(gate->View().slots, 0u);  // for who still holds it
}

TEST_F(GatesTest, ALimitThatReturnsFindsItsRequestsCounted) {
  Limit("fraud", 1);
  Set();
  gates_.Find("fraud")->Enter({.deadline_ns = 2'000'000'000}, kNow, [] { return Waiter{}; });
  rules_.Remove(domain::EntryKind::kLimit, "fraud");
  Set();
  Limit("fraud", 1);
  Set();
  EXPECT_EQ(gates_.Find("fraud")->View().inflight, 1u);
}

TEST_F(GatesTest, TheFlagGivesEveryModelAGovernor) {
  Limit("fraud", 3);
  Set();
  EXPECT_FALSE(gates_.Find("fraud")->View().u.has_value());
  Flag(true);
  Set();
  EXPECT_TRUE(gates_.Find("fraud")->View().u.has_value());
  EXPECT_EQ(gates_.Find("fraud")->View().slots, 3u);
  ASSERT_NE(gates_.Find("churn"), nullptr);
  EXPECT_EQ(gates_.Find("churn")->View().slots, 128u);
  Flag(false);
  Set();
  EXPECT_EQ(gates_.Find("churn"), nullptr);
}

TEST_F(GatesTest, AFlagThatChangesByItselfIsNoticed) {
  Flag(true);
  Set("");
  const uint64_t before = gates_.revision();
  gates_.Recheck(rules_, "", kNow);
  EXPECT_EQ(gates_.revision(), before);
  gates_.Recheck(rules_, "n1", kNow);
  EXPECT_GT(gates_.revision(), before);
  EXPECT_NE(gates_.Find("churn"), nullptr);
}

TEST_F(GatesTest, UntilTheNodeHasANameItsFlagIsOff) {
  Flag(true);
  Set("");
  EXPECT_EQ(gates_.Find("churn"), nullptr);
}

}  // namespace
}  // namespace weir::node::admission
