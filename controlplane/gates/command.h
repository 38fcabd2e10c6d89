// SPDX-License-Identifier: Apache-2.0
// Commands of gates and sinks: which may run, and running one. Any thread; a call blocks until the
// command has ended.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "shared/base/status.h"

namespace weir::control::gates {

inline constexpr size_t kMaxOutput = size_t{64} * 1024;  // bytes; of more, the last are kept

// The file that stands behind `path`, symbolic links resolved, if it is one of `allowed` or lies
// below one of them, and others than its owner and group can change neither it nor its folder.
// FailedPrecondition says which setting allows it.
Result<std::string> AllowedCommand(const std::string& path,
                                   const std::vector<std::string>& allowed);

struct CommandRun {
  std::string file;                      // absolute
  std::vector<std::string> arguments;    // argv, the first is the name it goes by
  std::vector<std::string> environment;  // "NAME=value", all of it
  int64_t timeout_ms = 0;
  std::string input{};  // what it can read; "": nothing
};

struct CommandEnd {
  enum class How { kExited, kSignalled, kTimedOut, kCancelled };
  How how = How::kExited;
  int code = 0;        // exit code or signal
  std::string output;  // standard output and error, as they came; at most kMaxOutput
};

// In a process group and a working directory (/) of its own, with none of our files.
// At its end, at the time-out, and once `cancelled` is set, the whole group is killed.
// Unavailable: it could not be started.
Result<CommandEnd> RunCommand(const CommandRun& run, const std::atomic<bool>& cancelled);

// The last lines, for people: at most three, of at most 300 bytes, in one line of UTF-8 without
// control characters.
std::string LastLines(const std::string& output);

}  // namespace weir::control::gates
