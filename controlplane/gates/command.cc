// SPDX-License-Identifier: Apache-2.0
#include "controlplane/gates/command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "shared/base/clock.h"
#include "shared/base/printable.h"
#include "shared/base/text.h"

namespace weir::control::gates {
namespace {

constexpr int kLookMs = 20;  // how often a silent command is looked at
constexpr int kReapMs = 1000;
constexpr size_t kShownBytes = 300;
constexpr size_t kShownLines = 3;

// "" if there is no such file.
std::string RealPath(const std::string& path) {
  std::array<char, PATH_MAX> resolved{};
  return ::realpath(path.c_str(), resolved.data()) == nullptr ? "" : std::string(resolved.data());
}

bool IsAllowed(const std::string& file, const std::vector<std::string>& allowed) {
  return std::any_of(allowed.begin(), allowed.end(), [&](const std::string& entry) {
    std::string place = RealPath(entry);
    if (place.empty()) return false;
    if (file == place) return true;
    if (!place.ends_with('/')) place += '/';
    return file.starts_with(place);
  });
}

// A folder with the sticky bit, such as /tmp, lets others not replace what is not theirs.
Status CheckOwnersAlone(const std::string& file) {
  struct stat seen {};
  const std::string folder = file.substr(0, std::max<size_t>(file.rfind('/'), 1));
  if (::stat(file.c_str(), &seen) != 0 || !S_ISREG(seen.st_mode) ||
      ::access(file.c_str(), X_OK) != 0)
    return FailedPrecondition(fmt::format("{} is not a file that can be executed", file));
  if ((seen.st_mode & S_IWOTH) != 0)
    return FailedPrecondition(
        fmt::format("{} can be changed by everybody, and is not run (chmod o-w {})", file, file));
  if (::stat(folder.c_str(), &seen) != 0 ||
      ((seen.st_mode & S_IWOTH) != 0 && (seen.st_mode & S_ISVTX) == 0))
    return FailedPrecondition(
        fmt::format("everybody can put files into {}, and nothing in it is run (chmod o-w {})",
                    folder, folder));
  return OkStatus();
}

class Pipe {
 public:
  Pipe() = default;
  ~Pipe() {
    CloseRead();
    CloseWrite();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  bool Open() { return ::pipe2(fds_.data(), O_CLOEXEC) == 0; }
  int read_end() const { return fds_[0]; }
  int write_end() const { return fds_[1]; }
  void CloseRead() { Close(fds_[0]); }
  void CloseWrite() { Close(fds_[1]); }

 private:
  static void Close(int& fd) {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
  std::array<int, 2> fds_{-1, -1};
};

// A text as a file of memory, which unlike a pipe takes it whole however slowly it is read.
class Input {
 public:
  ~Input() {
    if (fd_ >= 0) ::close(fd_);
  }
  Input() = default;
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;

  bool Fill(const std::string& text) {
    fd_ = ::memfd_create("input", MFD_CLOEXEC);
    size_t written = 0;
    while (fd_ >= 0 && written < text.size()) {
      const ssize_t bytes = ::write(fd_, text.data() + written, text.size() - written);
      if (bytes < 0 && errno != EINTR) return false;
      if (bytes > 0) written += static_cast<size_t>(bytes);
    }
    return fd_ >= 0 && ::lseek(fd_, 0, SEEK_SET) == 0;
  }
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

// What a child starts with: its input, or none (-1), output into the pipe, nothing else of ours,
// signals as they come.
class SpawnPlan {
 public:
  SpawnPlan(int input, int output) {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
    if (input >= 0) {
      posix_spawn_file_actions_adddup2(&actions_, input, 0);
    } else {
      posix_spawn_file_actions_addopen(&actions_, 0, "/dev/null", O_RDONLY, 0);
    }
    posix_spawn_file_actions_adddup2(&actions_, output, 1);
    posix_spawn_file_actions_adddup2(&actions_, output, 2);
    posix_spawn_file_actions_addclosefrom_np(&actions_, 3);
    posix_spawn_file_actions_addchdir_np(&actions_, "/");
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(
        &attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  Result<pid_t> Start(const CommandRun& run) const {
    const auto pointers = [](const std::vector<std::string>& texts) {
      std::vector<char*> out;
      for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
      out.push_back(nullptr);
      return out;
    };
    pid_t pid = 0;
    const int error =
        ::posix_spawn(&pid, run.file.c_str(), &actions_, &attributes_,
                      pointers(run.arguments).data(), pointers(run.environment).data());
    if (error != 0)
      return Unavailable(fmt::format("{} cannot be started: {}", run.file, std::strerror(error)));
    return pid;
  }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

// Appends what can be read now; false once there is nothing more to come.
bool ReadSome(int fd, std::string& output) {
  std::array<char, 8192> piece{};
  for (int i = 0; i < 16; ++i) {  // then the clock is looked at again
    const ssize_t bytes = ::read(fd, piece.data(), piece.size());
    if (bytes == 0) return false;
    if (bytes < 0) return errno == EAGAIN || errno == EINTR;
    output.append(piece.data(), static_cast<size_t>(bytes));
    if (output.size() > kMaxOutput) output.erase(0, output.size() - kMaxOutput);
  }
  return true;
}

// It has ended but is not reaped: its number, and that of its group, are still its own.
bool HasEnded(pid_t pid) {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == pid;
}

// What a command started and was killed with it becomes our child when we are the first process of
// a container. Elsewhere there is nothing to wait for.
void ReapOrphans(pid_t group) {
  const int64_t deadline_ms = Clock::System().MonotonicMs() + kReapMs;
  while (Clock::System().MonotonicMs() < deadline_ms) {
    const pid_t reaped = ::waitpid(-group, nullptr, WNOHANG);
    if (reaped < 0 && errno != EINTR) return;  // none, or none left
    if (reaped == 0) ::poll(nullptr, 0, 1);
  }
}

}  // namespace

Result<std::string> AllowedCommand(const std::string& path,
                                   const std::vector<std::string>& allowed) {
  if (!path.starts_with('/'))
    return FailedPrecondition(fmt::format("command \"{}\" is not an absolute path", path));
  const std::string file = RealPath(path);
  if (file.empty() || !IsAllowed(file, allowed)) {
    return FailedPrecondition(fmt::format(
        "command {}{} is not {}: only what the control plane's setting gate_commands names may run "
        "(--gate-command, WEIR_CONTROL_GATE_COMMANDS)",
        path, file.empty() || file == path ? "" : fmt::format(" ({})", file),
        file.empty() && !allowed.empty() ? "there" : "allowed"));
  }
  WEIR_RETURN_IF_ERROR(CheckOwnersAlone(file));
  return file;
}

Result<CommandEnd> RunCommand(const CommandRun& run, const std::atomic<bool>& cancelled) {
  Pipe pipe;
  if (!pipe.Open() || ::fcntl(pipe.read_end(), F_SETFL, O_NONBLOCK) != 0)
    return Unavailable(fmt::format("no pipe for {}: {}", run.file, std::strerror(errno)));
  Input input;
  if (!run.input.empty() && !input.Fill(run.input))
    return Unavailable(fmt::format("no input for {}: {}", run.file, std::strerror(errno)));
  WEIR_ASSIGN_OR_RETURN(const pid_t pid, SpawnPlan(input.fd(), pipe.write_end()).Start(run));
  pipe.CloseWrite();
  CommandEnd end;
  const int64_t deadline_ms = Clock::System().MonotonicMs() + run.timeout_ms;
  bool has_ended = false;
  while (!has_ended) {
    pollfd watched{pipe.read_end(), POLLIN, 0};  // a closed end is -1, which poll passes over
    ::poll(&watched, 1, kLookMs);
    has_ended = HasEnded(pid);  // before the last read: afterwards it writes nothing more
    if (pipe.read_end() >= 0 && !ReadSome(pipe.read_end(), end.output)) pipe.CloseRead();
    if (has_ended) break;
    if (cancelled.load()) end.how = CommandEnd::How::kCancelled;
    if (Clock::System().MonotonicMs() >= deadline_ms) end.how = CommandEnd::How::kTimedOut;
    if (end.how != CommandEnd::How::kExited) break;
  }
  ::kill(-pid, SIGKILL);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  ReapOrphans(pid);
  if (end.how != CommandEnd::How::kExited) return end;
  if (WIFSIGNALED(status)) end.how = CommandEnd::How::kSignalled;
  end.code = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
  return end;
}

std::string LastLines(const std::string& output) {
  std::vector<std::string> lines;
  for (const std::string& line : Split(output, '\n')) {
    const size_t end = line.find_last_not_of(" \t\r");
    if (end != std::string::npos) lines.push_back(line.substr(0, end + 1));
  }
  if (lines.size() > kShownLines)
    lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(kShownLines));
  return PrintableEnd(Join(lines, " | "), kShownBytes);
}

}  // namespace weir::control::gates
