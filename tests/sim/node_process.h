// SPDX-License-Identifier: Apache-2.0
// One life of weir-node: the programs' Link (with its Receiver and Reporter) over the simulated
// network, workers that take rules a little later, and requests that are decided and counted as the
// programs do it. Dies like the control plane does, or stops in order.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "dataplane/bus/link.h"
#include "shared/telemetry/series.h"
#include "tests/sim/checks.h"
#include "tests/sim/network.h"
#include "tests/sim/timeline.h"

namespace weir::sim {

class NodeProcess : private node::bus::LinkHost {
 public:
  struct Surroundings {
    Timeline& timeline;
    Network& network;
    Published& published;
    Counted& counted;
    const Clock& clock;
    std::string& snapshot;  // the file, as a crash leaves it
    // /v1/bootstrap: the epoch that leads, or 0 when nobody answers.
    std::function<uint64_t()> bootstrap;
  };
  NodeProcess(Surroundings around, std::string id, uint64_t fuse);
  ~NodeProcess() override;

  void Start();
  void OnFrame(Channel channel, const std::string& frame);
  // In order: sends what is left, then is_finished.
  void Finish();

  bool is_dead() const { return is_dead_; }
  bool is_finished() const { return is_finished_; }
  void PutOutFuse() { fuse_ = 0; }
  // No more requests come.
  void Quiet() { is_quiet_ = true; }
  uint64_t incarnation() const { return incarnation_; }
  const node::bus::Link& link() const { return *link_; }
  const std::shared_ptr<const decision::Ruleset>& rules() const { return rules_; }
  uint64_t answered() const { return answered_; }

 private:
  bool Effect();
  void After(int64_t delay_ms, std::function<void()> task);
  void Every(int64_t period_ms, std::function<void()> task);
  void Request();
  void RequestModel(const decision::Model& model, const std::string& key);
  void ReportVersions();

  void Join() override;
  void JoinIn(int64_t delay_ms) override;
  Status Connect(const node::bus::Channels& channels) override;
  Status SendSession(const std::string& frame) override;
  Status SendTelemetry(const std::string& frame) override;
  void PublishRules(std::shared_ptr<const decision::Ruleset> rules,
                    node::bus::SnapshotName name) override;
  void CollectTelemetry(bool is_last) override;
  void SaveSnapshot(node::snapshot::LastGood snapshot) override;
  void PublishStatus(const node::bus::BusStatus& status) override;
  void OnFinished() override;

  Surroundings around_;
  const std::string id_;
  const uint64_t incarnation_;
  uint64_t fuse_;
  bool is_dead_ = false;
  bool is_finished_ = false;
  bool is_quiet_ = false;
  std::shared_ptr<bool> is_alive_ = std::make_shared<bool>(true);
  std::unique_ptr<node::bus::Link> link_;
  Published::InForce in_force_;
  int64_t taken_ms_ = 0;                            // when the workers have the last rules
  std::shared_ptr<const decision::Ruleset> rules_;  // the workers'
  telemetry::Shard shard_;
  std::map<telemetry::SeriesKey, std::shared_ptr<telemetry::Cell>> cells_;
  std::string reported_;
  uint64_t answered_ = 0;
};

// Versions with an even number answer half of their requests badly.
bool IsBadVersion(std::string_view version);

}  // namespace weir::sim
