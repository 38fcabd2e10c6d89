// SPDX-License-Identifier: Apache-2.0
// Resource files that change while everything runs.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>

#include "shared/base/text.h"
#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

namespace fs = std::filesystem;

class Reload : public ClusterTest {
 protected:
  void SetUp() override {
    fs::create_directories(resources);
    control.more = {"--resources", resources};
  }
  // As an editor saves.
  void Save(const std::string& file, const std::string& content) const {
    ASSERT_TRUE(WriteFileAtomic(resources + "/" + file, content).ok());
  }
  // The documents' way of writing a flag.
  static std::string Feature(double percentage) {
    return fmt::format(
        "ttft_pipeline:\n  enabled: true\n  rollout_percentage: {}\n"
        "  hash_seed: \"ttft-pipeline-2025-01-08\"\n",
        percentage);
  }
  // What the node decides about the flag for the key.
  Json Decision(const std::string& key = "user-2") const {
    const Answer answer =
        nodes[0]->api().Post("/weir/v1/explain", {{"key", key}, {"flag", "ttft_pipeline"}});
    return answer.ok() && !answer.json["flags"].empty() ? answer.json["flags"][0] : Json::object();
  }
  testing::AssertionResult HasThreshold(int threshold) const {
    const Json decision = Decision();
    if (decision.value("threshold", -1) == threshold) return testing::AssertionSuccess();
    return testing::AssertionFailure() << decision;
  }
  testing::AssertionResult HasMetric(const std::string& line) const {
    const Answer metrics = api().Get("/metrics");
    if (metrics.text.find("\n" + line + "\n") != std::string::npos)
      return testing::AssertionSuccess();
    return testing::AssertionFailure() << metrics;
  }
  Json FileProblem() const {
    const Json status = api().Get("/v1/status").json;
    for (const Json& problem : status["problems"]) {
      if (problem["what"].get<std::string>().find("resource file") != std::string::npos)
        return problem;
    }
    return {};
  }
  // The resource_file events so far, oldest first.
  std::vector<Json> FileEvents() const {
    const Json events = api().Get("/v1/events?follow=false").json;
    std::vector<Json> found;
    for (const Json& event : events["items"]) {
      if (event["type"] == "resource_file") found.push_back(event["data"]);
    }
    return found;
  }

  const std::string resources = dir.path() + "/resources";
};

