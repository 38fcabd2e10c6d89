// SPDX-License-Identifier: Apache-2.0
// What is UTF-8 (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. Pure.
#pragma once

#include <cstddef>
#include <string_view>

namespace weir {

// Bytes of the character that `text` begins with; 0 if it begins with none.
size_t Utf8Length(std::string_view text);

bool IsUtf8(std::string_view text);

}  // namespace weir
