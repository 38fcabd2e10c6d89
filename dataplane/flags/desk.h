// SPDX-License-Identifier: Apache-2.0
// One worker's decisions on flags: decides, counts every decision by flag and outcome, logs it when
// that is asked for, and picks out a few to be shown. Everything on the worker's thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/clock.h"
#include "shared/decision/decide.h"
#include "shared/decision/ruleset.h"
#include "shared/telemetry/series.h"
#include "shared/wire/messages.h"

namespace weir::node::flags {

// Decisions since the start, for /metrics.
struct FlagTotals {
  uint64_t enabled = 0;
  uint64_t disabled = 0;
};

class Desk {
 public:
  // `clock` outlives the desk. `salt` makes the hashes of keys in logs and samples: one per node
  // process, so that a key can be followed and not guessed.
  Desk(const Clock& clock, std::string salt);
  ~Desk();

  // Decides at the clock's wall time and counts; the answer holds views into `rules`. An unknown
  // flag is not counted (its name is the caller's invention).
  decision::FlagDecision Decide(const decision::Ruleset& rules, std::string_view flag,
                                const decision::FlagInputs& inputs);

  // What was decided since the last call, as series of subject "flag/<name>".
  void TakeInto(telemetry::Window& window);
  // Decisions picked since the last call, at most kSamplesPerSecond of them a second.
  std::vector<wire::DecisionSample> TakeSamples();
  void AddTo(std::map<std::string, FlagTotals, std::less<>>& totals) const;

  static constexpr int kSamplesPerSecond = 5;
  static constexpr int kLogLinesPerSecond = 100;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// "#" and 10 hex digits of BLAKE2b(salt, key); the key itself when `in_full`.
std::string ShownKey(std::string_view key, std::string_view salt, bool in_full);

}  // namespace weir::node::flags
