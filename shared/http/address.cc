// SPDX-License-Identifier: Apache-2.0
#include "shared/http/address.h"

#include <fmt/format.h>

#include <charconv>

namespace weir::http {

std::string Address::ToString() const {
  const bool bracketed = host.find(':') != std::string::npos;
  return fmt::format(fmt::runtime(bracketed ? "[{}]:{}" : "{}:{}"), host, port);
}

Result<Address> ParseAddress(std::string_view text) {
  const auto bad = [&](std::string_view why) {
    return InvalidArgument(
        "",
        fmt::format("\"{}\" is not an address: {} (host:port, [::1]:8080 or :8080)", text, why));
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad("it has no port");
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (!host.empty() && host.front() == '[') {
    if (host.back() != ']') return bad("a bracket is not closed");
    host = host.substr(1, host.size() - 2);
    if (host.find(':') == std::string_view::npos) return bad("brackets are for IPv6 addresses");
  } else if (host.find(':') != std::string_view::npos) {
    return bad("an IPv6 address stands in brackets");
  }
  if (host.find_first_of("/ []@") != std::string_view::npos) return bad("the host is malformed");
  Address address;
  address.host = host;
  const char* end = port.data() + port.size();
  const auto [stop, error] = std::from_chars(port.data(), end, address.port);
  if (error != std::errc() || stop != end) return bad("the port is not a number in 0..65535");
  return address;
}

}  // namespace weir::http
