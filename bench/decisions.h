// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "bench/interleave.h"
#include "bench/report.h"

namespace weir::bench {

// Canary decisions beside a bare MD5, flags among 10,000 beside flags among 10, and what they
// allocate, in process.
void MeasureDecisions(const Rounds& rounds, Report& report);

// The first four bytes of OpenSSL's MD5: the yardstick of every decision that hashes.
uint32_t OpensslMd5(const std::string& text);

}  // namespace weir::bench
