// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/process_metrics.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "shared/base/text.h"

namespace weir::node::front {
namespace {

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

size_t OpenFiles() {
  size_t count = 0;
  if (DIR* folder = ::opendir("/proc/self/fd"); folder != nullptr) {
    while (const dirent* entry = ::readdir(folder)) count += entry->d_name[0] != '.' ? 1 : 0;
    ::closedir(folder);
  }
  return count > 0 ? count - 1 : 0;  // without the one that looked
}

// Field `index` of /proc/self/stat, counted from 1 as in proc(5); at least 3.
double StatField(size_t index) {
  const Result<std::string> stat = ReadFile("/proc/self/stat");
  if (!stat.ok() || stat->rfind(')') == std::string::npos) return 0;
  const std::vector<std::string> fields = Split(stat->substr(stat->rfind(')') + 2), ' ');
  return fields.size() > index - 3 ? std::strtod(fields[index - 3].c_str(), nullptr) : 0;
}

}  // namespace

void WriteProcess(const Clock& clock, MetricsText& text) {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  text.Family("process_cpu_seconds_total", "counter", "User and system time spent.");
  text.Value("", Seconds(usage.ru_utime) + Seconds(usage.ru_stime));
  text.Family("process_resident_memory_bytes", "gauge", "Resident memory.");
  text.Value("", StatField(24) * static_cast<double>(::sysconf(_SC_PAGESIZE)));
  text.Family("process_virtual_memory_bytes", "gauge", "Virtual memory.");
  text.Value("", StatField(23));
  text.Family("process_open_fds", "gauge", "Open file descriptors.");
  text.Value("", OpenFiles());
  text.Family("process_threads", "gauge", "Threads.");
  text.Value("", StatField(20));
  const Result<std::string> uptime = ReadFile("/proc/uptime");
  if (uptime.ok()) {
    const double up_s = std::strtod(uptime->c_str(), nullptr);
    const double age_s = up_s - StatField(22) / static_cast<double>(::sysconf(_SC_CLK_TCK));
    text.Family("process_start_time_seconds", "gauge", "Start, since the Unix epoch.");
    text.Value("", fmt::format("{:.2f}", static_cast<double>(clock.WallMs()) / 1000 - age_s));
  }
}

}  // namespace weir::node::front
