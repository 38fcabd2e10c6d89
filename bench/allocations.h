// SPDX-License-Identifier: Apache-2.0
// Counts every operator new of this program, on any thread.
#pragma once

#include <cstdint>

namespace weir::bench {

uint64_t Allocations();  // since the start

}  // namespace weir::bench
