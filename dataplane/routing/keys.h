// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "shared/decision/decide.h"
#include "shared/http/message.h"

namespace weir::node::routing {

// What a request offers to be bucketed by: X-User-Id, X-Session-Id and X-Request-Id, each of which
// wins over the same of `fallback` (body parameters, query). Views into both.
decision::Keys KeysOf(const http::Request& request, const decision::Keys& fallback);

}  // namespace weir::node::routing
