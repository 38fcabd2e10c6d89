// SPDX-License-Identifier: Apache-2.0
// Internal: where a client's requests go.
#pragma once

#include <string>
#include <string_view>

#include "shared/base/status.h"
#include "shared/http/address.h"

namespace weir::http::internal {

struct Url {
  bool is_tls = false;
  Address address;     // with a host and a port
  std::string prefix;  // "/api", without a slash at the end; "" for none

  std::string name() const { return address.ToString(); }  // "host:port", as errors show it
  // "localhost", "[::1]:8080": the port stands there if it is not the scheme's own.
  std::string HostHeader() const;
};

// "http://host[:port][/prefix]", "https://…", or "host:port" for http. InvalidArgument names it.
Result<Url> ParseUrl(std::string_view text);

}  // namespace weir::http::internal
