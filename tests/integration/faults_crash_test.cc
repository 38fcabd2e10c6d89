// SPDX-License-Identifier: Apache-2.0
// kill -9 at each step of a commit and of telemetry (shared/base/crash_point.h): what was committed
// is there, what was not never was, no version is used twice, and every request is counted once.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <set>

#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

using testing::HasSubstr;

constexpr int kKilled = 128 + SIGKILL;
constexpr char kVariable[] = "WEIR_TEST_CRASH_AT";

class FaultsCrash : public ClusterTest {
 protected:
  void StartWith(const std::string& step) {
    control.variables.clear();
    if (!step.empty()) control.variables[kVariable] = step;
    const Status started = control.Start();
    ASSERT_TRUE(started.ok()) << started.ToString();
  }
  // A change that the control plane does not survive.
  void DieAt(const std::string& step, double percentage) {
    control.Kill9();
    ASSERT_NO_FATAL_FAILURE(StartWith(step));
    ASSERT_TRUE(WaitFor("the nodes are back", [&] { return EveryoneIsAtHead(); }));
    EXPECT_EQ(PutFlag("checkout", percentage).status, 0) << "it was answered after " << step;
    ASSERT_EQ(control.process().Wait(kPatienceMs), kKilled) << step;
    ASSERT_NO_FATAL_FAILURE(StartWith(""));
  }
  std::set<uint64_t> Revisions() const {
    std::set<uint64_t> revisions;
    const Answer page = api().Get("/v1/history?kind=Flag&name=checkout&limit=1000");
    EXPECT_EQ(page.status, 200) << page;
    for (const Json& row : page.json["items"]) revisions.insert(row["revision"].get<uint64_t>());
    return revisions;
  }
  double Percentage() const {
    return api().Get("/v1/flags/checkout").json["spec"].value("rollout_percentage", -1.0);
  }
};

TEST_F(FaultsCrash, AtEachStepOfACommitTheRevisionIsThereOrNeverWas) {
  struct Step {
    const char* name;
    bool committed;
  };
  constexpr Step kSteps[] = {{"store.before_commit", false},
                             {"store.after_commit", true},
                             {"publish.before", true},
                             {"publish.after", true}};
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0"}));
  ASSERT_EQ(PutFlag("checkout", 1).status, 201);
  Traffic traffic(Addresses(), 100);
  double stands = 1;
  double next = 1;
  std::set<uint64_t> seen = Revisions();
  for (const Step& step : kSteps) {
    SCOPED_TRACE(step.name);
    ASSERT_NO_FATAL_FAILURE(DieAt(step.name, ++next));
    const std::set<uint64_t> now = Revisions();
    EXPECT_EQ(now.size(), seen.size() + (step.committed ? 1 : 0));
    EXPECT_TRUE(std::includes(now.begin(), now.end(), seen.begin(), seen.end()));
    if (step.committed) stands = next;
    EXPECT_EQ(Percentage(), stands);
    ASSERT_TRUE(WaitFor("the nodes have what stands", [&] {
      return EveryoneIsAtHead() && Threshold(node(0), "checkout") == stands * 1000 &&
             Threshold(node(1), "checkout") == stands * 1000;
    })) << Threshold(node(0), "checkout");
    // The next change has a number that nobody has seen.
    const Answer answer = PutFlag("checkout", ++next);
    ASSERT_EQ(answer.status, 200) << answer;
    EXPECT_GT(answer.json["metadata"]["revision"].get<uint64_t>(), *now.rbegin());
    stands = next;
    seen = Revisions();
  }
  ASSERT_TRUE(WaitFor("the nodes are at the head", [&] { return EveryoneIsAtHead(); }));
  const TrafficCounts counts = traffic.Stop();
  EXPECT_EQ(counts.served, counts.sent) << counts.last_problem;
  EXPECT_TRUE(WaitFor("exact counts", [&] { return CountedExactly(counts.by_arm); }));
}

