// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/harness/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "shared/base/text.h"
#include "tests/fakes/temp_dir.h"
#include "tests/integration/harness/wait.h"

extern char** environ;  // NOLINT: POSIX

namespace weir::integration {
namespace {

int ExitCodeOf(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

struct Files {
  std::string in = "/dev/null";
  std::string out;
  std::string err;  // "" for the same as out
};

// `variables` come before those of the environment.
Result<pid_t> Spawn(const std::vector<std::string>& arguments, const Files& files,
                    const std::map<std::string, std::string>& variables) {
  constexpr int kAppend = O_WRONLY | O_CREAT | O_APPEND;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, files.in.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, files.out.c_str(), kAppend, 0600);
  if (files.err.empty()) {
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
  } else {
    posix_spawn_file_actions_addopen(&actions, 2, files.err.c_str(), kAppend, 0600);
  }
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);  // no connection of the test's own
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::vector<char*> envp;
  std::vector<std::string> assignments;
  for (const auto& [name, value] : variables) assignments.push_back(name + "=" + value);
  for (std::string& assignment : assignments) envp.push_back(assignment.data());
  for (char** variable = environ; *variable != nullptr; ++variable) envp.push_back(*variable);
  envp.push_back(nullptr);
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return Unavailable(fmt::format("cannot start {}: {}", arguments[0], std::strerror(error)));
  }
  return pid;
}

}  // namespace

std::string Program(const std::string& name) { return std::string(WEIR_BIN_DIR) + "/" + name; }

Status Process::Start(const std::vector<std::string>& arguments,
                      const std::map<std::string, std::string>& variables) {
  WEIR_CHECK(!running());
  exit_code_.reset();
  pid_ = 0;
  WEIR_ASSIGN_OR_RETURN(pid_, Spawn(arguments, {.out = log_, .err = ""}, variables));
  return OkStatus();
}

std::optional<int> Process::Poll() {
  if (pid_ <= 0 || exit_code_.has_value()) return exit_code_;
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) == pid_) exit_code_ = ExitCodeOf(status);
  return exit_code_;
}

std::optional<int> Process::Wait(int64_t deadline_ms) {
  static_cast<void>(WaitFor(
      "exit", [&] { return Poll().has_value(); }, deadline_ms));
  return exit_code_;
}

void Process::Signal(int signal) const {
  if (pid_ > 0 && !exit_code_.has_value()) ::kill(pid_, signal);
}

void Process::Kill9() {
  if (!running()) return;
  Signal(SIGKILL);
  int status = 0;
  if (::waitpid(pid_, &status, 0) == pid_) exit_code_ = ExitCodeOf(status);
}

std::string Process::Tail(size_t count) const {
  const Result<std::string> text = ReadFile(log_);
  if (!text.ok()) return "";
  const std::vector<std::string> lines = Split(*text, '\n');
  const size_t from = lines.size() > count ? lines.size() - count : 0;
  return Join({lines.begin() + static_cast<std::ptrdiff_t>(from), lines.end()}, "\n");
}

Result<codec::Json> WaitForReadyFile(Process& process, const std::string& ready_file) {
  Result<codec::Json> ready = NotFound("");
  const auto outcome = WaitFor("ready file", [&] {
    if (const Result<std::string> text = ReadFile(ready_file); text.ok()) {
      ready = codec::ParseJson(*text);
    }
    return ready.ok() || !process.running();
  });
  if (ready.ok()) return ready;
  return Unavailable(fmt::format("{} was not written ({}):\n{}", ready_file,
                                 process.running() ? "the program runs" : "the program ended",
                                 process.Tail()));
}

std::string Output::Text() const {
  return fmt::format("exit {}\n--- stdout\n{}--- stderr\n{}", exit_code, out, err);
}

codec::Json Output::Json() const {
  const Result<codec::Json> json = codec::ParseJson(out);
  return json.ok() ? *json : codec::Json();
}

std::vector<std::string> Output::ErrLines() const {
  std::vector<std::string> lines = Split(err, '\n');
  std::erase(lines, "");
  return lines;
}

Output RunProgram(const std::vector<std::string>& arguments,
                  const std::map<std::string, std::string>& variables, const std::string& input) {
  const fakes::TempDir dir;
  Output output;
  Files files{.in = "/dev/null", .out = dir.path() + "/out", .err = dir.path() + "/err"};
  if (!input.empty()) {
    files.in = dir.path() + "/in";
    if (!WriteFileAtomic(files.in, input).ok()) return output;
  }
  const Result<pid_t> pid = Spawn(arguments, files, variables);
  if (!pid.ok()) {
    output.err = pid.status().ToString();
    return output;
  }
  int status = 0;
  const auto ended = [&] { return ::waitpid(*pid, &status, WNOHANG) == *pid; };
  if (WaitFor("exit", ended, 2 * kPatienceMs)) {
    output.exit_code = ExitCodeOf(status);
  } else {
    ::kill(*pid, SIGKILL);
    ::waitpid(*pid, &status, 0);
  }
  const Result<std::string> out = ReadFile(files.out);
  const Result<std::string> err = ReadFile(files.err);
  if (out.ok()) output.out = *out;
  if (err.ok()) output.err = *err;
  return output;
}

int FreePort() {
  constexpr int kFrom = 20'000;
  constexpr int kCount = 10'000;
  for (int attempt = 0; attempt < 100; ++attempt) {
    const int port = kFrom + static_cast<int>(RandomU64() % kCount);
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    const bool is_free =
        ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
    ::close(fd);
    if (is_free) return port;
  }
  return 0;
}

}  // namespace weir::integration
