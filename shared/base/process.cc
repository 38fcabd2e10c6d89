// SPDX-License-Identifier: Apache-2.0
#include "shared/base/process.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "shared/base/text.h"

namespace weir {

Signals::Signals() {
  sigemptyset(&set_);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set_, signal);
  pthread_sigmask(SIG_BLOCK, &set_, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

int Signals::Wait() const {
  int signal = 0;
  sigwait(&set_, &signal);
  return signal;
}

void Signals::WaitForStop(int64_t ms) const {
  const timespec timeout{ms / 1000, (ms % 1000) * 1'000'000};
  sigset_t stop = set_;
  sigdelset(&stop, SIGHUP);
  sigtimedwait(&stop, nullptr, &timeout);
}

// The second number of /proc/self/statm, in pages.
uint64_t ResidentBytes() {
  const Result<std::string> statm = ReadFile("/proc/self/statm");
  if (!statm.ok()) return 0;
  const std::vector<std::string> fields = Split(*statm, ' ');
  if (fields.size() < 2) return 0;
  const auto pages = std::strtoull(fields[1].c_str(), nullptr, 10);
  return pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

Status StartFiles::Write(std::string_view ready_content) const {
  if (!pid_file.empty()) {
    WEIR_RETURN_IF_ERROR(WriteFileAtomic(pid_file, fmt::format("{}\n", getpid())));
  }
  if (ready_file.empty()) return OkStatus();
  return WriteFileAtomic(ready_file, fmt::format("{}\n", ready_content));
}

void StartFiles::Remove() const {
  for (const std::string& path : {pid_file, ready_file}) {
    if (!path.empty()) unlink(path.c_str());
  }
}

}  // namespace weir
