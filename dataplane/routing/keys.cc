// SPDX-License-Identifier: Apache-2.0
#include "dataplane/routing/keys.h"

namespace weir::node::routing {
namespace {

std::string_view FirstOf(std::string_view header, std::string_view fallback) {
  return header.empty() ? fallback : header;
}

}  // namespace

decision::Keys KeysOf(const http::Request& request, const decision::Keys& fallback) {
  return {FirstOf(request.Header("x-user-id"), fallback.user_id),
          FirstOf(request.Header("x-session-id"), fallback.session_id),
          FirstOf(request.Header("x-request-id"), fallback.request_id)};
}

}  // namespace weir::node::routing
