// SPDX-License-Identifier: Apache-2.0
// Flag definition files in flagd's format, from the file to the decision.
#include <cstdint>

#include "tests/fuzz/resources_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  weir::fuzz::CheckResources({reinterpret_cast<const char*>(data), size});
  return 0;
}
