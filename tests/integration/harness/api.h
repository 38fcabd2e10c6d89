// SPDX-License-Identifier: Apache-2.0
// HTTP as tests speak it: every call gives an answer, also when nobody does (status 0).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shared/codec/json.h"
#include "shared/http/client.h"

namespace weir::integration {

using codec::Json;

struct Answer {
  int status = 0;  // 0: no answer, text says why
  std::string text;
  Json json;  // null unless the text is JSON
  std::vector<http::Header> headers;

  bool ok() const { return status == 200 || status == 201; }
  std::string Header(std::string_view name) const;
};
std::ostream& operator<<(std::ostream& out, const Answer& answer);

// One server. A connection is made anew when the server was restarted. One thread.
class Api {
 public:
  explicit Api(std::string address, std::string actor = "test:alice")
      : address_(std::move(address)), actor_(std::move(actor)) {}

  Answer Get(const std::string& target) const { return Call("GET", target, ""); }
  Answer Put(const std::string& target, const Json& body) const {
    return Call("PUT", target, body.dump());
  }
  Answer Patch(const std::string& target, const Json& body) const {
    return Call("PATCH", target, body.dump());
  }
  Answer Post(const std::string& target, const Json& body) const {
    return Call("POST", target, body.dump());
  }
  Answer Call(const std::string& method, const std::string& target, const std::string& body,
              std::vector<http::Header> headers = {}) const;

  const std::string& address() const { return address_; }

 private:
  std::string address_;
  std::string actor_;
};

}  // namespace weir::integration
