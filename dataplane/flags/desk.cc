// SPDX-License-Identifier: Apache-2.0
#include "dataplane/flags/desk.h"

#include <sodium.h>

#include <array>
#include <unordered_map>
#include <utility>

#include "shared/base/log.h"
#include "shared/base/text.h"
#include "shared/wire/telemetry_body.h"

namespace weir::node::flags {
namespace {

constexpr int64_t kSecondMs = 1000;
constexpr size_t kMaxShownKey = 128;       // bytes
constexpr size_t kMaxWaitingSamples = 50;  // of seconds that have ended and nobody has asked for
constexpr size_t kMaxOldVersions = 16;     // with counts to be taken

using decision::FlagDecision;

// Which series a decision counts in.
std::string_view OutcomeOf(const FlagDecision& decision) {
  if (decision.flag->IsVariant()) return decision.variant;
  return decision.enabled ? telemetry::kArmOn : telemetry::kArmOff;
}

std::string_view LogWordOf(const FlagDecision& decision) {
  if (!decision.flag->IsVariant()) return decision.enabled ? "enabled" : "disabled";
  return decision.value.empty() ? "no value" : decision.variant;
}

struct Tally {
  std::string outcome;
  uint64_t count = 0;  // since the last TakeInto
};

struct Counters {
  std::vector<Tally> tallies;  // few: one per variant
  FlagTotals totals;
  bool is_dirty = false;  // stands in State::dirty
  bool is_gone = false;   // the flag does not exist any more

  void Count(std::string_view outcome, bool enabled) {
    ++(enabled ? totals.enabled : totals.disabled);
    for (Tally& tally : tallies) {
      if (tally.outcome == outcome) {
        ++tally.count;
        return;
      }
    }
    tallies.push_back({std::string(outcome), 1});
  }
};

struct NameHash {
  using is_transparent = void;
  size_t operator()(std::string_view name) const { return decision::HashName(name); }
};
using Table = std::unordered_map<std::string, Counters, NameHash, std::equal_to<>>;

}  // namespace

struct Desk::State {
  State(const Clock& the_clock, std::string the_salt)
      : clock(the_clock), salt(std::move(the_salt)), random(RandomU64() | 1) {}

  void Count(const FlagDecision& decision);
  void SwitchTo(uint64_t next_version);
  void Take(uint64_t under, telemetry::Window& window);
  void Sample(const FlagDecision& decision, std::string_view key, int64_t wall_ms, bool in_full);
  void LogIt(const FlagDecision& decision, std::string_view key, bool in_full);
  void Turn();
  uint64_t Random() {  // xorshift64
    random ^= random << 13;
    random ^= random >> 7;
    return random ^= random << 17;
  }

  // Constant after construction.
  const Clock& clock;
  const std::string salt;

  uint64_t random;
  Table table;
  std::vector<Table::value_type*> dirty;               // with counts to be taken
  uint64_t version = 0;                                // of the rules by which these were decided
  std::map<uint64_t, telemetry::Window> old_versions;  // of rules before: counts to be taken

  // Of the running second.
  int64_t second_start_ms = 0;
  uint64_t seen = 0;
  std::vector<wire::DecisionSample> reservoir;
  int log_lines = 0;
  uint64_t left_out = 0;