TEST_F(Reload, AnEditedFileReachesNodesWithoutARestart) {
  Save("feature-flags.yaml", Feature(10));
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_TRUE(WaitFor("10 %", [&] { return HasThreshold(10'000); }));
  EXPECT_EQ(Decision("user-2")["enabled"], false);  // bucket 17159 (DECISIONS)
  Save("feature-flags.yaml", Feature(20));
  ASSERT_TRUE(WaitFor("20 %", [&] { return HasThreshold(20'000); }));
  EXPECT_EQ(Decision("user-2")["enabled"], true);
  std::ofstream(resources + "/feature-flags.yaml") << Feature(30);  // in place
  ASSERT_TRUE(WaitFor("30 %", [&] { return HasThreshold(30'000); }));
  Save("more.yaml",
       "apiVersion: weir/v1\nkind: Flag\nmetadata: {name: other}\nspec: {enabled: true}\n");
  ASSERT_TRUE(WaitFor("a new file", [&] { return api().Get("/v1/flags/other").ok(); }));
  fs::remove(resources + "/more.yaml");
  ASSERT_TRUE(WaitFor("it is noticed", [&] { return FileEvents().back()["result"] == "gone"; }));
  EXPECT_TRUE(api().Get("/v1/flags/other").ok()) << "as with kubectl";
  const std::vector<Json> events = FileEvents();
  EXPECT_EQ(events[0]["file"], "feature-flags.yaml");
  EXPECT_EQ(events[0]["result"], "applied");
  EXPECT_EQ(events[0]["changed"], 1);
  EXPECT_TRUE(HasMetric("weir_resource_files{state=\"applied\"} 1"));
  EXPECT_TRUE(HasMetric("weir_resource_reloads_total{result=\"applied\"} 4"));
}

TEST_F(Reload, ABadFileKeepsWhatRunsAndShowsWhy) {
  Save("feature-flags.yaml", Feature(10));
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_TRUE(WaitFor("10 %", [&] { return HasThreshold(10'000); }));
  const Json head = api().Get("/v1/status").json["head"];
  Save("feature-flags.yaml", Feature(140) + "second:\n  rollout_percentage: 5\n  hash_seed: s\n");
  ASSERT_TRUE(WaitFor("a problem", [&] { return FileProblem().is_object(); }));
  const Json problem = FileProblem();
  EXPECT_NE(problem["evidence"].get<std::string>().find("140"), std::string::npos) << problem;
  EXPECT_NE(problem["evidence"].get<std::string>().find("feature-flags.yaml:3"), std::string::npos)
      << problem;
  EXPECT_EQ(problem["remedy"], "weir validate " + resources + "/feature-flags.yaml");
  EXPECT_TRUE(problem["since"].is_string());
  EXPECT_TRUE(HasMetric("weir_resource_files{state=\"refused\"} 1"));
  EXPECT_TRUE(HasMetric("weir_resource_reloads_total{result=\"refused\"} 1"));
  EXPECT_EQ(FileEvents().back()["result"], "refused");
  EXPECT_FALSE(FileEvents().back()["errors"].empty());
  EXPECT_NE(control.process().Tail().find("140"), std::string::npos) << "the log says it";
  EXPECT_TRUE(HasThreshold(10'000)) << "nodes decide as before";
  EXPECT_EQ(api().Get("/v1/flags/second").status, 404) << "all or nothing";
  EXPECT_EQ(api().Get("/v1/status").json["head"], head);
  Save("feature-flags.yaml", Feature(50));
  ASSERT_TRUE(WaitFor("mended", [&] { return HasThreshold(50'000); }));
  EXPECT_TRUE(FileProblem().is_null()) << FileProblem();
  EXPECT_TRUE(HasMetric("weir_resource_files{state=\"refused\"} 0"));
}

TEST_F(Reload, AFileChangesOnlyWhatChangedInIt) {
  Save("feature-flags.yaml", Feature(10));
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_EQ(api().Patch("/v1/flags/ttft_pipeline", {{"spec", {{"rollout_percentage", 35}}}}).status,
            200);
  ASSERT_EQ(api().Patch("/v1/emergency/default", {{"spec", {{"kill_switch", true}}}}).status, 200);
  Save("feature-flags.yaml",
       Feature(10) + "qos_monitor:\n  enabled: true\nemergency:\n  kill_switch: false\n");
  ASSERT_TRUE(WaitFor("applied", [&] { return api().Get("/v1/flags/qos_monitor").ok(); }));
  control.process().Signal(SIGHUP);
  ASSERT_TRUE(WaitFor(
      "again", [&] { return HasMetric("weir_resource_reloads_total{result=\"unchanged\"} 1"); }));
  EXPECT_EQ(api().Get("/v1/flags/ttft_pipeline").json["spec"]["rollout_percentage"], 35);
  EXPECT_EQ(api().Get("/v1/emergency/default").json["spec"]["kill_switch"], true)
      << "no file ends an emergency";
}

TEST_F(Reload, AConfigMapIsSwappedAsAWhole) {
  const auto write = [&](const std::string& generation, double percentage) {
    fs::create_directories(resources + "/" + generation);
    std::ofstream(resources + "/" + generation + "/flags.yaml") << Feature(percentage);
    fs::create_directory_symlink(generation, resources + "/..data_tmp");
    fs::rename(resources + "/..data_tmp", resources + "/..data");
  };
  write("..2025_01", 10);
  fs::create_symlink("..data/flags.yaml", resources + "/flags.yaml");
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_TRUE(WaitFor("10 %", [&] { return HasThreshold(10'000); }));
  write("..2025_02", 20);
  ASSERT_TRUE(WaitFor("20 %", [&] { return HasThreshold(20'000); }));
  fs::remove_all(resources + "/..2025_01");
  write("..2025_03", 30);
  ASSERT_TRUE(WaitFor("30 %", [&] { return HasThreshold(30'000); }));
}

TEST_F(Reload, FilesThatChangedWhileTheControlPlaneWasDownAreAppliedAtTheStart) {
  Save("feature-flags.yaml", Feature(10));
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  control.Kill9();
  Save("feature-flags.yaml", Feature(60));
  ASSERT_TRUE(control.Start().ok());
  ASSERT_TRUE(WaitFor("60 %", [&] { return HasThreshold(60'000); }));
}

}  // namespace
}  // namespace weir::integration
