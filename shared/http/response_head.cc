// SPDX-License-Identifier: Apache-2.0
#include "shared/http/response_head.h"

#include <fmt/format.h>

namespace weir::http::internal {
namespace {

void AppendNumber(size_t number, std::string* out) {
  const fmt::format_int text(number);
  out->append(text.data(), text.size());
}

void AppendHeader(std::string_view name, std::string_view value, std::string* out) {
  const size_t start = out->size();
  out->append(name).append(": ").append(value);
  for (size_t i = start; i < out->size(); ++i) {
    char& c = (*out)[i];
    if (c == '\r' || c == '\n' || c == '\0') c = ' ';
  }
  out->append("\r\n");
}

}  // namespace

bool MayHaveBody(int status) { return status >= 200 && status != 204 && status != 304; }

void AppendResponseHead(const Response& response, const HeadContext& context, std::string* out) {
  if (response.status == 200) {
    out->append("HTTP/1.1 200 OK\r\n");
  } else {
    out->append("HTTP/1.1 ");
    AppendNumber(static_cast<size_t>(response.status), out);
    out->append(" ").append(ReasonPhrase(response.status)).append("\r\n");
  }
  out->append(context.common_header);
  if (!response.content_type.empty()) {
    AppendHeader("Content-Type", response.content_type, out);
  } else if (!context.body_size || *context.body_size > 0) {
    out->append("Content-Type: application/json\r\n");
  }
  if (MayHaveBody(response.status)) {
    if (context.body_size) {
      out->append("Content-Length: ");
      AppendNumber(*context.body_size, out);
      out->append("\r\n");
    } else if (!context.http10) {
      out->append("Transfer-Encoding: chunked\r\n");
    }
  }
  if (!context.keep_alive) {
    out->append("Connection: close\r\n");
  } else if (context.http10) {
    out->append("Connection: keep-alive\r\n");
  }
  for (const Header& header : response.headers) AppendHeader(header.name, header.value, out);
  out->append("\r\n");
}

}  // namespace weir::http::internal