  std::vector<wire::DecisionSample> waiting;  // of seconds that have ended
};

Desk::Desk(const Clock& clock, std::string salt)
    : state_(std::make_unique<State>(clock, std::move(salt))) {}

Desk::~Desk() = default;

void Desk::State::Count(const FlagDecision& decision) {
  auto at = table.find(std::string_view(decision.flag->name));
  if (at == table.end()) at = table.try_emplace(decision.flag->name).first;
  Counters& counters = at->second;
  counters.is_gone = false;
  counters.Count(OutcomeOf(decision), decision.enabled);
  if (counters.is_dirty) return;
  counters.is_dirty = true;
  dirty.push_back(&*at);
}

// Counts from here on are of other rules. A count of too many versions goes to the oldest, whose
// decisions no later period of a flag takes for its own (0, of no snapshot, goes by time).
void Desk::State::SwitchTo(uint64_t next_version) {
  if (!dirty.empty()) {
    const bool is_full = old_versions.size() >= kMaxOldVersions && !old_versions.contains(version);
    const uint64_t under = is_full ? old_versions.upper_bound(0)->first : version;
    Take(under, old_versions[under]);
  }
  version = next_version;
}

// Hands over what is dirty.
void Desk::State::Take(uint64_t under, telemetry::Window& window) {
  const std::string text = wire::SnapshotVersionText(under);
  for (Table::value_type* item : dirty) {
    Counters& counters = item->second;
    counters.is_dirty = false;
    for (Tally& tally : counters.tallies) {
      if (tally.count == 0) continue;
      telemetry::Series& series =
          window[{telemetry::kFlagSubject + item->first, text, tally.outcome}];
      series.counters[telemetry::kRequests] += std::exchange(tally.count, 0);
    }
    if (counters.is_gone) table.erase(std::string(item->first));
  }
  dirty.clear();
}

// Algorithm R: each decision of a second stays with the same probability.
void Desk::State::Sample(const FlagDecision& decision, std::string_view key, int64_t wall_ms,
                         bool in_full) {
  ++seen;
  size_t place = reservoir.size();
  if (place == kSamplesPerSecond) {
    place = Random() % seen;
    if (place >= kSamplesPerSecond) return;
  } else {
    reservoir.emplace_back();
  }
  reservoir[place] = {decision.flag->name, ShownKey(key, salt, in_full),
                      std::string(OutcomeOf(decision)), decision::ReasonName(decision.reason),
                      wall_ms};
}

void Desk::State::LogIt(const FlagDecision& decision, std::string_view key, bool in_full) {
  if (log_lines == kLogLinesPerSecond) {
    ++left_out;
    return;
  }
  ++log_lines;
  Log("flags").info("Feature flag decision: {} for {} => {}", decision.flag->name,
                    key.empty() ? "(no key)" : ShownKey(key, salt, in_full), LogWordOf(decision));
}

// Ends the second if it is over.
void Desk::State::Turn() {
  const int64_t now_ms = clock.MonotonicMs();
  if (now_ms - second_start_ms < kSecondMs) return;
  if (left_out > 0) Log("flags").info("{} more decisions were not logged", left_out);
  second_start_ms = now_ms;
  seen = 0;
  log_lines = 0;
  left_out = 0;
  for (wire::DecisionSample& sample : reservoir) {
    if (waiting.size() < kMaxWaitingSamples) waiting.push_back(std::move(sample));
  }
  reservoir.clear();
}

FlagDecision Desk::Decide(const decision::Ruleset& rules, std::string_view flag,
                          const decision::FlagInputs& inputs) {
  decision::FlagInputs now = inputs;
  now.now_wall_ms = state_->clock.WallMs();
  const FlagDecision decision = decision::DecideFlag(rules, flag, now);
  if (decision.flag == nullptr || decision.error == decision::FlagError::kTargetingKeyMissing) {
    return decision;
  }
  state_->Turn();
  if (rules.version != state_->version) state_->SwitchTo(rules.version);
  state_->Count(decision);
  const domain::ObservabilitySpec& wanted = rules.observability();
  state_->Sample(decision, inputs.key, now.now_wall_ms, wanted.log_keys);
  if (wanted.log_feature_decisions) state_->LogIt(decision, inputs.key, wanted.log_keys);
  return decision;
}

void Desk::Prune(const decision::Ruleset& rules) {
  for (auto at = state_->table.begin(); at != state_->table.end();) {
    Counters& counters = at->second;
    counters.is_gone = rules.flags().Find(at->first) == nullptr;
    if (counters.is_gone && !counters.is_dirty) {
      at = state_->table.erase(at);
      continue;
    }
    std::erase_if(counters.tallies, [](const Tally& tally) { return tally.count == 0; });
    ++at;
  }
}

void Desk::TakeInto(telemetry::Window& window) {
  state_->Turn();
  for (const auto& [version, counts] : std::exchange(state_->old_versions, {})) {
    telemetry::Merge(window, counts);
  }
  state_->Take(state_->version, window);
}

std::vector<wire::DecisionSample> Desk::TakeSamples() {
  state_->Turn();
  return std::exchange(state_->waiting, {});
}

void Desk::AddTo(TotalsByFlag& totals) const {
  for (const auto& [name, counters] : state_->table) {
    FlagTotals& sum = totals[name];
    sum.enabled += counters.totals.enabled;
    sum.disabled += counters.totals.disabled;
  }
}

std::string ShownKey(std::string_view key, std::string_view salt, bool in_full) {
  if (key.empty()) return "";
  if (in_full) {
    size_t size = std::min(key.size(), kMaxShownKey);
    if (size < key.size()) {  // not in the middle of a character
      while (size > 0 && (static_cast<uint8_t>(key[size]) & 0xC0) == 0x80) --size;
    }
    std::string shown(key.substr(0, size));
    for (char& c : shown) {
      if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) c = '?';
    }
    return shown;
  }
  std::array<uint8_t, crypto_generichash_BYTES> hash;
  const auto* secret = reinterpret_cast<const uint8_t*>(salt.data());
  crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const uint8_t*>(key.data()),
                     key.size(), secret,
                     std::min<size_t>(salt.size(), crypto_generichash_KEYBYTES_MAX));
  return "#" + ToHex({hash.data(), 5});
}

}  // namespace weir::node::flags
