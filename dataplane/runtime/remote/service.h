// SPDX-License-Identifier: Apache-2.0
// Internal: the service that answers one version: where it is, what is asked of it, and how each of
// its urls fares. Shared by the version, its calls on every worker and the checker.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/breaker/breaker.h"
#include "dataplane/runtime/remote/remote_runtime.h"
#include "shared/base/clock.h"
#include "shared/base/status.h"
#include "shared/base/work_pool.h"
#include "shared/domain/snapshot.h"

namespace weir::node::runtime::remote {

enum class Protocol : uint8_t { kOip, kPredict };

// One url. Any thread, but for what the checks keep and the breaker: they belong to the service's
// mutex.
class Place {
 public:
  // `eject_ms`: how long it is out at first.
  Place(std::string url, int64_t eject_ms);

  const std::string& url() const { return url_; }
  const std::string& name() const { return name_; }  // "host:port"

  bool IsWell() const { return !unfit_.load(std::memory_order_relaxed); }
  // 0: calls reach it.
  int64_t aside_until_ns() const { return aside_until_ns_.load(std::memory_order_relaxed); }
  // A call failed: nobody calls until then.
  void SetAside(int64_t until_ns) { aside_until_ns_.store(until_ns, std::memory_order_relaxed); }
  // Whether the caller is the one who tries it again; others wait until `until_ns`.
  bool TakeProbe(int64_t aside_until_ns, int64_t until_ns) {
    return aside_until_ns_.compare_exchange_strong(aside_until_ns, until_ns);
  }
  // A call was answered.
  void Answered();
  // It answers, but badly, and has left the balancing: nobody calls before then, where another can.
  // 0: it is in; kProbed: a call tries it.
  int64_t out_until_ns() const { return out_until_ns_.load(std::memory_order_relaxed); }
  bool IsOut() const { return out_until_ns() != 0; }
  // How often it has left the balancing.
  uint32_t ejections() const { return ejections_.load(std::memory_order_relaxed); }

 private:
  friend class Service;
  static constexpr int64_t kProbed = std::numeric_limits<int64_t>::max();
  static constexpr int64_t kProbeDue = 1;

  // True once kEjectAfter answers in a row were bad, those of several callers.
  bool CountBad(uint32_t key_hash);
  void ForgetBad();

  const std::string url_;
  const std::string name_;
  std::atomic<int64_t> aside_until_ns_{0};
  std::atomic<int64_t> out_until_ns_{0};
  std::atomic<uint32_t> ejections_{0};
  std::atomic<int> bad_in_a_row_{0};                                         // answers
  std::array<std::atomic<uint64_t>, breaker::Window::kMinKeys> bad_keys_{};  // of them; 0: none
  std::atomic<bool> unfit_{false};
  std::atomic<bool> answered_{false};  // since the last check
  bool is_checked_ = false;            // at present
  int failures_ = 0;                   // of checks, in a row
  std::optional<Status> last_;         // what the last check found
  breaker::Breaker breaker_;           // for how long it is out, and what brings it back
};

class Service : public std::enable_shared_from_this<Service> {
 public:
  // InvalidArgument: an entry that is no service.
  static Result<std::shared_ptr<Service>> Make(Protocol protocol, const VersionSource& source,
                                               const RemoteOptions& options);
  Service(Protocol protocol, const VersionSource& source, const RemoteOptions& options);

  // Constant after construction.
  const Protocol protocol;
  const domain::VersionEntry entry;
  const RemoteOptions options;
  const bool declares_inputs;
  const std::string name;    // "fraud 1.1.0"
  const std::string target;  // of a call, below the url's prefix

  std::vector<std::unique_ptr<Place>>& places() { return places_; }

  // Begins to ask every url that is not being asked; on the thread that `pool` belongs to.
  void BeginChecks(WorkPool& pool);
  // The same, and waits for what they say: OK as soon as one is well (the others have a moment to
  // say that they are not), else Unavailable with every reason. Blocks for at most twice the
  // check's time-out, and not once `stop` is requested.
  Status WarmUp(WorkPool& pool, const std::stop_token& stop);
  // These four on any thread. Note locks nothing while answers are good, the others are rare.
  // How a call to a place that is in was answered. kEjectAfter bad ones in a row, of several
  // callers, eject it.
  static constexpr int kEjectAfter = 5;
  void Note(Place& place, bool is_bad, uint32_t key_hash, int64_t now_ns);
  // It leaves the balancing for a while, unless more than half of the places would then be out or
  // no other could be called: that all are bad is for the version's breaker to see. `why`, for the
  // log: "10 of 20 answers …".
  void Eject(Place& place, const std::string& why, int64_t now_ns);
  // Whether the caller is the one who tries a place whose time is over; EndProbe follows.
  bool BeginProbe(Place& place, int64_t now_ns);
  void EndProbe(Place& place, breaker::Outcome outcome, int64_t now_ns);
  // Any thread.
  std::vector<Upstream> Upstreams() const;
  // Any thread. Unavailable once every url failed its checks.
  Status Health() const;

 private:
  void CheckPlace(Place& place);
  Status Ask(const Place& place, bool* silent) const;
  void Take(Place& place, Status status, bool silent);
  bool IsOneWell() const;
  bool AreAllAsked() const;
  std::string Reasons() const;

  const std::vector<std::string> checked_;  // targets of GET
  std::vector<std::unique_ptr<Place>> places_;
  // Checks on threads of a pool write what the loader reads and waits for; workers eject places and
  // try them again.
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  Status health_;
};

}  // namespace weir::node::runtime::remote
