// SPDX-License-Identifier: Apache-2.0
// /ready: whether this node can serve, and what is missing.
#pragma once

#include <cstdint>

#include "dataplane/front/node_status.h"
#include "dataplane/routing/plan.h"
#include "dataplane/runtime/versions.h"
#include "shared/http/message.h"

namespace weir::node::front {

// Not ready: no snapshot yet, draining, no model that can be served, or, until the node has been
// ready once, a serving version that is still loading. Afterwards versions that load or have FAILED
// are only listed, so that one new bad model does not take every node out of its load balancer. A
// stale node serves its last good snapshot and stays ready. One per worker.
class Readiness {
 public:
  bool Check(const routing::Plan* plan, const runtime::VersionTable* versions,
             const NodeStatusView* status);
  // 200 or 503 with what is missing, versions that are not READY, faults in rehearsal, and what an
  // operator forces here, pins that cannot be followed included; rollouts that nobody watches; how
  // old the snapshot is. `now_ms` is monotonic.
  http::Response Answer(const routing::Plan* plan, const runtime::VersionTable* versions,
                        const NodeStatusView* status, const OverridesView* overrides,
                        int64_t now_ms, int64_t wall_ms);

 private:
  bool been_ready_ = false;
};

}  // namespace weir::node::front
