// SPDX-License-Identifier: Apache-2.0
// What a version's end of a request counts as (SURFACES, What counts as bad).
#pragma once

#include <cstdint>

#include "dataplane/routing/plan.h"
#include "shared/base/status.h"

namespace weir::node::front {

enum class Verdict : uint8_t { kGood, kBad, kClientError, kShed };

// A service may say that the request is wrong (InvalidArgument: of what nobody could check before),
// or that it has no room; every other failure is the version's.
inline Verdict VerdictOf(const Status& status, bool has_head, const routing::Target& target) {
  if (status.ok()) return has_head ? Verdict::kGood : Verdict::kBad;
  if (!target.is_service || has_head) return Verdict::kBad;
  if (status.code() == Code::kResourceExhausted) return Verdict::kShed;
  return status.code() == Code::kInvalidArgument ? Verdict::kClientError : Verdict::kBad;
}

}  // namespace weir::node::front
