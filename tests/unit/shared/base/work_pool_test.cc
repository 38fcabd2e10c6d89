// SPDX-License-Identifier: Apache-2.0
#include "shared/base/work_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <thread>

#include "tests/fakes/mailbox.h"

namespace weir {
namespace {

TEST(WorkPool, RunsUpToItsThreadsAtOnceAndGivesTheRestAfterwards) {
  fakes::Mailbox mailbox;
  WorkPool pool(2, mailbox);
  std::promise<void> both;
  std::promise<void> go;
  const std::shared_future<void> gone = go.get_future().share();
  const auto running = std::make_shared<std::atomic<int>>(0);
  int done = 0;
  for (int i = 0; i < 3; ++i) {
    pool.Run([&both, &done, gone, running]() -> WorkPool::Done {
      if (running->fetch_add(1) == 1) both.set_value();
      gone.wait();
      return [&done] { ++done; };
    });
  }
  ASSERT_EQ(both.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_EQ(running->load(), 2) << "the third waits for its turn";
  go.set_value();
  ASSERT_TRUE(mailbox.RunAll(3));
  EXPECT_EQ(done, 3);
  EXPECT_EQ(running->load(), 3);
}

TEST(WorkPool, StopLeavesBehindWhatHangsAndPostsNothingOfIt) {
  fakes::Mailbox mailbox;
  auto pool = std::make_unique<WorkPool>(1, mailbox);
  const auto begun = std::make_shared<std::promise<void>>();
  const auto go = std::make_shared<std::promise<void>>();
  const auto ended = std::make_shared<std::promise<void>>();
  bool posted = false;
  pool->Run([begun, go, ended, &posted]() -> WorkPool::Done {
    begun->set_value();
    go->get_future().wait();
    ended->set_value();
    return [&posted] { posted = true; };
  });
  pool->Run([&posted]() -> WorkPool::Done { return [&posted] { posted = true; }; });
  ASSERT_EQ(begun->get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  pool->Stop(20);
  pool->Run([] { return WorkPool::Done(); });
  pool.reset();
  go->set_value();
  ASSERT_EQ(ended->get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_TRUE(mailbox.RunAll(0));
  EXPECT_FALSE(posted);
}

TEST(WorkPool, StopLetsWhatRunsEnd) {
  fakes::Mailbox mailbox;
  WorkPool pool(1, mailbox);
  const auto begun = std::make_shared<std::promise<void>>();
  const auto ended = std::make_shared<std::atomic<bool>>(false);
  pool.Run([begun, ended]() -> WorkPool::Done {
    begun->set_value();
    std::this_thread::yield();
    ended->store(true);
    return {};
  });
  begun->get_future().wait();
  pool.Stop(10'000);
  EXPECT_TRUE(ended->load());
}

}  // namespace
}  // namespace weir
