// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "controlplane/cli/session.h"

namespace weir::control::cli {

// GET /v1/PLURAL/NAME; null where nothing of that name stands.
Result<codec::Json> FindResource(Session& session, const std::string& plural,
                                 const std::string& name);

}  // namespace weir::control::cli
