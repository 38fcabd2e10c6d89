// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace weir::fuzz {

// Reads `text` as a file of resources and requires: there are documents or errors; what is said of
// it can be shown; what is accepted survives SpecToJson and SpecFromJson and can be stored; an
// accepted flag reaches a node unchanged or is refused there, and decides the same twice.
void CheckResources(std::string_view text);

}  // namespace weir::fuzz
