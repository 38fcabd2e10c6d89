// SPDX-License-Identifier: Apache-2.0
#include "dataplane/admission/refusal.h"

#include <fmt/format.h>

#include <array>

namespace weir::node::admission {

const char* RefusalName(Refusal refusal) {
  constexpr std::array<const char*, kRefusals> kNames = {
      "none", "circuit_break", "shed_load",  "caller_concurrent", "caller_rate",
      "rate", "governor",      "queue_full", "deadline"};
  return kNames[static_cast<size_t>(refusal)];
}

int StatusOf(Refusal refusal) {
  if (refusal == Refusal::kCircuit) return 503;
  return refusal == Refusal::kDeadline ? 504 : 429;
}

std::string Sentence(Refusal refusal, std::string_view model, const Situation& now) {
  switch (refusal) {
    case Refusal::kNone:
      return "";
    case Refusal::kCircuit:
      return fmt::format("{} is held back by a policy{}{}; ask again after retry-after-ms", model,
                         now.why.empty() ? "" : ": ", now.why);
    case Refusal::kShedLoad:
      return fmt::format(
          "a policy turns {:.3g} % of the callers of {} away for a while, this one "
          "among them; ask again after retry-after-ms",
          now.share * 100, model);
    case Refusal::kCallerConcurrent:
      return fmt::format(
          "this caller has {} requests to {} in work on this node already, and that "
          "is its limit; wait for their answers",
          now.caller_slots, model);
    case Refusal::kCallerRate:
      return fmt::format(
          "this caller may ask {} {:.6g} times a second on this node; ask again "
          "after retry-after-ms",
          model, now.rate);
    case Refusal::kRate:
      return fmt::format(
          "this node takes {:.6g} requests a second to {}; ask again after "
          "retry-after-ms, or raise requests_per_second of Limit {}",
          now.rate, model, model);
    case Refusal::kGovernor:
      return fmt::format(
          "{} is overloaded on this node, which turns {:.3g} % of its requests away, "
          "the least important first; ask again after retry-after-ms",
          model, now.share * 100);
    case Refusal::kQueueFull:
      return fmt::format(
          "no room for {} on this node: {} of {} slots are taken, and {} of {} places "
          "in the queue; ask again after retry-after-ms, or raise max_concurrent or "
          "max_queue of Limit {}",
          model, now.slots, now.slots, now.max_queue, now.max_queue, model);
    case Refusal::kDeadline:
      return fmt::format(
          "the deadline passed while the request waited {} ms for one of the {} "
          "slots of {} on this node",
          now.waited_ms, now.slots, model);
  }
  return "";
}

}  // namespace weir::node::admission
