// SPDX-License-Identifier: Apache-2.0
#include "controlplane/gates/command.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "tests/fakes/temp_dir.h"

namespace weir::control::gates {
namespace {

using How = CommandEnd::How;

class Command : public testing::Test {
 protected:
  std::string Script(const std::string& name, const std::string& body, mode_t mode = 0755) {
    const std::string path = dir_.path() + "/" + name;
    EXPECT_TRUE(WriteFileAtomic(path, "#!/bin/sh\n" + body, 0755).ok());
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
    return path;
  }
  CommandEnd Run(const std::string& body, int64_t timeout_ms = 20'000,
                 std::vector<std::string> environment = {}) {
    const auto end = RunCommand(
        {Script("run", body), {"run", "first argument"}, std::move(environment), timeout_ms},
        cancelled_);
    EXPECT_TRUE(end.ok()) << end.status().ToString();
    return end.ok() ? *end : CommandEnd();
  }
  // Of a process that wrote its number into the file; a zombie counts as gone.
  bool IsAlive(const std::string& file) {
    const auto text = ReadFile(file);
    if (!text.ok()) return false;
    const auto stat = ReadFile("/proc/" + text->substr(0, text->find('\n')) + "/stat");
    return stat.ok() && stat->find(") Z ") == std::string::npos;
  }
  bool Ends(const std::string& file) {
    const int64_t end_ms = Clock::System().MonotonicMs() + 10'000;
    while (IsAlive(file) && Clock::System().MonotonicMs() < end_ms) std::this_thread::yield();
    return !IsAlive(file);
  }

