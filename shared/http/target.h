// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "shared/base/status.h"

namespace weir::http {

// An absolute URL, as a Client is made from the one part and called with the other.
struct Target {
  std::string base;  // "https://hooks.example.org:8443"
  std::string path;  // with the query, "/services/x?y=1"; "/" if there is none; no fragment
};

// http:// or https://. InvalidArgument says what is wrong without repeating what follows the host,
// which is often a secret. Credentials before the host are refused.
Result<Target> ParseTarget(std::string_view url);

}  // namespace weir::http
