// SPDX-License-Identifier: Apache-2.0
// Why a gate lets a request not in, and what the client is told about it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::node::admission {

enum class Refusal : uint8_t {
  kNone,
  kCircuit,           // a policy holds the circuit open
  kShedLoad,          // a policy turns a share of the callers away
  kCallerConcurrent,  // the caller has too much in work
  kCallerRate,        // the caller asks too often
  kRate,              // the node's requests a second are used up
  kGovernor,          // the governor turns a share of the requests away
  kQueueFull,         // every slot is taken and the queue is full
  kDeadline,          // its time ran out while it waited
};
inline constexpr size_t kRefusals = 9;
const char* RefusalName(Refusal refusal);  // "queue_full", as in weir_admission_shed_total

// 429, or 503 of a circuit and 504 of a deadline.
int StatusOf(Refusal refusal);

// The numbers that a sentence about a refusal needs.
struct Situation {
  uint64_t slots = 0;
  uint64_t max_queue = 0;
  double rate = 0;  // of the node, or of the caller
  uint64_t caller_slots = 0;
  double share = 0;  // turned away
  int64_t waited_ms = 0;
  std::string why{};  // of a circuit
};
// What was full, and what to do: "no room for fraud on this node: 8 of 8 slots are taken, and 16 of
// 16 places in the queue; …".
std::string Sentence(Refusal refusal, std::string_view model, const Situation& situation);

}  // namespace weir::node::admission
