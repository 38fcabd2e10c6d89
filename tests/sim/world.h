// SPDX-License-Identifier: Apache-2.0
// One simulated installation: a control plane, its nodes, what connects them, what happens to them,
// and the books that everything is compared with. The parts keep pointers to the world; it outlives
// them.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/checks.h"
#include "tests/sim/control_process.h"
#include "tests/sim/disk.h"
#include "tests/sim/network.h"
#include "tests/sim/node_process.h"
#include "tests/sim/operator.h"
#include "tests/sim/timeline.h"

namespace weir::sim {

struct RunOptions {
  uint64_t seed = 1;
  bool is_verbose = false;
  bool keeps_story = false;
  std::string directory;  // of this program's own, for lock files
};

struct RunResult {
  std::string violated;  // "": everything held
  uint64_t steps = 0;
  int64_t simulated_ms = 0;
  uint64_t fingerprint = 0;  // of the whole run: the same for the same seed
  std::deque<std::string> story;
  std::map<std::string, uint64_t> seen;  // how often something worth knowing happened
};

RunResult Run(const RunOptions& options);

class World {
 public:
  explicit World(const RunOptions& options);
  RunResult Run();

 private:
  struct Machine {
    explicit Machine(const Timeline& timeline, int64_t booted_ms) : clock(timeline, booted_ms) {}
    MachineClock clock;
    std::string snapshot;  // the last good file; "": none
    std::unique_ptr<NodeProcess> process;
  };

  void StartControl();
  void EndControl(bool power);
  void StartNode(const std::string& id);
  void EndNode(const std::string& id);
  void AfterEach();
  void RestoreBackup();
  void ScheduleTrouble();
  void Trouble();
  void ScheduleChange();
  void Settle();
  // Runs until `what` has no complaint any more; it is violated if that takes longer.
  void Await(int64_t at_least_ms, int64_t at_most_ms,
             const std::function<std::pair<std::string, std::string>()>& what);
  // Rule and what is against it; "" when it holds.
  std::pair<std::string, std::string> Complaint();
  std::pair<std::string, std::string> ComplaintOf(const std::string& id);
  void CheckBooks();
  void CheckRollouts();
  const std::string& AnyNode();

  Timeline timeline_;
  Random& random_;
  Disk disk_;
  Published published_;
  Counted counted_;
  Revisions revisions_;
  Network network_;
  MachineClock control_clock_;
  std::unique_ptr<ControlProcess> control_;
  std::map<std::string, Machine> machines_;
  std::vector<std::string> ids_;
  Operator operator_;
  Disk::Files backup_;
  Revisions::Kept backup_revisions_;
  bool is_settling_ = false;
  double trouble_ = 0;  // how much of it this run has, 0..1
  std::map<std::string, uint64_t> seen_;
};

}  // namespace weir::sim
