// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace weir::integration {

// So many clients that ask a node one after the other, each as a user of its own, as fast as they
// can. Runs from construction to Stop; counts and Mark from any thread.
class Crowd {
 public:
  struct Counts {
    uint64_t served = 0;
    uint64_t shed = 0;  // 429
    uint64_t other = 0;
    std::string last_shed, last_other;
    bool every_shed_says_when = true;
    std::vector<bool> is_served;  // of each client, its last answer
  };
  Crowd(std::string address, int clients);
  ~Crowd() { Stop(); }
  // Since the last Mark.
  Counts counts() const;
  // Counts start anew.
  void Mark();
  Counts Stop();

 private:
  void Ask(int client);

  const std::string address_;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;  // clients and the test meet at the counts
  Counts counts_;
  std::vector<std::thread> threads_;
};

}  // namespace weir::integration
