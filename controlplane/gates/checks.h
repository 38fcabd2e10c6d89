// SPDX-License-Identifier: Apache-2.0
// One attempt at a gate that asks outside: a command, an address, Prometheus. Each blocks for at
// most its time-out; any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/gates/outcome.h"
#include "shared/domain/resource.h"

namespace weir::control::gates {

struct Attempt {
  domain::Gate gate;
  uint64_t number = 1;
  int64_t timeout_ms = 0;
  std::string every;                     // "1m", for the reason
  std::vector<std::string> allowed;      // of the setting gate_commands
  std::vector<std::string> environment;  // "WEIR_ROLLOUT=fraud-1-1-0", beside the fixed one
};

// "attempt 3: exit code 1 (tried every 1m): last lines of output".
Outcome TryCommand(const Attempt& attempt, const std::atomic<bool>& cancelled);
// GET; 2xx passes. Redirects are not followed.
Outcome TryUrl(const Attempt& attempt);
// An instant query; every sample must satisfy the condition. NaN is no sample.
Outcome AskPrometheus(const Attempt& attempt);

// What a body of /api/v1/query says of the gate.
Outcome JudgePrometheusAnswer(const domain::Gate& gate, int http_status, std::string_view body);

}  // namespace weir::control::gates
