// SPDX-License-Identifier: Apache-2.0
// One worker's POST /weir/v1/outcomes: reads, joins and records outcomes, and says of each that
// was refused why. Everything on the worker's thread.
#pragma once

#include <cstddef>
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
  uint64_t dropped = 0;  // for want of room: one metric more than an arm may have
  void Merge(const Totals& other);
};

class Service {
 public:
  static constexpr size_t kMaxBody = size_t{1024} * 1024;  // bytes

  // Without `tokens` anyone may post. `clock` and `recorders` outlive this.
  Service(const std::vector<std::string>& tokens, const Clock& clock,
          routing::Recorders& recorders);

  // {accepted, late, rejected: [{index, field?, error}]}: 200 unless nothing could be used, then
  // the status of the first refusal (400, 404, 409) with its text as `error`. 401 without a token,
  // 413 above kMaxBody, 503 without a snapshot (`plan` is null or of none).
  http::Response Handle(const http::Request& request, const routing::Plan* plan);
  const Totals& totals() const { return totals_; }

 private:
  // Counts one more in `counts`, and says why if it is not recorded. Late is recorded.
  Status Record(const routing::Plan& plan, const Posted& posted, int64_t now_wall_ms,
                Totals& counts);
  void WarnIfAnyoneMayPost(const routing::Plan& plan) const;

  const Clock& clock_;
  const ofrep::Access access_;
  const bool is_guarded_;
  routing::Recorders& recorders_;
  Totals totals_;
};

}  // namespace weir::node::outcomes
