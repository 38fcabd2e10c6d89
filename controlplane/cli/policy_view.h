// SPDX-License-Identifier: Apache-2.0
// A policy and what came of it, as lines for people.
#pragma once

#include <string>

#include "shared/codec/json.h"

namespace weir::control::cli {

// "acts", "dry run" (its own, or by the flag that makes every policy rehearse) or "off".
std::string PolicyMode(const codec::Json& policy);
// A row for `weir policy list`: how many objectives hold, and what was done last.
std::string PolicyObjectives(const codec::Json& policy);
std::string PolicyLastAct(const codec::Json& policy);
// "3.2 %", "420 ms", "12.5 requests/s": a value in a metric's unit, "-" for none.
std::string MetricValue(const std::string& metric, const codec::Json& value);

// The resource, with its status.
void PrintPolicy(const codec::Json& policy);
// What POST /v1/policies/{name}/backtest answers; `spec` is the policy's.
void PrintBacktest(const codec::Json& backtest, const codec::Json& spec);

}  // namespace weir::control::cli
