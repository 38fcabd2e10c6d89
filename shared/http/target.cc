// SPDX-License-Identifier: Apache-2.0
#include "shared/http/target.h"

#include <algorithm>

namespace weir::http {

Result<Target> ParseTarget(std::string_view url) {
  const size_t scheme = url.starts_with("http://") ? 7 : url.starts_with("https://") ? 8 : 0;
  if (scheme == 0) return InvalidArgument("", "is not an http:// or https:// address");
  const auto is_unfit = [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; };
  if (std::any_of(url.begin(), url.end(), is_unfit))
    return InvalidArgument("", "has blanks or control characters; write them as %20");
  url = url.substr(0, url.find('#'));
  const size_t end = std::min(url.find_first_of("/?", scheme), url.size());
  const std::string_view host = url.substr(scheme, end - scheme);
  if (host.empty() || host.front() == ':') return InvalidArgument("", "names no host");
  if (host.find('@') != std::string_view::npos)
    return InvalidArgument("", "holds credentials before the host; they do not belong there");
  Target target{std::string(url.substr(0, end)), std::string(url.substr(end))};
  if (!target.path.starts_with('/')) target.path.insert(0, "/");
  return target;
}

}  // namespace weir::http
