// SPDX-License-Identifier: Apache-2.0
// Who may ask: tokens, and the web pages that browsers let through (CORS). One worker's; its
// thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/access/token_guard.h"
#include "dataplane/ofrep/options.h"
#include "shared/http/message.h"

namespace weir::node::ofrep {

class Access {
 public:
  explicit Access(const OfrepOptions& options);
  // Tokens of the snapshot that have the scope open too, and one is asked for even where options
  // name none. Before the first request; `guard` outlives this.
  void AlsoAsk(access::TokenGuard& guard) { guard_ = &guard; }

  // Nothing if one of the tokens is shown, as a bearer or as X-API-Key, or none is asked for. Takes
  // as long for a wrong token as for a right one.
  std::optional<access::Refusal> Check(const http::Request& request) const;
  // For the event stream: also a key in its address, since a browser's EventSource sends no
  // headers. The key opens nothing but the stream, and tokens do not follow from it.
  std::optional<access::Refusal> CheckStream(const http::Request& request) const;
  // "?access=…", or "" where no tokens are asked for. It belongs to the token that was shown, and
  // is the same on every node.
  std::string StreamQuery(const http::Request& request) const;

  // What a browser needs to hand the answer to a page of the request's origin.
  void AddCors(const http::Request& request, http::Response* response) const;
  bool cors() const { return any_origin_ || !origins_.empty(); }
  // The answer to OPTIONS, only with cors().
  http::Response Preflight(const http::Request& request, std::string_view methods) const;

 private:
  struct Token {
    std::string text;
    std::string stream_key;
  };
  const Token* Find(const http::Request& request) const;
  bool AllowsOrigin(std::string_view origin) const;

  std::vector<Token> tokens_;
  access::TokenGuard* guard_ = nullptr;
  std::vector<std::string> origins_;
  bool any_origin_ = false;
};

}  // namespace weir::node::ofrep
