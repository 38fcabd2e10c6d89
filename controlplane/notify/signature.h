// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace weir::control::notify {

// HMAC-SHA256 (RFC 2104) as 64 hex digits. Any thread.
std::string HmacSha256Hex(std::string_view key, std::string_view message);

}  // namespace weir::control::notify