TEST_F(FaultsCrash, AroundTheStoringOfTelemetryEachRequestIsCountedOnce) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0"}));
  Traffic traffic(Addresses(), 200);
  for (const char* step : {"ingest.before_store:2", "ingest.after_store:2"}) {
    SCOPED_TRACE(step);
    control.Kill9();
    ASSERT_NO_FATAL_FAILURE(StartWith(step));
    ASSERT_EQ(control.process().Wait(kPatienceMs), kKilled);
    EXPECT_THAT(control.process().Tail(), HasSubstr("will kill itself at"));
    const uint64_t sent = traffic.Counts().sent;
    ASSERT_TRUE(WaitFor("traffic", [&] { return traffic.Counts().sent > sent + 20; }));
  }
  ASSERT_NO_FATAL_FAILURE(StartWith(""));
  ASSERT_TRUE(WaitFor("the nodes are back", [&] { return EveryoneIsAtHead(); }));
  const TrafficCounts counts = traffic.Stop();
  EXPECT_EQ(counts.served, counts.sent) << counts.last_problem;
  EXPECT_TRUE(WaitFor("exact counts", [&] { return CountedExactly(counts.by_arm); }));
}

TEST_F(FaultsCrash, NodeThatDiesAfterSendingIsCountedOnceAndAnewFromItsRestart) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0"}));
  ASSERT_EQ(node(0).Stop(), 0);
  const Json before = NodeRow("n1");
  node(0).variables[kVariable] = "report.after_send";
  ASSERT_TRUE(node(0).Start().ok());
  ASSERT_TRUE(WaitFor("ready", [&] { return IsReady(node(0)); }));
  uint64_t answered = 0;
  ASSERT_TRUE(WaitFor("it dies", [&] {
    answered += Infer(node(0).api(), Requests()[0]).status == 200 ? 1 : 0;
    return node(0).process().Poll().has_value();
  }));
  EXPECT_EQ(node(0).process().Poll(), kKilled);
  node(0).variables.clear();
  ASSERT_TRUE(node(0).Start().ok());
  ASSERT_TRUE(WaitFor("it is back", [&] { return EveryoneIsAtHead() && IsReady(node(0)); }));
  EXPECT_GT(NodeRow("n1")["incarnation"], before["incarnation"]);
  const auto counted = [&] { return Counted()[{"1.0.0", "stable"}]; };
  ASSERT_TRUE(WaitFor("nothing pending", [&] { return NothingPending(); }));
  const uint64_t of_the_dead = counted();
  EXPECT_LE(of_the_dead, answered);  // what it had not sent died with it
  for (int i = 0; i < 10; ++i) ASSERT_EQ(Infer(node(0).api(), Requests()[0]).status, 200);
  EXPECT_TRUE(WaitFor("ten more", [&] { return counted() >= of_the_dead + 10; }));
  EXPECT_TRUE(WaitFor("nothing pending", [&] { return NothingPending(); }));
  // What the dead one had sent may have been on its way when it was asked for.
  EXPECT_GE(counted(), of_the_dead + 10);
  EXPECT_LE(counted(), answered + 10);
}

TEST_F(FaultsCrash, NodeThatDiesBeforeItKeptASnapshotStartsFromTheOneBefore) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_EQ(PutFlag("checkout", 10).status, 201);
  ASSERT_TRUE(WaitFor("applied", [&] { return EveryoneIsAtHead(); }));
  ASSERT_EQ(node(0).Stop(), 0);  // keeps what it has
  node(0).variables[kVariable] = "snapshot.before_store";
  ASSERT_TRUE(node(0).Start().ok());
  ASSERT_TRUE(WaitFor("it is back", [&] { return EveryoneIsAtHead(); }));
  ASSERT_EQ(PutFlag("checkout", 20).status, 200);
  ASSERT_EQ(node(0).process().Wait(kPatienceMs), kKilled);
  control.Kill9();
  node(0).variables.clear();
  ASSERT_TRUE(node(0).Start().ok());
  ASSERT_TRUE(WaitFor("what it kept", [&] { return Threshold(node(0), "checkout") == 10'000; }));
  ASSERT_NO_FATAL_FAILURE(StartWith(""));
  ASSERT_TRUE(WaitFor("it catches up", [&] {
    return EveryoneIsAtHead() && Threshold(node(0), "checkout") == 20'000;
  }));
}

TEST_F(FaultsCrash, AWrongStepIsRefusedAtTheStart) {
  const Output output = RunProgram(control.Arguments(), {{kVariable, "store.somewhere"}});
  EXPECT_EQ(output.exit_code, 2) << output.Text();
  EXPECT_THAT(output.err, HasSubstr("store.somewhere"));
  EXPECT_EQ(RunProgram(control.Arguments(), {{kVariable, "publish.before:no"}}).exit_code, 2);
}

}  // namespace
}  // namespace weir::integration
