// SPDX-License-Identifier: Apache-2.0
// The source documents' feature-flags.yaml: every top-level key is a feature, nested mappings are
// sub-features with dotted names, and emergency, observability, config_reload and canary are
// reserved.
#pragma once

#include <functional>
#include <string>

#include "shared/codec/resource.h"

namespace weir::codec {

// True for a mapping without apiVersion whose values are all mappings.
bool LooksLikeFlagsFile(const Json& value);

// Appends Flag documents (and the Emergency) to `out`, and its errors and warnings. `line_of` gives
// the line of a path in the file.
void ReadFlagsFile(const Json& value, const std::string& file,
                   const std::function<int(const std::string&)>& line_of, FileContent& out);

}  // namespace weir::codec
