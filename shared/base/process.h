// SPDX-License-Identifier: Apache-2.0
// What a long-running program owes its surroundings: signals waited for by the main thread, and the
// files that tell others that it serves.
#pragma once

#include <signal.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "shared/base/status.h"

namespace weir {

// SIGTERM, SIGINT and SIGHUP, blocked in every thread and waited for by the main one; SIGPIPE is
// ignored. Made before any thread.
class Signals {
 public:
  Signals();
  // The next of them.
  int Wait() const;
  // Waits that long, or until a (second) request to stop.
  void WaitForStop(int64_t ms) const;

 private:
  sigset_t set_;
};

// Resident memory of this process; 0 where the system does not say.
uint64_t ResidentBytes();

// The pid file and the ready file of a program that serves; an empty path means none.
struct StartFiles {
  std::string pid_file;
  std::string ready_file;

  Status Write(std::string_view ready_content) const;
  void Remove() const;
};

}  // namespace weir
