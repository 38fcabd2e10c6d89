// SPDX-License-Identifier: Apache-2.0
// Logging over spdlog: one logger per area ("publish", "http"), all on stderr, text or JSON lines.
// InitLogging once at start, before any thread; Log from any thread afterwards.
#pragma once

#include <spdlog/spdlog.h>

#include <string>

#include "shared/base/status.h"

namespace weir {

// `levels` is "info" or "info,http=debug,wire=warn"; `format` is "text" or "json".
Status InitLogging(const std::string& program, const std::string& levels,
                   const std::string& format);

// The area's logger; made at the first call. Usage: Log("publish").info("revision {}", r);
spdlog::logger& Log(const char* area);

}  // namespace weir
