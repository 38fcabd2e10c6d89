// SPDX-License-Identifier: Apache-2.0
// `weir explain --at`: what a key got then, on the whole and on one node.
#include <gtest/gtest.h>
#include <signal.h>

#include "shared/base/clock.h"
#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

class Audit : public ClusterTest {
 protected:
  static int64_t WallMs() { return Clock::System().WallMs(); }
  // Flag checkout, on or off; waits until every live node has it.
  void Set(bool enabled, bool wait = true) {
    const Answer answer = api().Put("/v1/flags/checkout", {{"apiVersion", "weir/v1"},
                                                           {"kind", "Flag"},
                                                           {"metadata", {{"name", "checkout"}}},
                                                           {"spec", {{"enabled", enabled}}}});
    ASSERT_TRUE(answer.ok()) << answer;
    if (wait) {
      ASSERT_TRUE(WaitFor("applied", [&] { return EveryoneIsAtHead(); }));
    }
  }
  Answer Ask(const std::string& at, const std::string& node = "") const {
    Json body = {{"key", "user-1"}, {"flag", "checkout"}, {"at", at}};
    if (!node.empty()) body["node"] = node;
    return api().Post("/v1/explain", body);
  }
  static bool IsOn(const Json& answer) { return answer["flags"][0].value("enabled", false); }
};

TEST_F(Audit, AMomentIsAnsweredByTheRevisionThatWasInForce) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  const std::string before = FormatTimeMs(WallMs() - 1000);
  ASSERT_NO_FATAL_FAILURE(Set(false));
  const int64_t off_ms = WallMs();
  ASSERT_TRUE(WaitFor("a later second", [&] { return WallMs() > off_ms + 10; }));
  ASSERT_NO_FATAL_FAILURE(Set(true));
  const Answer off = Ask(FormatTimeMs(off_ms));
  ASSERT_EQ(off.status, 200) << off;
  ASSERT_EQ(off.json["answers"].size(), 1u) << off;
  EXPECT_FALSE(IsOn(off.json["answers"][0])) << off;
  EXPECT_EQ(off.json["answers"][0]["actor"], "test:alice");
  const Answer on = Ask(FormatTimeMs(WallMs()));
  EXPECT_TRUE(IsOn(on.json["answers"].back())) << on;
  EXPECT_EQ(Ask(before).json["answers"].size(), 0u) << "nothing was there yet";

  // The minute in which it changed has both.
  const std::string minute = FormatTimeMs(off_ms).substr(0, 16);
  const Answer both = Ask(minute);
  ASSERT_EQ(both.status, 200) << both;
  if (FormatTimeMs(WallMs()).substr(0, 16) == minute) {
    ASSERT_EQ(both.json["answers"].size(), 2u) << both;
    EXPECT_FALSE(IsOn(both.json["answers"][0]));
    EXPECT_TRUE(IsOn(both.json["answers"][1]));
  }
  EXPECT_EQ(Ask("yesterday").status, 400);
  EXPECT_EQ(Ask("2999-01-01T00:00").status, 400) << "the future is unknown";
  EXPECT_EQ(Ask(minute, "n9").status, 404) << "nobody has heard of it";
}

TEST_F(Audit, ANodeIsAnsweredByWhatItHadApplied) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Set(false));
  nodes[1]->Signal(SIGSTOP);
  ASSERT_NO_FATAL_FAILURE(Set(true, /*wait=*/false));
  ASSERT_TRUE(WaitFor("n1 has it", [&] {
    const Json row = NodeRow("n1");
    return row.is_object() && row["snapshot"]["version"] == api().Get("/v1/status").json["version"];
  }));
  const std::string then = FormatTimeMs(WallMs());
  ASSERT_TRUE(WaitFor("stored", [&] {
    const Answer fast = Ask(then, "n1");
    return !fast.json["answers"].empty() && IsOn(fast.json["answers"].back());
  }));
  const Answer slow = Ask(then, "n2");
  ASSERT_EQ(slow.json["answers"].size(), 1u) << slow;
  EXPECT_FALSE(IsOn(slow.json["answers"][0])) << "it hung: " << slow;
  nodes[1]->Signal(SIGCONT);

  // The control plane's memory of it outlives the control plane.
  ASSERT_TRUE(WaitFor("applied", [&] { return EveryoneIsAtHead(); }));
  control.Kill9();
  ASSERT_TRUE(control.Start().ok());
  const Answer again = Ask(then, "n2");
  ASSERT_EQ(again.json["answers"].size(), 1u) << again;
  EXPECT_FALSE(IsOn(again.json["answers"][0]));
}

TEST_F(Audit, ANodeThatIsGoneIsAnsweredByTheLabelsItHad) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  Node& node = AddNode({.id = "a1", .control = "", .more = {"--labels", "zone=a"}});
  const Json phases = {
      {{"name", "a"}, {"percentage", 100}, {"nodes", {{"zone", "a"}}}, {"duration", "1h"}},
      {{"name", "all"}, {"percentage", 100}}};
  const Answer put =
      api().Put("/v1/flags/checkout", {{"apiVersion", "weir/v1"},
                                       {"kind", "Flag"},
                                       {"metadata", {{"name", "checkout"}}},
                                       {"spec", {{"enabled", true}, {"rollout_percentage", 0}}}});
  ASSERT_TRUE(put.ok()) << put;
  const Answer rollout =
      api().Put("/v1/rollouts/zones", {{"apiVersion", "weir/v1"},
                                       {"kind", "Rollout"},
                                       {"metadata", {{"name", "zones"}}},
                                       {"spec", {{"flag", "checkout"}, {"phases", phases}}}});
  ASSERT_TRUE(rollout.ok()) << rollout;
  const auto is_on = [&](const std::string& id) {
    const Answer answer = Ask(FormatTimeMs(WallMs()), id);
    return !answer.json["answers"].empty() && IsOn(answer.json["answers"].back());
  };
  ASSERT_TRUE(WaitFor("stored", [&] { return is_on("a1"); })) << Ask(FormatTimeMs(WallMs()), "a1");
  EXPECT_FALSE(is_on("n1"));
  node.Kill9();
  control.Kill9();
  ASSERT_TRUE(control.Start().ok());
  ASSERT_TRUE(NodeRow("a1").is_null()) << "nobody has heard of it since";
  EXPECT_TRUE(is_on("a1")) << Ask(FormatTimeMs(WallMs()), "a1");
}

}  // namespace
}  // namespace weir::integration
