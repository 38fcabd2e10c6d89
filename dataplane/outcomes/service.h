// SPDX-License-Identifier: Apache-2.0
// One worker's POST /weir/v1/outcomes: reads, joins and records outcomes, and says of each that
// was refused why. Everything on the worker's thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/ofrep/access.h"
#include "dataplane/outcomes/outcome.h"
#include "dataplane/routing/plan.h"
#include "dataplane/routing/recorder.h"
#include "shared/base/clock.h"
#include "shared/http/message.h"

namespace weir::node::outcomes {

// Since the start, for /metrics.
struct Totals {
  uint64_t accepted = 0;
  uint64_t late = 0;
  uint64_t rejected = 0;
  void Merge(const Totals& other);
};

class Service {
 public:
  // Without `tokens` anyone may post. `clock` and `recorders` outlive this.
  Service(const std::vector<std::string>& tokens, const Clock& clock,
          routing::Recorders& recorders);

  // {accepted, late, rejected: [{index, field?, error}]}: 200 unless nothing could be used, then
  // the status of the first refusal (400, 404, 409) with its text as `error`. 401 without a token,
  // 503 without a snapshot (`plan` is null or of none).
  http::Response Handle(const http::Request& request, const routing::Plan* plan);
  const Totals& totals() const { return totals_; }

 private:
  // OK when it is recorded, also as late.
  Status Record(const routing::Plan& plan, const Outcome& outcome, int64_t now_wall_ms,
                bool& is_late);

  const Clock& clock_;
  const ofrep::Access access_;
  routing::Recorders& recorders_;
  Totals totals_;
};

}  // namespace weir::node::outcomes
