// SPDX-License-Identifier: Apache-2.0
#include "bench/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "shared/base/text.h"

extern char** environ;  // NOLINT: POSIX

namespace weir::bench {
namespace {

std::atomic<bool> g_interrupted{false};  // the signal handler's only word

constexpr int64_t kEndMs = 3000;  // from SIGTERM to SIGKILL

// The number behind "Rss:" in kB.
double SizeMb(const std::string& rollup, const char* name) {
  const size_t at = rollup.find(std::string("\n") + name + ":");
  if (at == std::string::npos) return 0;
  return std::strtod(rollup.c_str() + at + 2 + std::strlen(name), nullptr) / 1024;
}

bool WaitFor(pid_t pid, int64_t within_ms) {
  for (int64_t waited_ms = 0; waited_ms < within_ms; waited_ms += 5) {
    if (::waitpid(pid, nullptr, WNOHANG) != 0) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

}  // namespace

CpuTime CpuOf(pid_t pid) {
  const Result<std::string> stat = ReadFile(fmt::format("/proc/{}/stat", pid));
  if (!stat.ok()) return {};
  // Fields 14 and 15, counted after the name, which may hold blanks.
  const std::vector<std::string> fields = Split(stat->substr(stat->rfind(')') + 2), ' ');
  const double tick_s = 1.0 / static_cast<double>(::sysconf(_SC_CLK_TCK));
  return {std::strtod(fields[11].c_str(), nullptr) * tick_s,
          std::strtod(fields[12].c_str(), nullptr) * tick_s};
}

MemoryUse MemoryOf(pid_t pid) {
  const Result<std::string> rollup = ReadFile(fmt::format("/proc/{}/smaps_rollup", pid));
  if (!rollup.ok()) return {};
  return {SizeMb(*rollup, "Rss"), SizeMb(*rollup, "Pss")};
}

int Cores() { return static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN)); }

void PinToCore(pid_t pid, int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(core), &set);
  if (pid == 0) {
    ::sched_setaffinity(0, sizeof set, &set);
    return;
  }
  std::error_code error;
  for (const auto& task :
       std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid), error)) {
    ::sched_setaffinity(std::atoi(task.path().filename().c_str()), sizeof set, &set);
  }
}

void Unpin() {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int core = 0; core < Cores(); ++core) CPU_SET(static_cast<size_t>(core), &set);
  ::sched_setaffinity(0, sizeof set, &set);
}

bool Interrupted() { return g_interrupted; }

void CatchSignals() {
  struct sigaction action {};
  action.sa_handler = [](int) { g_interrupted = true; };
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

void PauseMs(int64_t ms) {
  for (int64_t left = ms; left > 0 && !Interrupted(); left -= 50) {
    std::this_thread::sleep_for(std::chrono::milliseconds(std::min<int64_t>(left, 50)));
  }
}

Result<Child> Child::Start(const std::vector<std::string>& argv, const std::string& log) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  std::vector<char*> pointers;
  pointers.reserve(argv.size() + 1);
  for (const std::string& argument : argv) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, pointers[0], &actions, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0)
    return Unavailable(fmt::format("cannot start {}: {}", argv[0], std::strerror(error)));
  return Child(pid);
}

void Child::End() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGTERM);
  if (!WaitFor(pid_, kEndMs)) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  pid_ = 0;
}

Result<std::string> RunToEnd(const std::vector<std::string>& argv, const std::string& log) {
  WEIR_ASSIGN_OR_RETURN(Child child, Child::Start(argv, log));
  int state = 0;
  while (::waitpid(child.pid(), &state, WNOHANG) == 0) {
    if (Interrupted()) return Unavailable("interrupted");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  child.Forget();
  WEIR_ASSIGN_OR_RETURN(std::string output, ReadFile(log));
  if (!WIFEXITED(state) || WEXITSTATUS(state) != 0)
    return Unavailable(fmt::format("{} failed: {}", argv[0], output));
  return output;
}

}  // namespace weir::bench
