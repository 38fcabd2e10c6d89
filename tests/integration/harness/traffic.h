// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace weir::integration {

struct TrafficCounts {
  uint64_t sent = 0;        // and answered or given up
  uint64_t served = 0;      // 200
  uint64_t failed = 0;      // 5xx
  uint64_t refused = 0;     // 4xx
  uint64_t unanswered = 0;  // the connection was refused or broke
  // Answers that a version gave, good or bad: (version, arm) → how many.
  std::map<std::pair<std::string, std::string>, uint64_t> by_arm;
  // Wall time at which the last request of its sort was begun; 0: none.
  int64_t last_failed_began_ms = 0;
  int64_t last_canary_began_ms = 0;
  int64_t last_began_ms = 0;
  std::string last_problem;  // of what is not 200

  uint64_t Arm(const std::string& arm) const;
};

// A steady stream of inference requests for many users: one sender and one kept-alive connection
// per node. Runs from construction to Stop; Counts and Mark from any thread.
class Traffic {
 public:
  Traffic(std::vector<std::string> nodes, int per_second, int users = 500);
  ~Traffic() { Stop(); }
  // Since the last Mark.
  TrafficCounts Counts() const;
  // Counts start anew.
  void Mark();
  // Ends what is in flight first.
  TrafficCounts Stop();

 private:
  void Send(size_t sender);

  const std::vector<std::string> nodes_;
  const int per_second_;
  const int users_;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;  // senders and the test meet at the counts
  TrafficCounts counts_;
  std::vector<std::thread> threads_;
};

}  // namespace weir::integration
