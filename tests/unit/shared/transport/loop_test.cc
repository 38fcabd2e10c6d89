// SPDX-License-Identifier: Apache-2.0
#include "shared/transport/loop.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <thread>
#include <vector>

#include "shared/base/clock.h"

namespace weir::transport {
namespace {

// A loop whose time moves only when the test says so, on the loop's own thread.
class LoopTimers : public ::testing::Test {
 protected:
  LoopTimers() { loop_.Start(); }
  // Advances, and returns once the timers due by then have run.
  void AdvanceMs(int64_t ms) {
    loop_.Call([&] { clock_.AdvanceMs(ms); });
    loop_.Call([] {});  // the round after: timers run between two mailboxes
  }

  ManualClock clock_;
  Loop loop_{"test-timers", clock_};
  std::vector<int> ran_;  // loop's thread; read after a Call
};

TEST_F(LoopTimers, RunInOrderOfTimeAndOnce) {
  loop_.Call([&] {
    loop_.After(20, [&] { ran_.push_back(20); });
    loop_.After(10, [&] { ran_.push_back(10); });
    loop_.After(30, [&] { ran_.push_back(30); });
  });
  AdvanceMs(9);
  EXPECT_TRUE(ran_.empty());
  AdvanceMs(1);
  EXPECT_EQ(ran_, (std::vector<int>{10}));
  AdvanceMs(100);
  EXPECT_EQ(ran_, (std::vector<int>{10, 20, 30}));
  AdvanceMs(100);
  EXPECT_EQ(ran_.size(), 3U);
}

TEST_F(LoopTimers, RepeatAndSkipWhatWasMissed) {
  loop_.Call([&] { loop_.Every(10, [&] { ran_.push_back(1); }); });
  AdvanceMs(10);
  AdvanceMs(10);
  EXPECT_EQ(ran_.size(), 2U);
  AdvanceMs(55);  // five turns missed: one call, and the next on the old beat, at 80
  EXPECT_EQ(ran_.size(), 3U);
  AdvanceMs(4);
  EXPECT_EQ(ran_.size(), 3U);
  AdvanceMs(1);
  EXPECT_EQ(ran_.size(), 4U);
}

TEST_F(LoopTimers, IgnoreTheWallClock) {
  loop_.Call([&] { loop_.After(10, [&] { ran_.push_back(1); }); });
  loop_.Call([&] { clock_.StepWallMs(3'600'000); });
  AdvanceMs(9);
  EXPECT_TRUE(ran_.empty());
}

TEST_F(LoopTimers, CallbackMayCancelItselfAndOthers) {
  uint64_t self = 0;
  uint64_t other = 0;
  loop_.Call([&] {
    self = loop_.Every(10, [&] {
      ran_.push_back(1);
      loop_.Cancel(self);
      loop_.Cancel(other);
    });
    other = loop_.After(10, [&] { ran_.push_back(2); });  // due in the same round, after it
    loop_.Cancel(12345);
  });
  AdvanceMs(10);
  AdvanceMs(10);
  EXPECT_EQ(ran_, (std::vector<int>{1}));
}

TEST_F(LoopTimers, CallbackMayStartTimersWithoutStarvingTheRest) {
  std::function<void()> again = [&] {
    ran_.push_back(1);
    loop_.After(0, again);
  };
  loop_.Call([&] { loop_.After(0, again); });
  // Each of these waits for the mailbox, which an endless chain of immediate timers must let
  // through.
  AdvanceMs(0);
  AdvanceMs(0);
  loop_.Call([&] { EXPECT_GE(ran_.size(), 2U); });
  loop_.Stop();
}

TEST(LoopClock, SystemTimersFireByThemselves) {
  Loop loop("test-clock");
  loop.Start();
  std::promise<int64_t> fired;
  const int64_t started_ns = Clock::System().MonotonicNs();
  loop.Call([&] { loop.After(5, [&] { fired.set_value(Clock::System().MonotonicNs()); }); });
  auto future = fired.get_future();
  ASSERT_EQ(future.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EXPECT_GE(future.get() - started_ns, 5'000'000);
}

TEST(LoopMailbox, KeepsTheOrderOfEachThread) {
  constexpr int kThreads = 4;
  constexpr int kTasks = 2000;
  Loop loop("test-order");
  std::vector<std::vector<int>> seen(kThreads);
  loop.Post([&] { seen[0].push_back(-1); });  // kept until Start
  loop.Start();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&loop, &seen, t] {
      for (int i = 0; i < kTasks; ++i) loop.Post([&seen, t, i] { seen[t].push_back(i); });
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(loop.Call([] {}));
  ASSERT_EQ(seen[0].front(), -1);
  seen[0].erase(seen[0].begin());
  for (const std::vector<int>& tasks : seen) {
    ASSERT_EQ(tasks.size(), static_cast<size_t>(kTasks));
    for (int i = 0; i < kTasks; ++i) ASSERT_EQ(tasks[i], i);
  }
}

TEST(LoopMailbox, CallRunsOnTheLoopAndInlineFromIt) {
  Loop loop("test-call");
  loop.Start();
  EXPECT_FALSE(loop.IsOnLoop());
  bool inner = false;
  EXPECT_TRUE(loop.Call([&] {
    EXPECT_TRUE(loop.IsOnLoop());
    EXPECT_TRUE(loop.Call([&] { inner = true; }));
  }));
  EXPECT_TRUE(inner);
}

TEST(LoopFds, CallsWhileReadableUntilUnwatched) {
  Loop loop("test");
  const int fd = ::eventfd(0, EFD_NONBLOCK);
  std::promise<void> twice;
  int calls = 0;
  loop.WatchFd(fd, [&] {
    if (++calls == 2) {
      loop.UnwatchFd(fd);
      twice.set_value();
    }
  });
  loop.Start();
  ASSERT_EQ(::eventfd_write(fd, 1), 0);  // never read: level-triggered
  ASSERT_EQ(twice.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  loop.Call([] {});
  loop.Call([] {});
  EXPECT_EQ(calls, 2);
  loop.Stop();
  ::close(fd);
}

TEST(LoopStop, RunsWhatWasPostedAndDropsWhatComesLater) {
  Loop loop("test-stop");
  std::vector<int> ran;
  std::promise<void> entered;
  std::promise<void> go;
  loop.Start();
  loop.Post([&] {
    entered.set_value();
    go.get_future().wait();
  });
  entered.get_future().wait();  // the loop is busy, so the next ones wait in the mailbox
  for (int i = 0; i < 100; ++i) loop.Post([&ran, i] { ran.push_back(i); });
  std::thread stopper([&] { loop.Stop(); });
  go.set_value();
  stopper.join();
  EXPECT_EQ(ran.size(), 100U);
  loop.Stop();
  loop.Post([&] { ran.push_back(-1); });
  EXPECT_FALSE(loop.Call([&] { ran.push_back(-1); }));
  EXPECT_EQ(ran.size(), 100U);
}

TEST(LoopStop, NeverLeavesACallerWaiting) {
  for (int round = 0; round < 50; ++round) {
    Loop loop("test-race");
    loop.Start();
    std::atomic<int> ran{0};
    int answered = 0;
    std::thread caller([&] {
      for (int i = 0; i < 20; ++i) answered += loop.Call([&] { ++ran; }) ? 1 : 0;
    });
    loop.Stop();
    caller.join();
    EXPECT_EQ(answered, ran);
  }
}

TEST(LoopStop, DestroysTimersOnTheLoopsThread) {
  Loop loop("test-forget");
  std::thread::id loop_thread;
  std::thread::id destroyed_on;
  loop.Start();
  loop.Call([&] {
    loop_thread = std::this_thread::get_id();
    const std::shared_ptr<void> owned(nullptr,
                                      [&](void*) { destroyed_on = std::this_thread::get_id(); });
    loop.After(1'000'000, [owned] {});
  });
  loop.Stop();
  EXPECT_EQ(destroyed_on, loop_thread);
}

TEST(LoopStop, WithoutStartDropsEverything) {
  Loop loop("test-unstarted");
  bool ran = false;
  loop.Post([&] { ran = true; });
  loop.Stop();
  loop.Stop();
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace weir::transport
