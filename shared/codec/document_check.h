// SPDX-License-Identifier: Apache-2.0
// What a document of a file gets right and wrong by itself, without the other resources.
#pragma once

#include "shared/codec/resource.h"

namespace weir::codec {

// Puts the spec into plain form (rollout_text.h); with its defaults it must be valid. Paths begin
// with "spec" or "metadata" and are as written; what a partial document lacks goes to `incomplete`.
void CheckAlone(ResourceDocument& document, Errors& errors, Errors& incomplete);

// What is allowed and seldom meant. Of documents that CheckAlone finds nothing in.
Errors WarningsOf(const ResourceDocument& document);

}  // namespace weir::codec
