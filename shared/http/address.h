// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "shared/base/status.h"

namespace weir::http {

struct Address {
  std::string host;  // without brackets; "" means every interface
  uint16_t port = 0;

  std::string ToString() const;  // "127.0.0.1:80", "[::1]:80", ":80"
};

// "host:port", "[::1]:8080", ":8080"; InvalidArgument says what is allowed.
Result<Address> ParseAddress(std::string_view text);

}  // namespace weir::http
