// SPDX-License-Identifier: Apache-2.0
// One life of weir-control: the programs' Engine and Hub, on two simulated threads that post to
// each other, over the simulated disk and network. It dies at any step: every write, every sync,
// every frame and every task posted between the threads counts down a fuse; once it has burnt,
// nothing that the code still does has an effect.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "controlplane/engine.h"
#include "controlplane/publish/hub.h"
#include "tests/sim/checks.h"
#include "tests/sim/disk.h"
#include "tests/sim/network.h"
#include "tests/sim/timeline.h"

namespace weir::sim {

class ControlProcess : private control::publish::HubOutbox {
 public:
  struct Surroundings {
    Timeline& timeline;
    Disk& disk;
    Network& network;
    Published& published;
    Revisions& revisions;
    const Clock& clock;
  };
  // `fuse`: after so many effects it is dead; 0: it has none.
  ControlProcess(Surroundings around, uint64_t fuse);
  ~ControlProcess() override;

  // An error, or the fuse: the process is dead. Otherwise nodes may connect.
  Status Start();
  void OnFrame(Channel channel, const std::string& peer, const std::string& node,
               const std::string& frame);
  // Lets a person's call run on the core thread.
  void Call(std::function<void(control::Engine&)> call);
  // Commits for a person; true when that was answered.
  bool Commit(control::Engine& engine, control::catalog::CommitRequest request);
  void Order(control::Engine& engine, const std::string& rollout,
             const control::rollout::Command& command);

  bool is_dead() const { return is_dead_; }
  // Dies after so many more effects.
  void LightFuse(uint64_t effects) { fuse_ = effects; }
  void PutOutFuse() { fuse_ = 0; }
  const std::string& welcome() const { return welcome_; }
  control::Engine& engine() { return *engine_; }
  control::publish::Hub& hub() { return *hub_; }
  uint64_t telemetry_commits() const { return telemetry_commits_; }

 private:
  struct Queue {
    int64_t last_ms = 0;
  };
  // One step that others can see. False: it does not happen any more.
  bool Effect();
  void Post(Queue& queue, std::function<void()> task);
  void Every(int64_t period_ms, std::function<void()> task);
  void After(int64_t delay_ms, std::function<void()> task);
  control::EngineHooks MakeHooks();
  control::publish::Hub::Listener MakeListener();
  void OnCommitted(const control::catalog::Committed& committed);

  void Broadcast(std::string_view frame) override;
  void SendTo(const std::string& peer, std::string_view frame) override;
  void SetWelcome(std::string_view frame) override;

  Surroundings around_;
  uint64_t fuse_;
  bool is_dead_ = false;
  std::shared_ptr<bool> is_alive_ = std::make_shared<bool>(true);  // for events that come too late
  Queue core_, bus_;
  std::unique_ptr<control::Engine> engine_;
  std::unique_ptr<control::publish::Hub> hub_;
  std::string welcome_;
  uint64_t telemetry_commits_ = 0;
};

// As a newer control plane would publish some flags: with a field that this program's nodes must
// understand and do not. Which ones depends on nothing but the entry.
control::catalog::EntryBody AsNewer(control::catalog::EntryBody entry);

}  // namespace weir::sim
