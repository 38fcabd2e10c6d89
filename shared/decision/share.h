// SPDX-License-Identifier: Apache-2.0
// Whether a key is in a share of all keys; for the decisions on flags and on arms alike.
#pragma once

#include <cstdint>
#include <string_view>

#include "shared/decision/bucket.h"
#include "shared/decision/decide.h"
#include "shared/domain/units.h"

namespace weir::decision {

struct Share {
  bool in = false;
  bool has_bucket = false;  // not at 0 and 100
  domain::FinePercent bucket = 0;
};

inline Share InShare(domain::FinePercent threshold, bool random_strategy, std::string_view key,
                     std::string_view seed, uint64_t random) {
  if (threshold == 0) return {};
  if (threshold >= domain::kFineAll) return {.in = true, .has_bucket = false, .bucket = 0};
  const domain::FinePercent bucket =
      random_strategy ? static_cast<domain::FinePercent>(random % domain::kFineAll)
                      : FineBucket(HashPrefix(key, seed));
  return {bucket < threshold, true, bucket};
}

// For decisions on flags and on arms alike.
template <class Decision>
void Explain(const Share& share, domain::FinePercent threshold, Decision& decision) {
  decision.reason = share.has_bucket ? Reason::kSplit : Reason::kStatic;
  if (share.has_bucket) decision.bucket = share.bucket;
  decision.threshold = threshold;
}

}  // namespace weir::decision
