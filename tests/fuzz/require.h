// SPDX-License-Identifier: Apache-2.0
// An invariant of a fuzz target: says what does not hold, with the details, and aborts.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

namespace weir::fuzz {

[[noreturn]] inline void Violated(const char* file, int line, const char* what,
                                  const std::string& detail) {
  std::fprintf(stderr, "%s:%d: %s does not hold: %s\n", file, line, what, detail.c_str());
  std::abort();
}

}  // namespace weir::fuzz

#define WEIR_REQUIRE(condition, detail) \
  ((condition) ? static_cast<void>(0)   \
               : ::weir::fuzz::Violated(__FILE__, __LINE__, #condition, (detail)))