  fakes::TempDir dir_;
  std::atomic<bool> cancelled_{false};
};

TEST_F(Command, GivesExitCodeAndOutput) {
  const CommandEnd end = Run("echo out; echo err >&2; exit 3");
  EXPECT_EQ(end.how, How::kExited);
  EXPECT_EQ(end.code, 3);
  EXPECT_EQ(end.output, "out\nerr\n");
  const CommandEnd killed = Run("kill -9 $$");
  EXPECT_EQ(killed.how, How::kSignalled);
  EXPECT_EQ(killed.code, 9);
}

TEST_F(Command, StartsWithWhatItIsGivenAlone) {
  ::setenv("WEIR_TEST_SECRET", "x", 1);
  const CommandEnd end = Run(
      "echo \"$1|$A|${WEIR_TEST_SECRET:-none}|$(pwd)\"; readlink /proc/self/fd/0; read x || echo "
      "no input; ls /proc/self/fd | sort -n | tr '\\n' ' '",
      20'000, {"A=b c", "PATH=/usr/bin:/bin"});
  ::unsetenv("WEIR_TEST_SECRET");
  EXPECT_EQ(end.code, 0);
  // 3 is the folder that ls itself reads.
  EXPECT_EQ(end.output, "first argument|b c|none|/\n/dev/null\nno input\n0 1 2 3 ");
}

TEST_F(Command, GetsSignalsThoughOurThreadsBlockThem) {
  sigset_t blocked;
  sigset_t before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  const CommandEnd end = Run("kill -TERM $$; sleep 60");
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_EQ(end.how, How::kSignalled);
  EXPECT_EQ(end.code, SIGTERM);
}

TEST_F(Command, IsKilledAfterItsTimeWithAllThatItStarted) {
  const std::string child = dir_.path() + "/child";
  const CommandEnd end =
      Run("echo begun; sleep 300 & echo $! > " + child + "; trap '' TERM; sleep 300", 300);
  EXPECT_EQ(end.how, How::kTimedOut);
  EXPECT_EQ(end.output, "begun\n");
  ASSERT_FALSE(ReadFile(child)->empty());
  EXPECT_TRUE(Ends(child));
}

TEST_F(Command, WhatItLeavesBehindIsKilledToo) {
  const std::string child = dir_.path() + "/child";
  const CommandEnd end = Run("sleep 300 & echo $! > " + child + "; echo done");
  EXPECT_EQ(end.how, How::kExited);
  EXPECT_EQ(end.output, "done\n") << "the child that holds the pipe keeps nobody waiting";
  EXPECT_TRUE(Ends(child));
}

TEST_F(Command, AsTheFirstProcessOfAContainerWeLeaveNoZombies) {
  const std::string child = dir_.path() + "/child";
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);  // who is the first is one as well
  Run("sleep 300 & echo $! > " + child);
  ::prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
  const std::string pid = *ReadFile(child);
  EXPECT_FALSE(ReadFile("/proc/" + pid.substr(0, pid.find('\n')) + "/stat").ok());
}

TEST_F(Command, IsKilledWhenNobodyNeedsItAnyMore) {
  const std::string child = dir_.path() + "/self";
  std::thread other([&] {
    const int64_t end_ms = Clock::System().MonotonicMs() + 10'000;
    while (!IsAlive(child) && Clock::System().MonotonicMs() < end_ms) std::this_thread::yield();
    cancelled_ = true;
  });
  const CommandEnd end =
      Run("echo $$ > " + child + ".new; mv " + child + ".new " + child + "; exec sleep 300");
  other.join();
  EXPECT_EQ(end.how, How::kCancelled);
  EXPECT_FALSE(IsAlive(child));
}

TEST_F(Command, KeepsTheEndOfMuchOutput) {
  const CommandEnd end = Run("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done");
  EXPECT_EQ(end.code, 0);
  EXPECT_EQ(end.output.size(), kMaxOutput);
  EXPECT_TRUE(end.output.ends_with("line 19999\n"));
}

TEST_F(Command, LastLinesAreFitToShow) {
  EXPECT_EQ(LastLines("a\n\nb\nc  \nd\n"), "b | c | d");
  EXPECT_EQ(LastLines(""), "");
  EXPECT_EQ(LastLines("\x1b[31mred\xff\t!"), " [31mred? !");
  const std::string umlauts(1000, 'x');
  const std::string text = LastLines(umlauts + "ä" + std::string(299, 'y'));
  EXPECT_EQ(text, "…" + std::string(299, 'y')) << "no half character";
}

TEST_F(Command, OnlyWhatIsAllowedMayRun) {
  const std::string script = Script("smoke", "true");
  EXPECT_TRUE(AllowedCommand(script, {script}).ok());
  EXPECT_TRUE(AllowedCommand(script, {"/nowhere", dir_.path()}).ok());
  EXPECT_TRUE(AllowedCommand(script, {dir_.path() + "/"}).ok());
  for (const auto& allowed : std::vector<std::vector<std::string>>{
           {}, {"/nowhere"}, {dir_.path() + "/smo"}, {script + "x"}}) {
    const auto refused = AllowedCommand(script, allowed);
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.status().message().find("gate_commands"), std::string::npos);
  }
  EXPECT_FALSE(AllowedCommand("smoke", {dir_.path()}).ok());
  EXPECT_FALSE(AllowedCommand(dir_.path() + "/missing", {dir_.path()}).ok());
  EXPECT_FALSE(AllowedCommand(dir_.path(), {dir_.path()}).ok()) << "a folder";
}

TEST_F(Command, LinksDoNotLeadOutOfWhatIsAllowed) {
  ASSERT_EQ(::mkdir((dir_.path() + "/gates").c_str(), 0755), 0);
  const std::string outside = Script("outside", "true");
  const std::string link = dir_.path() + "/gates/link";
  ASSERT_EQ(::symlink(outside.c_str(), link.c_str()), 0);
  EXPECT_FALSE(AllowedCommand(link, {dir_.path() + "/gates"}).ok());
  EXPECT_FALSE(AllowedCommand(dir_.path() + "/gates/../outside", {dir_.path() + "/gates"}).ok());
  EXPECT_EQ(*AllowedCommand(link, {outside}), *AllowedCommand(outside, {outside}));
}

TEST_F(Command, WhatOthersCanChangeDoesNotRun) {
  const std::string script = Script("smoke", "true", 0757);
  const auto refused = AllowedCommand(script, {dir_.path()});
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.status().message().find("chmod o-w"), std::string::npos);
  EXPECT_FALSE(AllowedCommand(Script("data", "true", 0644), {dir_.path()}).ok());
  const std::string fine = Script("fine", "true");
  ASSERT_EQ(::chmod(dir_.path().c_str(), 0777), 0);
  EXPECT_FALSE(AllowedCommand(fine, {fine}).ok()) << "everybody could put another in its place";
}

}  // namespace
}  // namespace weir::control::gates
