// SPDX-License-Identifier: Apache-2.0
#include "shared/transport/loop.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>

#include "shared/base/status.h"
#include "shared/transport/socket.h"
#include "shared/transport/watch.h"

namespace weir::transport {
namespace {

constexpr int64_t kNsPerMs = 1'000'000;
constexpr int64_t kLongestPollMs = 3'600'000;

thread_local const Loop* current_loop = nullptr;

// What a caller of Loop::Call waits for: the task's end, or its being dropped.
struct Waiter {
  std::mutex mutex;
  std::condition_variable condition;
  bool ended = false;
  bool ran = false;

  void End(bool did_run) {
    const std::lock_guard lock(mutex);
    ended = true;
    ran = ran || did_run;
    condition.notify_all();
  }
  bool Wait() {
    std::unique_lock lock(mutex);
    condition.wait(lock, [this] { return ended; });
    return ran;
  }
};

}  // namespace

Loop::Loop(std::string name, const Clock& clock)
    : name_(std::move(name)), clock_(clock), wake_fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  WEIR_CHECK(wake_fd_ >= 0);
}

Loop::~Loop() {
  Stop();
  ::close(wake_fd_);
}

void Loop::Start() {
  WEIR_CHECK(state_ == State::kNew);
  state_ = State::kRunning;
  thread_ = std::thread([this] { Run(); });
}

void Loop::Stop() {
  WEIR_CHECK(!IsOnLoop());
  const std::lock_guard stopping(stop_mutex_);
  if (state_ == State::kStopped) return;
  std::deque<std::function<void()>> never_run;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    if (state_ == State::kNew) never_run.swap(mailbox_);
  }
  ::eventfd_write(wake_fd_, 1);
  if (thread_.joinable()) {
    thread_.join();
  } else {
    Forget();
  }
  state_ = State::kStopped;
}

void Loop::Post(std::function<void()> task) {
  bool was_empty = false;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    was_empty = mailbox_.empty();
    mailbox_.push_back(std::move(task));
  }
  if (was_empty) ::eventfd_write(wake_fd_, 1);
}

bool Loop::Call(std::function<void()> task) {
  if (IsOnLoop()) {
    task();
    return true;
  }
  WEIR_CHECK(state_ != State::kNew);
  const auto waiter = std::make_shared<Waiter>();
  // Ends the waiting also when the mailbox drops the task without running it.
  std::shared_ptr<void> dropped(nullptr, [waiter](void*) { waiter->End(false); });
  Post([&task, waiter, dropped = std::move(dropped)] {
    task();
    waiter->End(true);
  });
  return waiter->Wait();
}

bool Loop::IsOnLoop() const { return current_loop == this; }

uint64_t Loop::After(int64_t delay_ms, std::function<void()> task) {
  return AddTimer(std::max<int64_t>(delay_ms, 0), 0, std::move(task));
}

uint64_t Loop::Every(int64_t period_ms, std::function<void()> task) {
  const int64_t period = std::max<int64_t>(period_ms, 1);
  return AddTimer(period, period, std::move(task));
}

uint64_t Loop::AddTimer(int64_t delay_ms, int64_t period_ms, std::function<void()> task) {
  CheckMayTouch();
  const uint64_t id = next_timer_++;
  const int64_t due_ns = clock_.MonotonicNs() + delay_ms * kNsPerMs;
  timers_[id] = {due_ns, period_ms * kNsPerMs,
                 std::make_shared<std::function<void()>>(std::move(task))};
  schedule_.emplace(due_ns, id);
  return id;
}

void Loop::Cancel(uint64_t timer) {
  CheckMayTouch();
  const auto found = timers_.find(timer);
  if (found == timers_.end()) return;
  schedule_.erase({found->second.due_ns, timer});
  const Timer last = std::move(found->second);  // destroyed when the tables are whole again
  timers_.erase(found);
}

void Loop::Watch(Socket& socket, std::function<void()> on_readable) {
  WEIR_CHECK(socket.IsOpen());
  Unwatch(socket);
  socket.watch_ = WatchHandle(socket.handle_, std::move(on_readable));
}

void Loop::Unwatch(Socket& socket) {
  CheckMayTouch();
  if (socket.watch_ == nullptr) return;
  socket.watch_->active = false;
  socket.watch_.reset();
}

