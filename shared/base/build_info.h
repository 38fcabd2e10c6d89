// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace weir {

const char* BuildVersion();  // "0.1.0"
const char* BuildType();     // "Release"

}  // namespace weir
