// SPDX-License-Identifier: Apache-2.0
// Which series an outcome belongs to. A token knows who answered. A key is looked up in the present
// split: it is refused where that need not be what the key's answer came from, and the remedy is to
// send the token.
//
// An outcome of an answer that chance did not send where it went (pinned, diverted, forced) counts
// under arm `pinned`, so that judged arms stay random; so does one of a canary of another rollout
// than the present one.
#pragma once

#include <cstdint>

#include "dataplane/outcomes/outcome.h"
#include "dataplane/routing/plan.h"
#include "shared/base/status.h"
#include "shared/telemetry/series.h"

namespace weir::node::outcomes {

struct Joined {
  telemetry::SeriesKey series;
  // Beyond the attribution window: from the token's answer to the outcome, or, by key, from the
  // outcome until now.
  bool is_late = false;
};

// InvalidArgument: a token that is none, or of another model. NotFound: a model, version or flag
// that is not here. FailedPrecondition: the key's arm then is not known (a timestamp before the
// split as it stands, a strategy that draws, or anything that keeps or may have kept a
// canary key's requests from the canary: an emergency, silence, a fallback, a candidate that is not
// READY here or whose breaker is not closed).
//
// While nothing is rolled out a model's outcomes count for stable, and a flag's under no version:
// what comes later has them to compare with.
Result<Joined> Join(const routing::Plan& plan, const Outcome& outcome, int64_t now_wall_ms);

}  // namespace weir::node::outcomes
