// SPDX-License-Identifier: Apache-2.0
// A version is restarted on one node after the other.
#include "tests/unit/controlplane/remedy/driver_fixture.h"

namespace weir::control::remedy {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class RemedyRestarts : public RemedyTest {
 protected:
  std::string Asked() { return Limit().acts.empty() ? "" : Limit().acts.at(0).node; }
  void Node(size_t i, const std::string& state) {
    nodes_[i].versions[0].state = state;
    nodes_[i].applied_version = revision_;
  }
};

TEST_F(RemedyRestarts, OneNodeAtATimeAndTheNextWhenItIsReadyAgain) {
  SetNodes({"READY", "READY", "READY"});
  PutPolicy("p", Policy("restart"));
  Driver driver(World());
  Run(driver, 2, 100, 50);
  ASSERT_EQ(Asked(), "n1");
  EXPECT_EQ(Limit().acts[0].version, "1") << "stable, while nothing rolls out";
  EXPECT_EQ(Limit().acts[0].value, 1);
  Run(driver, 10, 100, 0);
  EXPECT_EQ(Asked(), "n1") << "it has not heard yet";
  Node(0, "UNLOADING");
  Run(driver, 1, 100, 0);
  Node(0, "LOADING");
  Run(driver, 20, 100, 0);
  EXPECT_EQ(Asked(), "n1");
  Node(0, "READY");
  Run(driver, 1, 100, 0);
  EXPECT_EQ(Asked(), "n2");
  EXPECT_EQ(Limit().acts[0].value, 2) << "each is another one";
  for (const size_t i : {1, 2}) {
    Node(i, "LOADING");
    Run(driver, 1, 100, 0);
    Node(i, "READY");
    Run(driver, 1, 100, 0);
  }
  EXPECT_THAT(Limit().acts, IsEmpty());
  EXPECT_THAT(plans_.back().reason, HasSubstr("everywhere"));
}

TEST_F(RemedyRestarts, NeverFewerThanHalfAreReady) {
  SetNodes({"READY"});
  PutPolicy("p", Policy("restart"));
  Driver driver(World());
  Run(driver, 3, 100, 50);
  EXPECT_THAT(plans_, IsEmpty());
  EXPECT_THAT(driver.View("p")["last"][1]["reason"].get<std::string>(),
              HasSubstr("1 of 1 nodes have m 1 ready"));
  SetNodes({"READY", "LOADING"});
  Run(driver, 60, 100, 50);
  EXPECT_THAT(plans_, IsEmpty()) << "one is loading";
  SetNodes({"READY", "FAILED"});
  Run(driver, 60, 100, 50);
  EXPECT_EQ(Asked(), "n2") << "it answers nobody anyway";
}

TEST_F(RemedyRestarts, ANodeThatDoesNotComeBackEndsIt) {
  PutPolicy("p", Policy("restart"));
  Driver driver(World());
  Run(driver, 2, 100, 50);
  ASSERT_EQ(Asked(), "n1");
  Node(0, "FAILED");
  Run(driver, 121, 100, 0);
  EXPECT_THAT(Limit().acts, IsEmpty());
  ASSERT_THAT(notices_, testing::Not(IsEmpty()));
  EXPECT_EQ(notices_.back()["reason"], "n1 is not READY again: FAILED");
}

TEST_F(RemedyRestarts, GoesOnAfterARestartOfTheControlPlane) {
  PutPolicy("p", Policy("restart"));
  auto first = std::make_unique<Driver>(World());
  Run(*first, 2, 100, 50);
  ASSERT_EQ(Asked(), "n1");
  const codec::Json state = codec::Json::parse(first->SaveState().dump());
  first.reset();
  Driver driver(World());
  driver.LoadState(state, now_ms_, WallMs());
  Node(0, "LOADING");
  Run(driver, 1, 100, 0);
  Node(0, "READY");
  Run(driver, 1, 100, 0);
  EXPECT_EQ(Asked(), "n2");
}

TEST_F(RemedyRestarts, AnActThatNobodyFollowsIsRemoved) {
  PutPolicy("p", Policy("restart"));
  auto first = std::make_unique<Driver>(World());
  Run(*first, 2, 100, 50);
  ASSERT_EQ(Asked(), "n1");
  Driver driver(World());
  Run(driver, 1, 100, 0);
  EXPECT_EQ(Asked(), "");
}

}  // namespace
}  // namespace weir::control::remedy
