// SPDX-License-Identifier: Apache-2.0
// Debian's nginx and wrk as the serving figures need them. Both run with files of the stage's
// directory only.
#pragma once

#include <string>
#include <vector>

#include "bench/process.h"
#include "shared/base/status.h"

namespace weir::bench {

struct StaticAnswer {
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

struct Nginx {
  Child process;
  std::string address;
};
// One process on `core` that gives `answer` to everything, a long one from a file; waits until it
// does. `dir` is its own.
Result<Nginx> StartNginx(const std::string& dir, const StaticAnswer& answer, int core = 0);
// One on core 0 that passes everything on to `service`, whose answer to everything is known, over
// connections that it keeps.
Result<Nginx> StartProxy(const std::string& dir, const std::string& service,
                         const StaticAnswer& answer);

struct ClosedLoop {
  double requests = 0;
  double seconds = 0;
  double per_second() const { return requests / seconds; }
};
// wrk on `core` with one thread and 32 connections, POSTing the bodies in turn. An answer that is
// not 2xx is an error.
Result<ClosedLoop> RunWrk(const std::string& dir, const std::string& address,
                          const std::string& target, const std::vector<std::string>& bodies,
                          int core, int seconds);

}  // namespace weir::bench
