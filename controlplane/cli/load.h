// SPDX-License-Identifier: Apache-2.0
// A steady stream of inference requests for many users, in open loop: each sender has its own
// schedule and its own kept-alive connection, and says what every answer was. For `weir demo` and
// the benchmarks.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "shared/base/status.h"

namespace weir::control::cli {

struct LoadOptions {
  std::vector<std::string> nodes;  // addresses; one sender each
  std::string model;
  std::vector<std::string> bodies;  // Open Inference Protocol requests, used in turn
  int requests_per_second = 600;    // of all senders together
  int users = 5000;                 // X-User-Id: user-1 … user-N, in turn
};

struct LoadCounts {
  uint64_t requests = 0;
  uint64_t failed = 0;      // 5xx and no answer
  uint64_t unanswered = 0;  // of those: no answer at all
  uint64_t canary = 0;
  int64_t first_failed_wall_ms = 0;  // since the last Mark; 0: none
  int64_t last_failed_wall_ms = 0;
  std::map<std::string, uint64_t> by_version;
  std::string last_error;  // body or reason of the last failure
};

// Start in the constructor, Stop or destroy to end; Counts and Mark from any thread.
class Load {
 public:
  explicit Load(LoadOptions options);
  ~Load();
  // Since the last Mark.
  LoadCounts Counts() const;
  // Counts start anew.
  void Mark();
  void Stop();

 private:
  void Send(size_t sender);

  const LoadOptions options_;
  std::atomic<bool> stop_{false};
  mutable std::mutex
      mutex_;  // senders and the reader meet at the counts, a few times a millisecond
  LoadCounts counts_;
  std::vector<std::thread> threads_;
};

}  // namespace weir::control::cli
