// SPDX-License-Identifier: Apache-2.0
// A service of known capacity: so many inferences at once, each for so long; what comes meanwhile
// waits in the order it came, without a bound, as behind a server that knows no limits.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "shared/base/status.h"
#include "shared/http/server.h"

namespace weir::bench {

class SlowService {
 public:
  SlowService(size_t at_once, int64_t each_ms, std::string answer);
  ~SlowService();

  Status Start();
  std::string url() const { return "http://" + server_.address(); }
  // Of inferences that begin from now on.
  void SetEachMs(int64_t each_ms);
  // What waits is answered at once.
  void AnswerAll();

 private:
  void Handle(const std::shared_ptr<http::Exchange>& exchange);
  void Run();

  const std::string answer_;
  http::Server server_;

  // The server's worker and the thread that answers meet here.
  std::mutex mutex_;
  std::condition_variable wake_;
  int64_t each_ns_;
  std::vector<int64_t> free_at_ns_;  // of each of those at once
  std::multimap<int64_t, std::shared_ptr<http::Exchange>> due_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace weir::bench
