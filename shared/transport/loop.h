// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "shared/base/clock.h"
#include "shared/base/executor.h"

namespace weir::transport {

class Socket;
struct SocketWatch;

// A thread that polls sockets, keeps timers and has a mailbox (a mutex and an eventfd, which
// ThreadSanitizer understands; it cannot see through ZeroMQ's inproc).
//
// Lifecycle: construct, Start, Stop; cannot be started again. Stop runs what is already in the
// mailbox, destroys timers and watches on the loop's thread, and joins; the destructor calls it.
// Post, Call, IsOnLoop: any thread. Stop: any thread but the loop's own. Timers and watches: on the
// loop's thread, or on the owner's before Start and after Stop; anything else aborts.
// Each round runs the mailbox as it stood, then the timers that are due, then one callback per
// readable socket. Sockets are level-triggered: a callback handles a bounded number of messages
// (see Socket::Drain) and is called again in the next round, so none starves the others.
// Callbacks may post, start and cancel any timer (their own too), unwatch or close any socket
// (their own too), and must not throw.
class Loop : public Executor {
 public:
  explicit Loop(std::string name, const Clock& clock = Clock::System());
  ~Loop() override;
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void Start();
  void Stop();  // idempotent

  // Before Start: kept until then. After Stop: dropped.
  void Post(std::function<void()> task) override;
  // Runs `task` on the loop and waits for it; inline if already there. False if the loop has
  // stopped and the task did not run. Aborts before Start.
  bool Call(std::function<void()> task);
  bool IsOnLoop() const;

  // Monotonic milliseconds from now; negative counts as 0. The ids are never 0 nor used again.
  uint64_t After(int64_t delay_ms, std::function<void()> task);
  // First after one period (at least 1 ms); turns that a busy loop missed are skipped, not made up.
  uint64_t Every(int64_t period_ms, std::function<void()> task);
  void Cancel(uint64_t timer);  // unknown or past: nothing happens

  // `on_readable` is called while the socket has something to receive. One watch per socket: a
  // second one replaces the first. Closing or destroying the socket ends its watch; moving keeps
  // it.
  void Watch(Socket& socket, std::function<void()> on_readable);
  void Unwatch(Socket& socket);
  // The same for a file descriptor, such as inotify's. It is unwatched before it is closed.
  void WatchFd(int fd, std::function<void()> on_readable);
  void UnwatchFd(int fd);

  const Clock& clock() const { return clock_; }

 private:
  friend class ZapHandler;
  enum class State { kNew, kRunning, kStopped };
  struct Timer {
    int64_t due_ns;
    int64_t period_ns;  // 0: once
    std::shared_ptr<std::function<void()>> task;
  };

  std::shared_ptr<SocketWatch> WatchHandle(void* zmq_socket, std::function<void()> on_readable);
  uint64_t AddTimer(int64_t delay_ms, int64_t period_ms, std::function<void()> task);
  void CheckMayTouch() const;
  void Run();
  bool RunMailbox();  // false once Stop was called and everything before it has run
  void RunTimers();
  void PollSockets();
  int64_t PollTimeoutMs() const;
  void Forget();  // timers and watches

  const std::string name_;
  const Clock& clock_;
  const int wake_fd_;
  std::atomic<State> state_{State::kNew};

  // The mailbox, guarded by the mutex: the one place where threads meet.
  std::mutex mutex_;
  std::deque<std::function<void()>> mailbox_;
  bool closed_ = false;

  // Owned by the loop's thread while it runs.
  uint64_t next_timer_ = 1;
  std::unordered_map<uint64_t, Timer> timers_;
  std::set<std::pair<int64_t, uint64_t>> schedule_;  // (due_ns, id), one per timer
  std::vector<std::shared_ptr<SocketWatch>> watches_;

  std::mutex stop_mutex_;  // two threads may call Stop; the second waits for the first's join
  std::thread thread_;
};

}  // namespace weir::transport
