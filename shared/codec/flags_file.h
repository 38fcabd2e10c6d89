// SPDX-License-Identifier: Apache-2.0
// The source documents' feature-flags.yaml: every top-level key is a feature, nested mappings are
// sub-features with dotted names, and emergency, observability, config_reload and canary are
// reserved. A block that does not say all of a flag (no percentage or switch, a percentage without
// its seed) is an edit of the flag that stands: ResourceDocument::is_partial and when_new.
#pragma once

#include <functional>
#include <string>

#include "shared/codec/resource.h"

namespace weir::codec {

// True for a mapping that holds mappings and is no resource.
bool LooksLikeFlagsFile(const Json& value);

// Appends Flag documents, the Emergency and the Observability to `out`, its reload settings, errors
// and warnings. `line_of` gives the line of a path in the file.
void ReadFlagsFile(const Json& value, const std::string& file,
                   const std::function<int(const std::string&)>& line_of, FileContent& out);

// Gives every Rollout of the file what the `canary` block says and the Rollout does not.
void ApplyRolloutDefaults(FileContent& content);

}  // namespace weir::codec
