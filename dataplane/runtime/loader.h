// SPDX-License-Identifier: Apache-2.0
// Loads and unloads model versions on a thread of its own, so that a slow load never holds up a
// snapshot or a request.
//
// Every version that a model of the ruleset lists is wanted, the previous stable included, so that
// a rollback finds it loaded; `unloaded` ones are not. For each: fetch the blob (from the cache,
// else through FetchBlob), check its SHA-256, load it with the runtime it names, warm it up,
// publish it as READY. A version whose entry changes goes on serving as it was until the new one is
// READY or FAILED; a rehearsed fault, and being blocked, change nothing here.
//
// A service has no blob. Its warm-up asks it whether it is ready: while it is not, it stays LOADING
// and then becomes FAILED just as a blob that cannot be fetched, and READY as soon as it says yes.
// One that was READY and stops answering its checks is FAILED with the reason until it answers
// again: stable then answers the canary's keys, and nobody waits for what would fail.
//
// FAILED: an unknown runtime, bytes that do not load or fail their checksum, a blob that cannot be
// fetched. While a fetch is merely Unavailable the version stays LOADING for the first attempts,
// since a control plane that restarts must not look like a bad model. Fetches are tried again with
// back-off in either case; a file that does not load is not, until its entry changes.
//
// A restart that a Limit's act asks of this node loads the version anew, once for each of the act's
// values, and says LOADING meanwhile; the one before serves until then and goes with the last
// request that uses it.
//
// The warm-up runs on an input of the version's own width, not of the model's declared one: it
// proves that the library can predict, and leaves it to requests to show that a version was trained
// on other features than clients send. Such a version is READY, and its errors are its own.
//
// A version that is no longer wanted is UNLOADING from the moment the table without it is published
// until the last request that uses it has ended.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/runtime/runtime.h"
#include "dataplane/runtime/versions.h"
#include "shared/base/status.h"
#include "shared/decision/ruleset.h"

namespace weir::node::runtime {

struct LoaderOptions {
  std::string cache_dir;  // blobs are kept in <cache_dir>/blobs/<sha256>; empty: not kept
  int64_t first_retry_ms = 250;
  int64_t max_retry_ms = 15'000;
  int64_t max_service_retry_ms = 2000;  // the same, of services
  std::string node{};                   // this node's id, for acts that are one node's
  int patience = 5;  // attempts that may be Unavailable before the version is FAILED
};

class Loader {
 public:
  // Bytes of the blob with that SHA-256 (64 hex digits). Called on the loader's thread; may block.
  using FetchBlob = std::function<Result<std::string>(const std::string& sha256)>;
  // Called on the loader's thread after each change of a state.
  using OnChange = std::function<void(std::shared_ptr<const VersionTable>)>;

  Loader(std::vector<std::shared_ptr<Runtime>> runtimes, FetchBlob fetch, OnChange on_change,
         LoaderOptions options);
  ~Loader();  // Stop()

  void Start();
  // Any thread, at every snapshot; only the last one counts. Never blocks on a load.
  void SetWanted(std::shared_ptr<const decision::Ruleset> rules);
  // Joins the thread; a fetch or load that is under way is waited for, but no service. Idempotent.
  void Stop();

 private:
  class Shelf;
  void Run();

  // Constant after construction.
  const std::unique_ptr<Shelf> shelf_;  // the loader's thread

  // The mailbox, one slot: the thread sleeps on it, which a condition variable needs a mutex for.
  std::mutex mutex_;
  std::condition_variable wake_;
  std::shared_ptr<const decision::Ruleset> wanted_;
  bool stop_ = false;

  std::thread thread_;
};

}  // namespace weir::node::runtime
