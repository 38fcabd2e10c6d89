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
using TotalsByFlag = std::map<std::string, FlagTotals, std::less<>>;

class Desk {
 public:
  // `clock` outlives the desk. `salt` makes the hashes of keys in logs and samples: one per node
  // process, so that a key can be followed and not guessed.
  Desk(const Clock& clock, std::string salt);
  ~Desk();

  // Decides at the clock's wall time and counts; the answer holds views into `rules` and `inputs`.
  // Neither an unknown flag is counted (its name is the caller's invention) nor a request that is
  // refused because it has no targeting key. Costs one look-up over the bare decision, and no
  // allocation once a flag has had that outcome.
  decision::FlagDecision Decide(const decision::Ruleset& rules, std::string_view flag,
                                const decision::FlagInputs& inputs);

  // Forgets flags that `rules` do not have, after their last counts are taken.
  void Prune(const decision::Ruleset& rules);
  // What was decided since the last call, as series of subject "flag/<name>" whose version is that
  // of the rules (wire::SnapshotVersionText). Of very many versions between two calls the oldest
  // stands for all but the newest few.
  void TakeInto(telemetry::Window& window);
  // A uniform sample of each second that has ended since the last call: at most kSamplesPerSecond
  // decisions of it, whichever flags they were on (a reservoir, so that the first flags of a bulk
  // evaluation do not crowd out the others).
  std::vector<wire::DecisionSample> TakeSamples();
  void AddTo(TotalsByFlag& totals) const;

  static constexpr int kSamplesPerSecond = 5;
  static constexpr int kLogLinesPerSecond = 100;  // of this worker

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// How a key appears in logs and samples: "#" and 10 hex digits of BLAKE2b keyed by the salt, or,
// `in_full`, the key itself without control characters and cut at 128 bytes. "" stays "".
std::string ShownKey(std::string_view key, std::string_view salt, bool in_full);

}  // namespace weir::node::flags
