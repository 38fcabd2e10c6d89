// SPDX-License-Identifier: Apache-2.0
// Everything a decision needs, compiled: an immutable set of entries at one epoch and version, with
// the emergency laid over it. Nodes get one per snapshot and share it between workers; the CLI
// makes one from a file or from the control plane's snapshot. Building is single-threaded (copy the
// last one, change entries, publish as shared_ptr<const Ruleset>); reading is free for all.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/status.h"
#include "shared/decision/entry_table.h"
#include "shared/domain/snapshot.h"
#include "shared/targeting/targeting.h"

namespace weir::decision {

struct Flag : domain::FlagEntry {
  std::shared_ptr<const targeting::Rule> rule;  // null without targeting
  bool is_boolean = false;                      // every variant is true or false
  std::string_view key() const { return name; }
  const domain::VariantEntry* FindVariant(std::string_view variant) const;  // null: there is none
};
struct Model : domain::ModelEntry {
  std::string_view key() const { return name; }
  const domain::VersionEntry* FindVersion(std::string_view version) const;
};
// Keyed by its subject's name. `applies` is the node selector's answer for this node's labels.
struct Split : domain::SplitEntry {
  bool applies = true;
  bool IsUnwatched(int64_t unwatched_ms) const {
    return unwatched_after_ms > 0 && unwatched_ms >= unwatched_after_ms;
  }
  std::string_view key() const { return model.empty() ? flag : model; }
};
// A flag that phases of rollouts turn on for their canary's keys. The splits are the ruleset's own,
// in order of their rollouts' names.
struct PhaseFlag {
  std::string name;
  std::vector<const Split*> splits;
  std::string_view key() const { return name; }
};
struct Experiment : domain::ExperimentEntry {
  uint64_t total = 0;  // of the weights
  std::string_view key() const { return name; }
};

// Keyed by its hash: who shows a token is looked up by it.
struct Token : domain::TokenEntry {
  uint32_t opens = 0;  // bit domain::ScopeIndex(scope) of each scope
  std::string_view key() const { return hash; }
};

struct Limit : domain::LimitEntry {
  std::string_view key() const { return name; }
};

// What an operator forces on one node, over everything but an emergency.
struct Overrides {
  template <class T>
  using ByName = std::map<std::string, T, std::less<>>;
  ByName<std::string> flags;   // flag → "on", "off", or a variant
  ByName<std::string> splits;  // model → "stable" or "canary"
  ByName<std::string> pins;    // model → the version that answers everything
};

class Ruleset {
 public:
  // `labels` are this node's, for the splits' selectors.
  explicit Ruleset(domain::Labels labels = {}) : labels_(std::move(labels)) {}

  // Compiles the targeting. A rule that this program cannot compile makes the flag malformed.
  void Set(domain::FlagEntry entry);
  void Set(domain::ModelEntry entry);
  void Set(domain::SplitEntry entry);
  void Set(domain::ExperimentEntry entry);
  void Set(domain::ObservabilityEntry entry);
  void Set(domain::TokenEntry entry);
  void Set(domain::LimitEntry entry);
  // Splits are named after their rollout.
  void Remove(domain::EntryKind kind, std::string_view name);

  uint64_t epoch = 0;  // 0: of no snapshot
  uint64_t version = 0;
  domain::EmergencyOverlay emergency;
  std::shared_ptr<const Overrides> overrides;  // null: none
  // For how long nothing was heard of the control plane: what splits have in unwatched_after_ms.
  int64_t unwatched_ms = 0;
  // When the last rollout that was unwatched became watched again; 0: none was.
  int64_t watched_since_wall_ms = 0;

  // Without one, what is not here may exist: an operator forces things on a node that has yet to
  // hear from its control plane.
  bool HasSnapshot() const { return epoch != 0; }
  bool IsEmergency() const { return emergency.kill_switch || emergency.baseline; }

  const EntryTable<Flag>& flags() const { return flags_; }
  const EntryTable<Model>& models() const { return models_; }
  const EntryTable<Split>& model_splits() const { return model_splits_; }  // by model
  const EntryTable<Split>& flag_splits() const { return flag_splits_; }    // by flag
  const EntryTable<PhaseFlag>& phase_flags() const { return phase_flags_; }
  const EntryTable<Experiment>& experiments() const { return experiments_; }
  const domain::ObservabilitySpec& observability() const { return observability_; }
  const EntryTable<Token>& tokens() const { return tokens_; }  // by hash
  const EntryTable<Limit>& limits() const { return limits_; }  // by model

 private:
  void RemoveSplit(std::string_view rollout);
  void RebuildPhaseFlags();
  void RemoveToken(std::string_view name);

  domain::Labels labels_;
  EntryTable<Flag> flags_;
  EntryTable<Model> models_;
  EntryTable<Split> model_splits_;
  EntryTable<Split> flag_splits_;
  EntryTable<PhaseFlag> phase_flags_;  // points into the two above
  EntryTable<Experiment> experiments_;
  domain::ObservabilitySpec observability_;
  EntryTable<Token> tokens_;
  EntryTable<Limit> limits_;
};

}  // namespace weir::decision
