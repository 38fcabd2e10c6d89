// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/harness/cluster.h"

#include <fmt/format.h>

namespace weir::integration {

using testing::AssertionFailure;
using testing::AssertionResult;
using testing::AssertionSuccess;

void ClusterTest::StartCluster(int count) {
  const Status started = control.Start();
  ASSERT_TRUE(started.ok()) << started.ToString();
  for (int i = 1; i <= count; ++i) {
    ASSERT_NO_FATAL_FAILURE(AddNode({.id = fmt::format("n{}", i), .control = "", .more = {}}));
  }
}

Node& ClusterTest::AddNode(NodeOptions options) {
  if (options.control.empty()) options.control = control.url();
  nodes.push_back(std::make_unique<Node>(dir.path(), std::move(options)));
  Node& node = *nodes.back();
  const Status started = node.Start();
  EXPECT_TRUE(started.ok()) << started.ToString();
  EXPECT_TRUE(WaitFor(node.id() + " is ready", [&] { return IsReady(node); }));
  EXPECT_TRUE(WaitFor(node.id() + " is known", [&] { return EveryoneIsAtHead(); }));
  return node;
}

void ClusterTest::Push(const std::vector<std::string>& versions) {
  for (const std::string& version : versions) {
    const Answer answer = PushVersion(api(), version, ModelFile(version));
    ASSERT_TRUE(answer.ok()) << answer;
  }
  for (const std::string& version : versions) {
    ASSERT_TRUE(WaitFor(version + " is READY", [&] { return VersionIs(version, "READY"); }));
  }
}

std::vector<std::string> ClusterTest::Addresses() const {
  std::vector<std::string> addresses;
  for (const auto& node : nodes) addresses.push_back(node->address());
  return addresses;
}

AssertionResult ClusterTest::IsReady(const Node& node) const {
  const Answer answer = node.api().Get("/ready");
  if (answer.status == 200) return AssertionSuccess();
  return AssertionFailure() << answer;
}

AssertionResult ClusterTest::VersionIs(const std::string& version, const std::string& state) const {
  for (const auto& node : nodes) {
    const Json row = NodeRow(node->id());
    bool found = false;
    for (const Json& report : row.is_object() ? row["versions"] : Json::array()) {
      found |= report.value("version", "") == version && report.value("state", "") == state;
    }
    if (!found) return AssertionFailure() << node->id() << ": " << row.dump();
  }
  return AssertionSuccess();
}

AssertionResult ClusterTest::EveryoneIsAtHead() const {
  const Answer status = api().Get("/v1/status");
  if (!status.ok()) return AssertionFailure() << status;
  const Json& summary = status.json["nodes"];
  if (summary["live"] == nodes.size() && summary["applied"] == summary["live"]) {
    return AssertionSuccess();
  }
  return AssertionFailure() << status;
}

AssertionResult ClusterTest::RolloutIs(const std::string& name, const std::string& state) const {
  const Json status = RolloutStatus(api(), name);
  if (status.is_object() && status.value("state", "") == state) return AssertionSuccess();
  return AssertionFailure() << status.dump();
}

Json ClusterTest::NodeRow(const std::string& id) const {
  const Answer answer = api().Get("/v1/nodes/" + id);
  return answer.ok() ? answer.json : Json();
}

std::string ClusterTest::Stable() const {
  const Answer answer = api().Get(std::string("/v1/models/") + kModel);
  return answer.ok() ? answer.json["spec"].value("stable", "") : "";
}

ClusterTest::Arms ClusterTest::Counted() const {
  const int64_t now_ms = Clock::System().WallMs();
  const Answer answer =
      api().Get(fmt::format("/v1/telemetry?subject=model/{}&from={}&to={}&step=1m", kModel,
                            now_ms - 3'600'000, now_ms + 60'000));
  Arms arms;
  if (!answer.ok()) return arms;
  for (const Json& series : answer.json["series"]) {
    for (const Json& point : series["points"]) {
      arms[{series["version"], series["arm"]}] += point["requests"].get<uint64_t>();
    }
  }
  return arms;
}

AssertionResult ClusterTest::NothingPending() const {
  for (const auto& node : nodes) {
    const std::string text = node->api().Get("/metrics").text;
    if (text.find("\nweir_telemetry_pending_batches 0\n") == std::string::npos) {
      return AssertionFailure() << node->id() << " has batches pending";
    }
  }
  return AssertionSuccess();
}

AssertionResult ClusterTest::CountedExactly(const Arms& answered) const {
  if (const AssertionResult nothing = NothingPending(); !nothing) return nothing;
  const Arms counted = Counted();
  if (counted == answered) return AssertionSuccess();
  AssertionResult failure = AssertionFailure();
  for (const auto& [key, count] : counted)
    failure << fmt::format("counted {} {}: {}; ", key.first, key.second, count);
  for (const auto& [key, count] : answered)
    failure << fmt::format("answered {} {}: {}; ", key.first, key.second, count);
  return failure;
}

Answer ClusterTest::PutFlag(const std::string& name, double percentage) const {
  return api().Put("/v1/flags/" + name,
                   {{"apiVersion", "weir/v1"},
                    {"kind", "Flag"},
                    {"metadata", {{"name", name}}},
                    {"spec", {{"enabled", true}, {"rollout_percentage", percentage}}}});
}

int ClusterTest::Threshold(const Node& node, const std::string& flag) const {
  const Answer answer = node.api().Post("/weir/v1/explain", {{"key", "user-1"}, {"flag", flag}});
  if (answer.status != 200 || answer.json["flags"].empty()) return -1;
  return answer.json["flags"][0].value("threshold", -1);
}

void ClusterTest::TearDown() {
  // Sanitizers speak through the exit code.
  for (const auto& node : nodes) {
    if (node->process().running()) {
      EXPECT_EQ(node->Stop(), 0) << node->id() << ":\n" << node->process().Tail();
    }
  }
  if (control.process().running()) {
    EXPECT_EQ(control.Stop(), 0) << control.process().Tail();
  }
  if (!HasFailure()) return;
  for (const auto& node : nodes) {
    std::fprintf(stderr, "--- %s\n%s\n", node->id().c_str(), node->process().Tail().c_str());
  }
  std::fprintf(stderr, "--- control\n%s\n", control.process().Tail(80).c_str());
}

}  // namespace weir::integration