void Loop::WatchFd(int fd, std::function<void()> on_readable) {
  WEIR_CHECK(fd >= 0);
  UnwatchFd(fd);
  WatchHandle(nullptr, std::move(on_readable))->fd = fd;
}

void Loop::UnwatchFd(int fd) {
  CheckMayTouch();
  for (const auto& watch : watches_) {
    if (watch->fd == fd) watch->active = false;
  }
}

std::shared_ptr<SocketWatch> Loop::WatchHandle(void* zmq_socket,
                                               std::function<void()> on_readable) {
  CheckMayTouch();
  auto watch = std::make_shared<SocketWatch>();
  watch->handle = zmq_socket;
  watch->on_readable = std::move(on_readable);
  watches_.push_back(watch);
  return watch;
}

void Loop::CheckMayTouch() const { WEIR_CHECK(IsOnLoop() || state_ != State::kRunning); }

void Loop::Run() {
  current_loop = this;
  ::pthread_setname_np(::pthread_self(), name_.substr(0, 15).c_str());
  while (RunMailbox()) {
    RunTimers();
    PollSockets();
  }
  Forget();
  current_loop = nullptr;
}

bool Loop::RunMailbox() {
  eventfd_t ignored = 0;
  ::eventfd_read(wake_fd_, &ignored);  // before the swap, so that a later Post wakes the next poll
  std::deque<std::function<void()>> batch;
  bool last = false;
  {
    const std::lock_guard lock(mutex_);
    batch.swap(mailbox_);
    last = closed_;
  }
  while (!batch.empty()) {
    batch.front()();
    batch.pop_front();
  }
  return !last;
}

void Loop::RunTimers() {
  const int64_t now_ns = clock_.MonotonicNs();
  std::vector<uint64_t> due;
  for (const auto& [due_ns, id] : schedule_) {
    if (due_ns > now_ns) break;
    due.push_back(id);
  }
  for (const uint64_t id : due) {
    const auto found = timers_.find(id);
    if (found == timers_.end()) continue;  // cancelled by a callback before it
    Timer& timer = found->second;
    const auto task = timer.task;  // the callback may cancel its own timer
    schedule_.erase({timer.due_ns, id});
    if (timer.period_ns == 0) {
      timers_.erase(found);
    } else {
      timer.due_ns += ((now_ns - timer.due_ns) / timer.period_ns + 1) * timer.period_ns;
      schedule_.emplace(timer.due_ns, id);
    }
    (*task)();
  }
}

void Loop::PollSockets() {
  std::erase_if(watches_, [](const auto& watch) { return !watch->active; });
  const std::vector<std::shared_ptr<SocketWatch>> round = watches_;  // callbacks change watches_
  std::vector<zmq_pollitem_t> items;
  items.reserve(round.size() + 1);
  items.push_back({nullptr, wake_fd_, ZMQ_POLLIN, 0});
  for (const auto& watch : round) items.push_back({watch->handle, watch->fd, ZMQ_POLLIN, 0});
  const int ready =
      zmq_poll(items.data(), static_cast<int>(items.size()), static_cast<long>(PollTimeoutMs()));
  if (ready < 0) {
    WEIR_CHECK(zmq_errno() == EINTR);  // else a watched socket was closed behind the loop's back
    return;
  }
  for (size_t i = 0; i < round.size(); ++i) {
    if (items[i + 1].revents != 0 && round[i]->active) round[i]->on_readable();
  }
}

int64_t Loop::PollTimeoutMs() const {
  if (schedule_.empty()) return -1;
  const int64_t left_ns = schedule_.begin()->first - clock_.MonotonicNs();
  return std::clamp<int64_t>((left_ns + kNsPerMs - 1) / kNsPerMs, 0, kLongestPollMs);
}

void Loop::Forget() {
  // Moved out first: what the callbacks own may cancel timers and close sockets as it goes.
  const auto timers = std::move(timers_);
  const auto watches = std::move(watches_);
  timers_.clear();
  schedule_.clear();
  watches_.clear();
  for (const auto& watch : watches) {
    watch->active = false;
    const auto last = std::exchange(watch->on_readable, nullptr);
  }
}

}  // namespace weir::transport
