// SPDX-License-Identifier: Apache-2.0
#include "shared/base/build_info.h"

namespace weir {

const char* BuildVersion() { return WEIR_VERSION; }
const char* BuildType() { return WEIR_BUILD_TYPE; }

}  // namespace weir
