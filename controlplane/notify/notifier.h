// SPDX-License-Identifier: Apache-2.0
// Tells sinks (resources of kind Sink) what happens. Lives on core, fed with every event; each sink
// has a queue (queue.h) and a thread of its own, so that a slow one holds up no other. One that
// does not answer is tried again after 4, 8, 16, 32, 64, 64, … s (each a quarter more or less, by
// chance), until the attempt fails for good or the notice has waited for kKeepTryingMs.
//
// Delivered at least once: what waits is stored through `save`, in one go for all that comes while
// core runs one task, and told by the next process. Receivers know a repetition by X-Weir-Delivery,
// which stays the same. What cannot be stored is tried again every second, and told meanwhile.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/notify/notice.h"
#include "controlplane/notify/queue.h"
#include "controlplane/notify/send.h"
#include "controlplane/store/records.h"
#include "shared/base/clock.h"
#include "shared/base/executor.h"
#include "shared/base/status.h"
#include "shared/base/work_pool.h"
#include "shared/codec/json.h"
#include "shared/domain/validate.h"

namespace weir::control::notify {

inline constexpr size_t kMaxWaiting = 256;  // of one sink; then the oldest is dropped
// A day: whoever mends a sink comes back to it within one, and after that the status page and the
// history say more than what is long over.
inline constexpr int64_t kKeepTryingMs = 86'400'000;

struct NotifierOptions {
  const Clock& clock;
  Executor& core;
  domain::Lookup find;
  domain::ForEach for_each;
  std::function<Surroundings()> surroundings = [] { return Surroundings(); };
  // Stores what waits from now on and forgets the numbers of what does not any more, both or
  // neither; null: nothing outlives the process.
  std::function<Status(const std::vector<store::NoticeRow>& waiting,
                       const std::vector<uint64_t>& done)>
      save{};
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

  // Once, first: what the process before did not deliver, in order; told from the next Tick on.
  void Load(const std::vector<store::NoticeRow>& waiting);
  void OnEvent(const Notice& notice);
  // Tells this one, whether it wants such notices or not, in its turn; once, where one with this id
  // waits already.
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

  // Stores what has changed since; what depends on it calls this before it is stored itself.
  Status Flush();
  // Of the last attempt to store.
  const Status& last_save() const { return last_save_; }
  // Lets what is on its way arrive for at most a second, then stores. Idempotent.
  void Stop();

 private:
  struct SinkState {
    explicit SinkState(Executor& core) : thread(1, core) {}
    WorkPool thread;
    Queue queue;
    uint64_t on_way = 0;  // the number of what is being told; 0: nothing
    // Of that: it has arrived, says the thread.
    std::shared_ptr<std::atomic<bool>> arrived = std::make_shared<std::atomic<bool>>(false);
    int failures = 0;        // in a row, of what is not set aside
    int64_t due_ms = 0;      // then the sink is tried again; monotonic
    domain::SinkSpec tried;  // with what the last attempt was made
    SinkCounts counts;
    std::string why;  // it cannot be told; "" while it can
    int64_t since_wall_ms = 0;
    codec::Json last;
    codec::Json last_test;
  };

  SinkState& StateOf(const std::string& sink);
  void Enqueue(const std::string& sink, std::shared_ptr<const Notice> notice);
  void Keep(SinkState& state, Queue::Item item, const std::string& sink);
  void Forget(uint64_t number);
  void Pump(const std::string& sink, SinkState& state);
  void OnSent(const std::string& sink, uint64_t number, const Sent& sent);
  // What comes of an attempt that may be worth another.
  Sent::Result Outcome(const Queue::Item& item, Sent::Result result) const;
  void TryLater(SinkState& state, Queue::Item& item);
  void SetTrouble(const std::string& sink, SinkState& state, std::string why);

  const NotifierOptions options_;
  std::map<std::string, std::unique_ptr<SinkState>> sinks_;
  uint64_t last_number_ = 0;
  std::map<uint64_t, store::NoticeRow> unsaved_;  // by number
  std::vector<uint64_t> done_;                    // stored, and not to be told any more
  bool is_flush_posted_ = false;
  int64_t flushed_ms_ = 0;
  Status last_save_;
  // Ends with this: answers on their way look at it.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace weir::control::notify
