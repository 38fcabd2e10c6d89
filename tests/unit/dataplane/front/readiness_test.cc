// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/readiness.h"

#include "tests/unit/dataplane/front/node.h"

namespace weir::node::front {
namespace {

using runtime::State;

class ReadinessTest : public NodeTest {
 protected:
  // The model's stable and another model's, each READY or in that state.
  bool Check(State first, State second) {
    auto rules = std::make_shared<decision::Ruleset>();
    rules->epoch = 1;
    domain::ModelEntry other = model_;
    other.name = "other";
    rules->Set(model_);
    rules->Set(other);
    runtime::VersionTable::Ready ready;
    std::vector<runtime::VersionStatus> statuses;
    const std::pair<std::string, State> states[] = {{model_.name, first}, {"other", second}};
    for (const auto& [name, state] : states) {
      if (state == State::kReady) ready[{name, "1.0.0"}] = Load("1.0.0");
      statuses.push_back({name, "1.0.0", state, ""});
    }
    const runtime::VersionTable table(std::move(ready), std::move(statuses));
    const auto plan = routing::Plan::Build(rules, &table, recorders_);
    return readiness_.Check(plan.get(), &table, nullptr);
  }

  routing::Recorders recorders_;
  Readiness readiness_;
};

TEST_F(ReadinessTest, WaitsForTheFirstLoadsAndThenStays) {
  EXPECT_FALSE(readiness_.Check(nullptr, nullptr, nullptr));
  EXPECT_FALSE(Check(State::kLoading, State::kLoading));
  EXPECT_FALSE(Check(State::kReady, State::kLoading));
  EXPECT_TRUE(Check(State::kReady, State::kReady));
  EXPECT_TRUE(Check(State::kReady, State::kLoading));
}

TEST_F(ReadinessTest, OneFailedModelDoesNotTakeTheNodeOutButAllDo) {
  EXPECT_TRUE(Check(State::kReady, State::kFailed));
  EXPECT_FALSE(Check(State::kFailed, State::kFailed));
}

TEST_F(ReadinessTest, StaleNodeSaysHowOldItsSnapshotIs) {
  auto rules = std::make_shared<decision::Ruleset>();
  rules->epoch = 1;
  const runtime::VersionTable table({}, {});
  const auto plan = routing::Plan::Build(rules, &table, recorders_);
  NodeStatusView status;
  status.stale = true;
  status.control_error = "no beacon";
  const auto answer = [&] {
    return nlohmann::json::parse(
        readiness_.Answer(plan.get(), &table, &status, nullptr, 100'000, 1'000'000'000).body);
  };
  EXPECT_FALSE(answer()["snapshot"].contains("age_ms"));
  status.stored_wall_ms = 1'000'000'000 - 7'200'000;
  EXPECT_EQ(answer()["missing"][0],
            "control plane: no beacon (the snapshot was known to be the newest 2h ago)");
  status.current_at_ms = 100'000 - 42'300;
  EXPECT_EQ(answer()["snapshot"]["age_ms"], 42'300);
  EXPECT_EQ(answer()["missing"][0],
            "control plane: no beacon (the snapshot was known to be the newest 42s ago)");
}

}  // namespace
}  // namespace weir::node::front
