// SPDX-License-Identifier: Apache-2.0
// Internal: the head of an answer as bytes.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "shared/http/message.h"

namespace weir::http::internal {

bool MayHaveBody(int status);  // all but 1xx, 204 and 304

struct HeadContext {
  std::string_view common_header;   // whole lines: Server, Date
  std::optional<size_t> body_size;  // without one, the body comes in chunks
  bool keep_alive;
  bool http10;
};

// Appends status line, headers and the blank line. Line breaks inside names or values become
// blanks: otherwise whoever chose a value could write headers of their own.
void AppendResponseHead(const Response& response, const HeadContext& context, std::string* out);

}  // namespace weir::http::internal
