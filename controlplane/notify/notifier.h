// SPDX-License-Identifier: Apache-2.0
// Tells sinks (resources of kind Sink) what happens. Lives on core, fed with every event; each sink
// has a queue and a thread of its own, so that a slow one holds up no other. A sink is told in the
// order of events: one that does not answer is tried again after 4, 8, 16, 32 and 64 s (each a
// quarter more or less, by chance), then the notice is given up and the next one's turn comes.
//
// Delivered at least once while the control plane runs; what waits when it stops is lost. Receivers
// know a repetition by X-Weir-Delivery.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/notify/notice.h"
#include "controlplane/notify/send.h"
#include "shared/base/clock.h"
#include "shared/base/executor.h"
#include "shared/base/status.h"
#include "shared/base/work_pool.h"
#include "shared/codec/json.h"
#include "shared/domain/validate.h"

namespace weir::control::notify {

inline constexpr size_t kMaxWaiting = 256;  // of one sink; then the oldest is dropped
inline constexpr int kMaxAttempts = 6;

struct NotifierOptions {
  const Clock& clock;
  Executor& core;
  domain::Lookup find;
  domain::ForEach for_each;
  std::function<Surroundings()> surroundings = [] { return Surroundings(); };
};

// A sink that cannot be told, for people.
struct Trouble {
  std::string sink;
  int64_t since_wall_ms = 0;
  std::string why;
};

struct SinkCounts {
  uint64_t delivered = 0;
  uint64_t failed = 0;   // given up
  uint64_t dropped = 0;  // pushed out of a full queue
};

class Notifier {
 public:
  explicit Notifier(NotifierOptions options);
  ~Notifier();  // Stop()
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  void OnEvent(const Notice& notice);
  // Tells this one, whether it wants such notices or not, in its turn.
  void Tell(const std::string& sink, Notice notice);
  // About every 100 ms: what is due is tried again; deleted sinks are forgotten, what waits for a
  // disabled one is dropped.
  void Tick();
  // Tells the sink once that this is a test, before all that waits; its id, as StatusOf shows it
  // once it has been tried. NotFound.
  Result<std::string> Test(const std::string& sink);

  std::vector<Trouble> Troubles() const;
  std::map<std::string, SinkCounts> Counts() const;
  // {waiting, delivered, failed, dropped, last?: {id, type, at, attempts, result: delivered | retry
  // | failed, detail}, last_test?: the same of the last Test}.
  codec::Json StatusOf(const std::string& sink) const;

  // Lets what is on its way arrive for at most a second. Idempotent.
  void Stop();

 private:
  struct Delivery {
    std::shared_ptr<const Notice> notice;
    int most_attempts = kMaxAttempts;
    int attempts = 0;
  };
  struct SinkState {
    explicit SinkState(Executor& core) : thread(1, core) {}
    WorkPool thread;
    std::deque<Delivery> waiting;
    std::optional<Delivery> current;  // on its way, or to be tried again at due_ms
    uint64_t attempt = 0;             // the one on its way; 0: none
    int64_t due_ms = 0;               // monotonic
    domain::SinkSpec tried;           // with what the last attempt was made
    SinkCounts counts;
    std::string why;  // it cannot be told; "" while it can
    int64_t since_wall_ms = 0;
    codec::Json last;
    codec::Json last_test;
  };

  SinkState& StateOf(const std::string& sink);
  void Enqueue(const std::string& sink, Delivery delivery);
  void Pump(const std::string& sink, SinkState& state);
  void OnSent(const std::string& sink, uint64_t attempt, const Sent& sent);
  void SetTrouble(const std::string& sink, SinkState& state, std::string why);

  const NotifierOptions options_;
  std::map<std::string, std::unique_ptr<SinkState>> sinks_;
  uint64_t last_attempt_ = 0;
  // Ends with this: answers on their way look at it.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace weir::control::notify
