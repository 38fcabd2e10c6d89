// SPDX-License-Identifier: Apache-2.0
// The main job: a healthy candidate is promoted, a broken one is taken back by itself, and an old
// file applied again undoes neither that nor an emergency.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

class Canary : public ClusterTest {
 protected:
  // What somebody keeps in a file: the model and its first rollout.
  std::string ModelAndRollout() {
    return fmt::format(R"(apiVersion: weir/v1
kind: Model
metadata: {{name: fraud_detection, labels: {{team: risk}}}}
spec:
  stable: "1.0.0"
  versions:
    "1.0.0": {{runtime: xgboost, blob: "{}"}}
    "1.1.0": {{runtime: xgboost, blob: "{}"}}
  inputs: [{{name: features, datatype: FP32, shape: [-1, 12]}}]
---
apiVersion: weir/v1
kind: Rollout
metadata: {{name: fraud-1-1-0}}
spec:
  model: fraud_detection
  candidate: "1.1.0"
  phases:
    - {{name: canary, percentage: 1, duration: 1s, min_requests: 3}}
    - {{name: more, percentage: 20, duration: 1s, min_requests: 20}}
    - name: all
      percentage: 100
      duration: 1s
      gates: [{{type: metrics_threshold, metric: error_rate, condition: "< 0.01", min_requests: 10}}]
  rollback: {{error_rate: 0.05}}
)",
                       PutBlob(api(), ModelFile("1.0.0")), PutBlob(api(), ModelFile("1.1.0")));
  }
  Answer Apply(const std::string& text, const std::string& source) {
    return api().Call("POST", "/v1/apply?reason=as%20in%20git&source=file:" + source, text,
                      {{"Content-Type", "application/yaml"}});
  }
  // Follows a rollout to its end; every phase that was seen, in order.
  std::string Follow(const std::string& name, std::vector<uint64_t>& phases) {
    std::string state;
    EXPECT_TRUE(WaitFor(name + " ends", [&] {
      const Json status = RolloutStatus(api(), name);
      if (!status.is_object()) return false;
      state = status["state"];
      const uint64_t phase = status["phase"];
      if (phases.empty() || phases.back() != phase) phases.push_back(phase);
      return state == "promoted" || state == "rolled_back" || state == "aborted";
    }));
    return state;
  }
  void ExpectPromotedHistory();
  void ExpectTakenBack(const TrafficCounts& counts);
};

// Who moved it, in which order, and why.
void Canary::ExpectPromotedHistory() {
  const std::vector<Json> rows = History(api(), "Rollout", "fraud-1-1-0");
  ASSERT_EQ(rows.size(), 4u) << Json(rows).dump(1);
  EXPECT_EQ(rows[0]["actor"], "test:alice");
  EXPECT_EQ(rows[0]["reason"], "as in git");
  for (size_t i = 1; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i]["actor"], "rollout/fraud-1-1-0");
    EXPECT_NE(rows[i]["reason"].get<std::string>().find("requests"), std::string::npos) << rows[i];
    EXPECT_LT(rows[i - 1]["revision"], rows[i]["revision"]);
  }
  EXPECT_EQ(rows[1]["changes"][0]["after"]["status"]["percentage"], 20);
  EXPECT_EQ(rows[2]["changes"][0]["after"]["status"]["percentage"], 100);
  EXPECT_EQ(rows[3]["changes"][0]["after"]["status"]["state"], "promoted");
  // The promotion moved stable in the same revision.
  const std::vector<Json> model = History(api(), "Model", kModel);
  EXPECT_EQ(model.back()["revision"], rows[3]["revision"]);
  EXPECT_EQ(model.back()["changes"][0]["before"]["spec"]["stable"], "1.0.0");
  EXPECT_EQ(model.back()["changes"][0]["after"]["spec"]["stable"], "1.1.0");
}

void Canary::ExpectTakenBack(const TrafficCounts& counts) {
  EXPECT_EQ(Stable(), "1.1.0");
  const Json status = RolloutStatus(api(), "fraud-1-2-0");
  EXPECT_EQ(status["percentage"], 0);
  EXPECT_GT(status["last_verdict"]["canary_bad"], 0) << status;
  EXPECT_FALSE(status["last_verdict"]["evidence"].get<std::string>().empty());
  const std::vector<Json> rows = History(api(), "Rollout", "fraud-1-2-0");
  bool recorded = false;
  for (const Json& row : rows) {
    if (row["revision"] != status["rollback_revision"]) continue;
    recorded = true;
    EXPECT_EQ(row["actor"], "rollout/fraud-1-2-0");
    ASSERT_TRUE(row.contains("evidence")) << row;
    EXPECT_EQ(row["evidence"]["action"], "rollback");
    EXPECT_GT(row["evidence"]["canary_requests"], 0);
  }
  EXPECT_TRUE(recorded) << Json(rows).dump(1);
  // What failed is what the canary answered, and nothing failed that began after the last return.
  EXPECT_GT(counts.failed, 0u);
  EXPECT_EQ(counts.failed, counts.Arm("canary")) << counts.last_problem;
  EXPECT_EQ(counts.unanswered + counts.refused, 0u) << counts.last_problem;
  const Result<int64_t> completed = ParseTimeMs(status["completed_at"].get<std::string>());
  ASSERT_TRUE(completed.ok()) << status;
  EXPECT_LE(counts.last_failed_began_ms, *completed);
}

