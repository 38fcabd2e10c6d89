// SPDX-License-Identifier: Apache-2.0
// Versions that are services: a node calls them instead of loading a file. "oip" speaks the Open
// Inference Protocol (POST /v2/models/<model>/infer), "predict" passes JSON on as it comes
// (POST /predict/<model>).
//
// A call goes out from the worker that serves the request, over connections that this worker keeps.
// Of several urls the healthy one with the fewest of the worker's calls is asked. A call that fails
// before a byte of an answer came is made again, on another url or, where there is only one, once
// more: a client's request must not fail because a service was restarted. A request that broke two
// connections is left at that, lest it break every replica; what a service answers is never asked
// for again.
//
// A url that answers badly (5xx other than 503) leaves the balancing: after five bad answers in a
// row, or when half of the answers of 10 s are bad that one worker got, 20 or more; those of three
// callers or more, so that no client ejects it alone; never more than half of the urls. After
// `eject_ms` one call at a time tries it, three good ones bring it back, a bad one doubles the time
// (breaker.h). The answers of 10 s are each worker's own; bad ones in a row, and that a url is out,
// are atomics of all workers; only who ejects or tries a url takes the service's mutex.
//
// A url is healthy unless its last check failed, or a call to it just did: then it is left alone
// for `aside_ms`, and a single call tries it. Every url is checked each `check_interval_ms`:
//   oip      GET <health, or /v2/health/ready> and GET /v2/models/<model>/ready
//   predict  GET <health, or /health>
// and is well if all answer 2xx. A check that nobody answers counts for nothing while calls are
// answered: a service under load is no service that is gone.
//
// The version is ready to serve when one url is well. Checks wait for no other: one that hangs
// delays a warm-up by twice `check_timeout_ms` at most. When `checks` checks in a row have failed
// on every url, Version::Health says so, and nodes stop sending it requests until a check succeeds:
// who is responsible at night reads FAILED with the reason, stable answers the canary's keys, and a
// stable that is gone is a quick 503 instead of a queue.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/runtime/runtime.h"
#include "shared/base/clock.h"

namespace weir::node::runtime {

struct RemoteOptions {
  size_t workers = 1;  // Request.worker_index is below
  int64_t check_interval_ms = 2000;
  int64_t check_timeout_ms = 1000;  // of one GET
  int checks = 3;
  int64_t aside_ms = 1000;
  int64_t connect_timeout_ms = 1000;
  int64_t eject_ms = 5000;  // that a url which answers badly is left out at first, see above
};

// "oip" and "predict". `clock` is the one that deadlines are told in; it outlives what is loaded.
// Versions call from http::Server's workers only, and that server outlives the last of them.
std::vector<std::shared_ptr<Runtime>> MakeRemoteRuntimes(RemoteOptions options,
                                                         const Clock& clock = Clock::System());

}  // namespace weir::node::runtime
