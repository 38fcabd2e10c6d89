// SPDX-License-Identifier: Apache-2.0
// Lays what an operator forces on this node over every ruleset, between the bus and the workers,
// and for how long the control plane has been silent, where a rollout wants to know.
//
// Two sources: the file of --override, and what is forced by hand over the admin address, which is
// kept on disk so that a restart keeps it. Neither is ever stored in the last good snapshot nor
// sent as this node's snapshot; both are told to /ready and to the control plane as sentences.
//
// An emergency by hand is in force beside the control plane's, works without a snapshot, and ends
// by itself when the control plane is in reach and has the same switch on: from then on that one
// holds. While the two differ it stays, and its sentence says so.
//
// A rollout is unwatched once the snapshot in force has not been known to be the head for as long
// as it allows; the workers get a ruleset that says so within 100 ms, and one that does not at the
// first contact. A node that starts from its last good snapshot counts from its start: for how long
// nobody had watched before, it cannot know.
//
// Lifecycle: construct → Load → Start → Stop. Everything but these three may be called from any
// thread; it is done, in order, on the layer's own thread, which may wait for the disk. Hooks are
// called there, and must stay valid until Stop has returned.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/override/episodes.h"
#include "dataplane/override/forced.h"
#include "dataplane/override/watch.h"
#include "shared/base/clock.h"
#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/decision/ruleset.h"
#include "shared/transport/loop.h"
#include "shared/wire/messages.h"

namespace weir::node::override {

struct LayerOptions {
  std::string file;  // of --override; "": none
  std::string kept;  // where what is forced by hand is kept; "": nowhere
};

// What stands, for people.
struct Standing {
  bool is_active = false;              // something is forced
  std::vector<std::string> sentences;  // one each, also for a file that could not be read again
  std::vector<std::string> unwatched;  // rollouts that nobody watches, one sentence each
  bool operator==(const Standing&) const = default;
};

struct LayerHooks {
  // Every worker shall take the rules; `taken` is called once, on any thread, when the last has.
  std::function<void(std::shared_ptr<const decision::Ruleset>, std::function<void()> taken)>
      publish_rules;
  std::function<void(std::shared_ptr<const Standing>)> publish_standing;
  // What begins, and again, with its end, when it ends.
  std::function<void(const wire::Episode&)> publish_episode = [](const wire::Episode&) {};
  // Monotonic: when the snapshot was last known to be the head; 0: never since the start.
  std::function<int64_t()> current_at_ms = [] { return int64_t{0}; };
};

class Layer {
 public:
  Layer(LayerOptions options, LayerHooks hooks, const Clock& clock = Clock::System());
  ~Layer();  // Stop()

  // Reads the file and what was kept; the Status names file, line and key.
  Status Load();
  void Start();
  void Stop();  // idempotent

  // The bus's rules; `taken` as in the hook.
  void SetRules(std::shared_ptr<const decision::Ruleset> rules, std::function<void()> taken);
  // Whether the control plane is heard from.
  void SetContact(bool in_reach);
  // Reads the file again. One that is bad changes nothing but the sentences.
  void ReloadFile();

  struct Done {
    int64_t took_us = 0;  // until the last worker had it
    Status kept;          // whether a restart will find it
    std::shared_ptr<const Standing> standing;
  };
  // Forces by hand. `done` is called on the layer's thread once every worker has it.
  void Force(Change change, std::string by, std::function<void(const Done&)> done);
  // Takes back all that is forced by hand.
  void Clear(std::string by, std::function<void(const Done&)> done);
  // All of it as JSON: {active, overrides[], unwatched[], file?, by_hand, control: {in_reach,
  // kill_switch, baseline}}. `done` is called on the layer's thread.
  void Show(std::function<void(const codec::Json&)> done);

 private:
  // Everything below on the layer's thread, or before it starts.
  void Rebuild();
  bool Reconcile();
  void Publish(std::function<void()> taken);
  void Tell();
  void EveryTick();
  bool Look();
  void Finish(int64_t start_ns, std::function<void(const Done&)> done);
  Status Keep() const;
  std::vector<std::string> Sentences() const;
  std::string SourceOf(const std::map<std::string, Mark>& marks, const std::string& name) const;

  // Constant after construction.
  const LayerOptions options_;
  const LayerHooks hooks_;
  const Clock& clock_;

  transport::Loop loop_;

  decision::Overrides file_;
  std::string file_error_;  // of the last time that the file was read
  ByHand hand_;
  std::shared_ptr<const decision::Overrides> forced_;  // both together; null: nothing
  std::shared_ptr<const decision::Ruleset> rules_;     // the bus's; null before the first
  bool in_reach_ = false;
  int64_t started_ms_ = 0;
  int64_t last_tick_ms_ = 0;
  Watch watch_;
  Episodes episodes_;
  std::shared_ptr<const Standing> standing_ = std::make_shared<const Standing>();
};

}  // namespace weir::node::override
