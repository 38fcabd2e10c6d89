// SPDX-License-Identifier: Apache-2.0
#include "shared/http/url.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir::http::internal {

Result<Url> ParseUrl(std::string_view text) {
  Url url;
  std::string_view rest = text;
  if (const size_t end = text.find("://"); end != std::string_view::npos) {
    const std::string_view scheme = text.substr(0, end);
    if (scheme != "http" && scheme != "https") {
      return InvalidArgument("", fmt::format("\"{}\": {} is neither http nor https", text, scheme));
    }
    url.is_tls = scheme == "https";
    rest.remove_prefix(end + 3);
  }
  const size_t slash = std::min(rest.find('/'), rest.size());
  url.prefix = rest.substr(slash);
  while (!url.prefix.empty() && url.prefix.back() == '/') url.prefix.pop_back();
  if (std::any_of(text.begin(), text.end(), [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte <= ' ' || byte == 127 || byte == '?' || byte == '#';
      })) {
    return InvalidArgument(
        "", fmt::format("\"{}\" is not an address: blanks, ? and # cannot stand in it", text));
  }
  std::string authority(rest.substr(0, slash));
  if (authority.empty()) return InvalidArgument("", fmt::format("\"{}\" has no host", text));
  const bool has_port =
      authority.back() != ']' && authority.find(':') != std::string::npos;
  if (!has_port) authority += url.is_tls ? ":443" : ":80";
  WEIR_ASSIGN_OR_RETURN(url.address, ParseAddress(authority));
  if (url.address.host.empty()) url.address.host = "127.0.0.1";
  return url;
}

std::string Url::HostHeader() const {
  std::string text = name();
  if (address.port == (is_tls ? 443 : 80)) text.resize(text.rfind(':'));
  return text;
}

}  // namespace weir::http::internal
