// SPDX-License-Identifier: Apache-2.0
// Other processes, as /proc shows them, and one that the benchmark starts and ends itself.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "shared/base/status.h"

namespace weir::bench {

struct CpuTime {
  double user_s = 0;
  double system_s = 0;
};
CpuTime CpuOf(pid_t pid);

// Resident and proportional set size in MB; zeros if the process is gone.
struct MemoryUse {
  double rss_mb = 0;
  double pss_mb = 0;
};
MemoryUse MemoryOf(pid_t pid);

int Cores();
// All threads that the process has now, and what they start later. 0: the calling thread.
void PinToCore(pid_t pid, int core);
void Unpin();  // the calling thread may run anywhere again

// SIGINT or SIGTERM came; every loop of the benchmark ends at it.
bool Interrupted();
void CatchSignals();
// Sleeps, or less if interrupted.
void PauseMs(int64_t ms);

// Ended by its pid at the latest when this goes out of scope.
class Child {
 public:
  // argv[0] is looked up in PATH; output goes to `log`.
  static Result<Child> Start(const std::vector<std::string>& argv, const std::string& log);
  Child(Child&& other) noexcept : pid_(other.pid_) { other.pid_ = 0; }
  Child& operator=(Child&&) = delete;
  ~Child() { End(); }
  pid_t pid() const { return pid_; }
  void End();
  void Forget() { pid_ = 0; }  // it has been waited for

 private:
  explicit Child(pid_t pid) : pid_(pid) {}
  pid_t pid_;
};

// Runs to its end; what it wrote to stdout and stderr. Unavailable with that text unless it exits
// 0.
Result<std::string> RunToEnd(const std::vector<std::string>& argv, const std::string& log);

}  // namespace weir::bench
