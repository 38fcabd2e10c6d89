// SPDX-License-Identifier: Apache-2.0
// A node (one worker) beside nginx (one worker) that gives the node's answer statically: each on
// core 0 in its turn, the load on the last core.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "bench/process.h"
#include "bench/report.h"
#include "bench/stage.h"
#include "shared/base/status.h"

namespace weir::bench {

struct DuelPlan {
  std::string target;
  std::vector<std::string> bodies;   // POSTed in turn
  std::vector<std::string> headers;  // of the node's answer, for nginx to give as well
  int rounds = 5;                    // of each side, in turn
  int closed_loop_s = 2;             // of a round
  int open_per_second = 0;           // 0: no open loop
  double open_loop_s = 3;            // of a round
};

// Closed-loop rates and what a request cost the server, of one side.
struct Side {
  std::string address;
  pid_t pid = 0;
  std::vector<double> per_second;
  double requests = 0;
  double seconds = 0;
  CpuTime cpu;
  std::vector<double> p50_us;  // open loop
  std::vector<double> p99_us;

  double user_us() const { return cpu.user_s / requests * 1e6; }
  double system_us() const { return cpu.system_s / requests * 1e6; }
  double busy() const { return (cpu.user_s + cpu.system_s) / seconds; }
};

struct DuelResult {
  Side node;
  Side nginx;
  size_t answer_bytes = 0;

  // Both servers were busy all the time: else the rates are the load's, or of the machine's other
  // work.
  bool saturated() const { return node.busy() >= 0.85 && nginx.busy() >= 0.85; }
  // How the rates are to be read, once for each duel; `what` names it.
  void NoteLoad(const std::string& what, Report& report) const;
};

Result<DuelResult> RunDuel(const DuelPlan& plan, Stage& stage);

}  // namespace weir::bench