TEST_F(Canary, HealthyIsPromotedBrokenIsTakenBackAndAnOldFileUndoesNeither) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(3));
  const std::string file = ModelAndRollout();
  const Answer applied = Apply(file, "fraud.yaml");
  ASSERT_EQ(applied.status, 200) << applied;
  ASSERT_TRUE(WaitFor("1.0.0 is READY", [&] { return VersionIs("1.0.0", "READY"); }));
  Traffic traffic(Addresses(), 300);

  std::vector<uint64_t> phases;
  ASSERT_EQ(Follow("fraud-1-1-0", phases), "promoted");
  EXPECT_TRUE(std::is_sorted(phases.begin(), phases.end()));
  EXPECT_EQ(Stable(), "1.1.0");
  ExpectPromotedHistory();
  const TrafficCounts healthy = traffic.Counts();
  EXPECT_EQ(healthy.failed + healthy.refused + healthy.unanswered, 0u) << healthy.last_problem;
  EXPECT_GT(healthy.Arm("canary"), 0u);

  ASSERT_NO_FATAL_FAILURE(Push({"1.2.0"}));
  traffic.Mark();
  ASSERT_EQ(PutRollout(api(), RolloutResource("fraud-1-2-0", "1.2.0",
                                              {{.percentage = 10, .duration = "1h"},
                                               {.percentage = 100, .duration = "1h"}}))
                .status,
            201);
  phases.clear();
  ASSERT_EQ(Follow("fraud-1-2-0", phases), "rolled_back");
  const uint64_t sent = traffic.Counts().sent;
  ASSERT_TRUE(WaitFor("more traffic", [&] { return traffic.Counts().sent > sent + 300; }));
  ExpectTakenBack(traffic.Counts());
  traffic.Mark();
  ASSERT_TRUE(WaitFor("more traffic", [&] { return traffic.Counts().sent > 150; }));
  const TrafficCounts after = traffic.Counts();
  EXPECT_EQ(after.Arm("canary"), 0u);
  EXPECT_EQ(after.served, after.sent) << after.last_problem;

  // The file still says stable 1.0.0 and holds the first rollout.
  const Answer again = Apply(file, "fraud.yaml");
  ASSERT_EQ(again.status, 200) << again;
  EXPECT_NE(again.text.find("spec.stable = 1.1.0"), std::string::npos)
      << "what is kept is said: " << again;
  EXPECT_EQ(Stable(), "1.1.0");
  EXPECT_EQ(RolloutState(api(), "fraud-1-1-0"), "promoted");
  EXPECT_EQ(RolloutState(api(), "fraud-1-2-0"), "rolled_back");
  EXPECT_EQ(api().Get(std::string("/v1/models/") + kModel).json["spec"]["versions"].size(), 3u);
}

TEST_F(Canary, AnOldFileEndsNoEmergency) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(0));
  const auto file = [](bool kill_switch, int percentage) {
    return fmt::format(R"(apiVersion: weir/v1
kind: Emergency
metadata: {{name: default}}
spec: {{kill_switch: {}}}
---
apiVersion: weir/v1
kind: Flag
metadata: {{name: checkout}}
spec: {{rollout_percentage: {}}}
)",
                       kill_switch, percentage);
  };
  const auto is_on = [&] {
    return api().Get("/v1/emergency/default").json["spec"].value("kill_switch", false);
  };
  ASSERT_EQ(Apply(file(false, 10), "flags.yaml").status, 200);
  EXPECT_FALSE(is_on());
  ASSERT_TRUE(api().Patch("/v1/emergency/default", {{"spec", {{"kill_switch", true}}}}).ok());
  ASSERT_EQ(Apply(file(false, 10), "flags.yaml").status, 200);
  EXPECT_TRUE(is_on());
  // Nor does a file that is changed otherwise, nor one that has switched it on itself.
  ASSERT_EQ(Apply(file(false, 20), "flags.yaml").status, 200);
  EXPECT_TRUE(is_on());
  ASSERT_EQ(Apply(file(true, 20), "flags.yaml").status, 200);
  EXPECT_TRUE(is_on());
  static_cast<void>(Apply(file(false, 20), "flags.yaml"));
  EXPECT_TRUE(is_on());
  EXPECT_EQ(api().Get("/v1/flags/checkout").json["spec"]["rollout_percentage"], 20);
  ASSERT_TRUE(api().Patch("/v1/emergency/default", {{"spec", {{"kill_switch", false}}}}).ok());
  EXPECT_FALSE(is_on());
}

}  // namespace
}  // namespace weir::integration
