// SPDX-License-Identifier: Apache-2.0
// Another log level for a while, over what InitLogging set. Any thread, after InitLogging.
#pragma once

#include <string>

#include "shared/base/status.h"

namespace weir {

// Every area logs at `level` ("debug") from now on; an area that InitLogging gave a level of its
// own keeps it if that is the more verbose. "" ends it. InvalidArgument: there is no such level.
Status SetLogLevelForNow(const std::string& level);

}  // namespace weir
