// SPDX-License-Identifier: Apache-2.0
// Who may ask: tokens, and the web pages that browsers let through (CORS). Immutable after
// construction.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "dataplane/ofrep/options.h"
#include "shared/http/message.h"

namespace weir::node::ofrep {

class Access {
 public:
  explicit Access(const OfrepOptions& options);

  // Shows one of the tokens as a bearer or as X-API-Key, or none is asked for. Takes as long for a
  // wrong token as for a right one.
  bool Allows(const http::Request& request) const;
  // For the event stream: also a key in its address, since a browser's EventSource sends no
  // headers. The key opens nothing but the stream, and tokens do not follow from it.
  bool AllowsStream(const http::Request& request) const;
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
  std::vector<std::string> origins_;
  bool any_origin_ = false;
};

}  // namespace weir::node::ofrep
