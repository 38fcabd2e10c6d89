// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "controlplane/analysis/judge.h"

namespace weir::control::analysis {

inline Judge MakeJudge(std::vector<Trigger> triggers, int64_t window_ms = 60'000) {
  JudgeConfig config;
  config.triggers = std::move(triggers);
  config.window_ms = window_ms;
  auto judge = Judge::Create(std::move(config));
  EXPECT_TRUE(judge.ok()) << judge.status().ToString();
  return *std::move(judge);
}

}  // namespace weir::control::analysis
