// SPDX-License-Identifier: Apache-2.0
// Internal: Beast's parser, writing straight into a ClientResponse or handing the body over as it
// comes.
#pragma once

#include <utility>

#include <boost/beast/http/basic_parser.hpp>
#include <functional>
#include <string_view>

#include "shared/http/client.h"

namespace weir::http::internal {

namespace beast = boost::beast;

class ResponseParser final : public beast::http::basic_parser<false> {
 public:
  using OnData = std::function<bool(std::string_view)>;

  // With `on_data`, the body of a 200 goes there; otherwise into response->body.
  ResponseParser(ClientResponse* response, const OnData* on_data)
      : response_(*response), on_data_(on_data) {
    response_ = {};
    header_limit(64 * 1024);
    eager(true);
  }

  bool stopped() const { return stopped_; }  // on_data has returned false

 private:
  using ErrorCode = beast::error_code;
  using View = beast::string_view;

  size_t Take(View body) {
    if (on_data_ == nullptr || response_.status != 200) {
      response_.body.append(body.data(), body.size());
    } else if (!stopped_ && !body.empty()) {
      stopped_ = !(*on_data_)({body.data(), body.size()});
    }
    return body.size();
  }

  void on_request_impl(beast::http::verb, View, View, int, ErrorCode&) override {}
  void on_response_impl(int status, View, int, ErrorCode&) override { response_.status = status; }
  void on_field_impl(beast::http::field, View name, View value, ErrorCode&) override {
    if (is_header_done()) return;  // a trailer
    response_.headers.push_back(
        {std::string(name.data(), name.size()), std::string(value.data(), value.size())});
  }
  void on_header_impl(ErrorCode&) override {}
  void on_body_init_impl(const boost::optional<uint64_t>&, ErrorCode&) override {}
  size_t on_body_impl(View body, ErrorCode&) override { return Take(body); }
  void on_chunk_header_impl(uint64_t, View, ErrorCode&) override {}
  size_t on_chunk_body_impl(uint64_t, View body, ErrorCode&) override { return Take(body); }
  void on_finish_impl(ErrorCode&) override {}

  ClientResponse& response_;
  const OnData* on_data_;
  bool stopped_ = false;
};

}  // namespace weir::http::internal
