// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/status.h"
#include "shared/codec/json.h"

namespace weir::integration {

// The path of one of our programs: "weir-control", "weir-node", "weir".
std::string Program(const std::string& name);

// One program at a time, its output appended to a log file. The destructor kills what still runs;
// only ever by the pid that was started here. One thread.
class Process {
 public:
  explicit Process(std::string log) : log_(std::move(log)) {}
  ~Process() { Kill9(); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // With these variables beside the environment.
  Status Start(const std::vector<std::string>& arguments,
               const std::map<std::string, std::string>& variables = {});
  // The exit code, 128 + signal when a signal ended it; absent while it runs.
  std::optional<int> Poll();
  // The same after waiting at most so long.
  std::optional<int> Wait(int64_t deadline_ms);
  void Signal(int signal) const;
  // SIGKILL, and the process is gone when this returns. Idempotent.
  void Kill9();

  bool running() { return pid_ > 0 && !Poll().has_value(); }
  pid_t pid() const { return pid_; }
  const std::string& log() const { return log_; }
  // The last lines of the log.
  std::string Tail(size_t lines = 40) const;

 private:
  const std::string log_;
  pid_t pid_ = 0;
  std::optional<int> exit_code_;
};

// The content of a ready file once the program has written it; an error with the log's end when
// the program ended before that, or did not get ready.
Result<codec::Json> WaitForReadyFile(Process& process, const std::string& ready_file);

struct Output {
  int exit_code = -1;  // -1: did not end within its deadline, and was killed
  std::string out;
  std::string err;

  // What a person would paste.
  std::string Text() const;
  // Standard output as JSON; null when it is none.
  codec::Json Json() const;
  std::vector<std::string> ErrLines() const;  // without empty ones
};
// Runs a program to its end, with these variables beside the environment.
Output RunProgram(const std::vector<std::string>& arguments,
                  const std::map<std::string, std::string>& variables = {},
                  const std::string& input = "");

// A port that nobody listens on, below the range that the system gives to clients.
int FreePort();

}  // namespace weir::integration
