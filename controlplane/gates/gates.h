// SPDX-License-Identifier: Apache-2.0
// Gates that ask outside: automated_test (a command or an address), prometheus, time_based. Lives
// on core, where Ask answers at once with what is known; what blocks runs on threads of its own,
// and what it found comes back to core by Post.
//
// Asking keeps a gate up to date: the next attempt begins when it is due and somebody asks. What is
// known belongs to one gate of one phase as the rollout entered it, under one spec: a changed spec,
// a phase entered again and a restart of the control plane begin anew. An automated_test that has
// passed stays passed; Prometheus and windows of time are looked at again and again.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "controlplane/gates/checks.h"
#include "controlplane/gates/outcome.h"
#include "controlplane/rollout/step.h"
#include "shared/base/clock.h"
#include "shared/base/executor.h"
#include "shared/base/work_pool.h"
#include "shared/domain/resource.h"
#include "shared/domain/validate.h"

namespace weir::control::gates {

inline constexpr int kMostCommands = 4;  // at once; as many calls beside them

struct GatesOptions {
  const Clock& clock;
  Executor& core;
  domain::Lookup find;
  std::vector<std::string> commands;  // files and folders that may run; empty: none may
  std::function<std::string()> api;   // of this control plane: "http://127.0.0.1:7080"
};

class Gates {
 public:
  explicit Gates(GatesOptions options);
  ~Gates();  // Stop()
  Gates(const Gates&) = delete;
  Gates& operator=(const Gates&) = delete;

  // For rollout::Driver::World::gate.
  rollout::GateState Ask(const domain::Resource& rollout, uint64_t phase, size_t gate,
                         int64_t phase_age_ms);
  // Lets go of what no active rollout asks for any more; its commands are killed.
  void Tick();
  // Kills what runs. Idempotent.
  void Stop();

 private:
  using Key = std::tuple<std::string, uint64_t, size_t>;  // rollout, phase, gate
  struct Check {
    domain::RolloutSpec spec;
    int64_t entered_wall_ms = 0;  // the phase
    uint64_t id = 0;              // results of others are dropped
    Outcome outcome{Outcome::State::kWaiting, "the first attempt is under way"};
    uint64_t attempts = 0;
    bool is_running = false;
    int64_t due_ms = 0;  // monotonic
    std::shared_ptr<std::atomic<bool>> cancelled = std::make_shared<std::atomic<bool>>(false);
  };

  void Begin(const domain::Resource& rollout, const Key& key, Check& check);
  Attempt MakeAttempt(const domain::Resource& rollout, const Key& key, const Check& check) const;
  void OnOutcome(const Key& key, uint64_t id, Outcome outcome);

  const GatesOptions options_;
  std::map<Key, Check> checks_;
  uint64_t last_id_ = 0;
  WorkPool commands_;
  WorkPool calls_;
  // Ends with this: outcomes on their way look at it.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace weir::control::gates
