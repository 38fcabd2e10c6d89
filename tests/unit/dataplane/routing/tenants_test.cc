// SPDX-License-Identifier: Apache-2.0
#include "dataplane/routing/tenants.h"

#include <gtest/gtest.h>

#include <string>

namespace weir::node::routing {
namespace {

class TenantsTest : public testing::Test {
 protected:
  Recorder* Find(const std::string& tenant, int64_t now_ms = 1000) {
    return tenants_.Find(tenant, "fraud", "1.0.0", telemetry::kArmStable, now_ms);
  }

  Recorders recorders_;
  Tenants tenants_{recorders_};
};

TEST_F(TenantsTest, ATenantHasASeriesOfItsOwnForEachModel) {
  Find("acme")->Answer(12, false, 1);
  Find("acme")->Answer(14, true, 1);
  tenants_.Find("acme", "churn", "2", telemetry::kArmCanary, 1000)->Answer(1, false, 1);
  recorders_.Prune();
  const telemetry::Window window = recorders_.TakeTelemetry();
  ASSERT_EQ(window.size(), 2u);
  const telemetry::Series& fraud = window.at({"tenant/acme/fraud", "1.0.0", "stable"});
  EXPECT_EQ(fraud.Counter(telemetry::kRequests), 2u);
  EXPECT_EQ(fraud.Counter(telemetry::kBad), 1u);
  EXPECT_TRUE(window.contains({"tenant/acme/churn", "2", "canary"}));
}

TEST_F(TenantsTest, NamesThatSayNothingAreNotCounted) {
  for (const char* name : {"", "a b", "a/b", "ä", "a\n"}) EXPECT_EQ(Find(name), nullptr) << name;
  EXPECT_EQ(Find(std::string(65, 'a')), nullptr);
  EXPECT_NE(Find(std::string(64, 'a')), nullptr);
}

TEST_F(TenantsTest, MadeUpTenantsFillNoMemoryAndMakeWay) {
  for (int i = 0; i < 1000; ++i) Find("t" + std::to_string(i));
  EXPECT_EQ(tenants_.size(), Tenants::kMaxTenants);
  EXPECT_EQ(Find("late"), nullptr);
  EXPECT_NE(Find("t1", 2000), nullptr);
  EXPECT_NE(Find("late", 1001 + Tenants::kForgetMs), nullptr);
  EXPECT_EQ(tenants_.size(), 2u);
}

TEST_F(TenantsTest, TenantsAreNoModelsToPrometheus) {
  Find("acme")->Answer(12, false, 1);
  Recorders::Totals totals;
  recorders_.AddTo(totals);
  EXPECT_TRUE(totals.empty());
}

}  // namespace
}  // namespace weir::node::routing
