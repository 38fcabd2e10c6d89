// SPDX-License-Identifier: Apache-2.0
// Internal: the head of a request as bytes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/status.h"
#include "shared/http/message.h"

namespace weir::http::internal {

struct RequestHead {
  std::string_view method;
  std::string_view prefix;        // before the target
  std::string_view target;        // starts with a slash
  std::string_view common_lines;  // whole lines: Host, Authorization
  const std::vector<Header>& headers;
  size_t body_size;
};

// Appends the request line, the headers, Content-Type (JSON, unless there is one) and
// Content-Length where they belong, and the blank line. InvalidArgument for what would write lines
// of its own; `out` is then of no use.
Status AppendRequestHead(const RequestHead& head, std::string* out);

bool HasLineBreak(std::string_view text);

}  // namespace weir::http::internal
