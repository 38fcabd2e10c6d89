// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace weir::targeting {

// How often this program has taken memory with new, in all threads.
size_t Allocations();

}  // namespace weir::targeting
