// SPDX-License-Identifier: Apache-2.0
#include "shared/transport/address.h"

#include <sys/un.h>

#include <charconv>
#include <string_view>

namespace weir::transport {
namespace {

Status Wrong(const std::string& address, const std::string& why) {
  return InvalidArgument("", "\"" + address + "\" " + why +
                                 "; an address is host:port, tcp://host:port or ipc://path");
}

bool IsPort(std::string_view text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return !text.empty() && error == std::errc() && end == text.data() + text.size() && port <= 65535;
}

}  // namespace

Result<std::string> ZmqAddress(const std::string& listen_or_url) {
  constexpr std::string_view kTcp = "tcp://";
  constexpr std::string_view kIpc = "ipc://";
  std::string_view rest = listen_or_url;
  if (rest.starts_with(kIpc)) {
    const size_t length = rest.size() - kIpc.size();
    if (length == 0) return Wrong(listen_or_url, "has no path");
    if (length >= sizeof(sockaddr_un::sun_path)) return Wrong(listen_or_url, "has too long a path");
    return listen_or_url;
  }
  if (rest.starts_with(kTcp)) {
    rest.remove_prefix(kTcp.size());
  } else if (rest.find("://") != std::string_view::npos) {
    return Wrong(listen_or_url, "has an unknown scheme");
  }
  const size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos) return Wrong(listen_or_url, "has no port");
  std::string host(rest.substr(0, colon));
  const std::string_view port = rest.substr(colon + 1);
  if (host.empty()) return Wrong(listen_or_url, "has no host (\"*\" is every interface)");
  const bool bracketed = host.front() == '[' && host.back() == ']';
  if (!bracketed && host.find_first_of(":[]") != std::string::npos) {
    return Wrong(listen_or_url, "has an IPv6 address without [brackets]");
  }
  if (host.find_first_of(" \t/;") != std::string::npos)
    return Wrong(listen_or_url, "has a bad host");
  if (!IsPort(port)) return Wrong(listen_or_url, "has a port that is not in 0..65535");
  if (host == "localhost") host = "127.0.0.1";
  return std::string(kTcp) + host + ":" + std::string(port);
}

}  // namespace weir::transport
