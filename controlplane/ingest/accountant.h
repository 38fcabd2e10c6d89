// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "shared/base/status.h"
#include "shared/wire/messages.h"

namespace weir::control::ingest {

// One start of one node: what numbers batches.
struct Origin {
  std::string node;
  uint64_t incarnation = 0;
  auto operator<=>(const Origin&) const = default;
};

// How far an origin's batches were counted, and what it declared lost on the way.
struct HighWater {
  uint64_t seq = 0;      // every batch up to here is counted or declared lost
  uint64_t lost = 0;     // of them, declared lost
  uint64_t counted = 0;  // batches handed out, counted one by one
  bool operator==(const HighWater&) const = default;
};
using HighWaters = std::map<Origin, HighWater>;

// What an origin says of itself, with how far it was counted kTellings words before: it must have
// sent that since, however the two channels overtook each other.
struct Told {
  wire::Delivery delivery;
  bool ended = false;  // with its goodbye
  uint64_t counted_before = 0;
  bool operator==(const Told&) const = default;
};

// Counts each batch exactly once (WIRE, "Telemetry, exactly once"). `applied` lives in memory and
// is what the store will be given, `committed` is what it has. Invariants: committed <= applied;
// batches are handed out in order of seq, each once; seq = counted + declared lost, of which each
// is counted by itself, so that an audit can compare. One thread.
class Accountant {
 public:
  static constexpr uint64_t kWindow = 32;          // batches in flight; later ones are dropped
  static constexpr size_t kTellings = 5;           // seconds
  static constexpr size_t kIncarnationsKept = 64;  // per node; batches of older ones are refused

  struct Answer {
    std::vector<wire::Batch> apply;     // now, in this order
    std::optional<uint64_t> ack_again;  // it was stored already: tell the node so again
  };
  struct Counters {
    uint64_t applied = 0;
    uint64_t duplicates = 0;  // of applied and committed ones
    uint64_t held = 0;        // came early
    uint64_t dropped = 0;     // beyond the window, or of a forgotten incarnation
    uint64_t lost = 0;        // declared
  };

  // What the store has; before anything else.
  void Restore(const HighWaters& committed);
  // HELLO: the node will not send anything below `oldest_unacked` again (0: it has sent nothing).
  // A jump is declared loss. Batches that waited behind it come out in `apply`.
  Answer OnHello(const Origin& origin, uint64_t oldest_unacked);
  // InvalidArgument for seq 0.
  Result<Answer> OnBatch(wire::Batch batch);

  uint64_t CommittedOf(const Origin& origin) const;
  uint64_t AppliedOf(const Origin& origin) const;
  // What changed since the last call: to be stored together with what was applied until now.
  HighWaters TakeChanged();
  // HEARTBEAT or GOODBYE: what the origin counts itself.
  void OnTold(const Origin& origin, const wire::Delivery& delivery, bool ended);
  // What changed of that since the last call.
  std::map<Origin, Told> TakeTold();
  // The store has them now.
  void OnCommitted(const HighWaters& stored);

  const Counters& counters() const { return counters_; }

 private:
  struct Account {
    HighWater applied;
    uint64_t committed = 0;
    std::map<uint64_t, wire::Batch> held;
    std::deque<uint64_t> seq_when_told;  // the last kTellings times, oldest first
  };
  struct Node {
    std::map<uint64_t, Account> incarnations;
    uint64_t forgotten_up_to = 0;  // incarnations at or below are refused
  };

  Account* Find(const Origin& origin);
  void Release(const Origin& origin, Account& account, Answer& answer);

  std::map<std::string, Node> nodes_;
  std::set<Origin> changed_;
  std::map<Origin, Told> told_;  // since the last TakeTold
  Counters counters_;
};

}  // namespace weir::control::ingest
