// SPDX-License-Identifier: Apache-2.0
#include "shared/http/request_head.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace weir::http::internal {

bool HasLineBreak(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
}

Status AppendRequestHead(const RequestHead& head, std::string* out) {
  const auto [method, prefix, target, common_lines, headers, body_size] = head;
  if (target.empty() || target.front() != '/' || HasLineBreak(target) ||
      target.find(' ') != std::string_view::npos || method.empty() || HasLineBreak(method)) {
    return InvalidArgument("", fmt::format("\"{} {}\" is not a request", method, target));
  }
  out->append(method).append(" ").append(prefix).append(target).append(" HTTP/1.1\r\n");
  out->append(common_lines);
  for (const Header& header : headers) {
    if (HasLineBreak(header.name) || HasLineBreak(header.value)) {
      return InvalidArgument("", fmt::format("the header {} has line breaks", header.name));
    }
    out->append(header.name).append(": ").append(header.value).append("\r\n");
  }
  if (body_size > 0 && FindHeader(headers, "Content-Type").empty()) {
    out->append("Content-Type: application/json\r\n");
  }
  if (body_size > 0 || method == "POST" || method == "PUT" || method == "PATCH") {
    fmt::format_to(std::back_inserter(*out), "Content-Length: {}\r\n", body_size);
  }
  out->append("\r\n");
  return OkStatus();
}

}  // namespace weir::http::internal
