// SPDX-License-Identifier: Apache-2.0
// A control plane and nodes for one test, in one temporary directory.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/fakes/temp_dir.h"
#include "tests/integration/harness/fraud.h"
#include "tests/integration/harness/programs.h"
#include "tests/integration/harness/traffic.h"
#include "tests/integration/harness/wait.h"

namespace weir::integration {

class ClusterTest : public testing::Test {
 public:
  // Control plane and nodes n1 … nN, all ready.
  void StartCluster(int nodes);
  // Starts one more node; it is ready, and the control plane knows it, when this returns.
  Node& AddNode(NodeOptions options);
  // Pushes versions of config/models and waits until every node has them READY.
  void Push(const std::vector<std::string>& versions);

  Api api() const { return control.api(); }
  Node& node(size_t index) { return *nodes[index]; }
  std::vector<std::string> Addresses() const;

  // Conditions for WaitFor ----------------------------------------------------
  testing::AssertionResult IsReady(const Node& node) const;  // /ready says 200
  // Every node says so, and none has another state.
  testing::AssertionResult VersionIs(const std::string& version, const std::string& state) const;
  // Every live node has applied what is published now.
  testing::AssertionResult EveryoneIsAtHead() const;
  testing::AssertionResult RolloutIs(const std::string& name, const std::string& state) const;
  // A node's row of /v1/nodes; null when it is not there.
  Json NodeRow(const std::string& id) const;
  // The Model's spec.stable.
  std::string Stable() const;
  // Requests per version and arm, as the control plane has counted them in all.
  using Arms = std::map<std::pair<std::string, std::string>, uint64_t>;
  Arms Counted() const;
  // No node has anything left to tell.
  testing::AssertionResult NothingPending() const;
  // The control plane counts exactly what clients were answered, and nobody has anything to add.
  testing::AssertionResult CountedExactly(const Arms& answered) const;

  // A boolean flag, of that percentage.
  Answer PutFlag(const std::string& name, double percentage) const;
  // By what threshold (100,000ths) a node decides it; -1 when it does not know it.
  int Threshold(const Node& node, const std::string& flag) const;

 protected:
  void TearDown() override;

  fakes::TempDir dir;
  Control control{dir.path()};
  std::vector<std::unique_ptr<Node>> nodes;
};

}  // namespace weir::integration
