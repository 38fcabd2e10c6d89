// SPDX-License-Identifier: Apache-2.0
// Internal: Beast's parser, writing straight into a Request whose storage is used again and again.
#pragma once

#include <utility>

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

#include "shared/http/message.h"

namespace weir::http::internal {

namespace beast = boost::beast;

// One request; made anew for each. Put() may be called with any pieces of it.
class RequestParser final : public beast::http::basic_parser<true> {
 public:
  RequestParser(Request* request, size_t max_header, size_t max_body)
      : request_(*request), max_header_(max_header) {
    request_.Clear();
    header_limit(static_cast<uint32_t>(max_header));
    body_limit(max_body);
    eager(true);
  }

  bool is_head() const { return head_; }
  bool is_http10() const { return http10_; }
  bool expects_continue() const { return expects_continue_ && !http10_; }
  bool has_body_bytes() const { return !request_.body_.empty(); }
  // Why the head was refused, where Beast's own message would mislead.
  const char* reason() const { return reason_; }

 private:
  using Field = beast::http::field;
  using ErrorCode = beast::error_code;
  using View = beast::string_view;

  void on_request_impl(beast::http::verb verb, View method, View target, int version,
                       ErrorCode&) override {
    head_ = verb == beast::http::verb::head;
    http10_ = version == 10;
    request_.method_size_ = static_cast<uint32_t>(method.size());
    request_.target_size_ = static_cast<uint32_t>(target.size());
    request_.head_.append(method.data(), method.size()).append(target.data(), target.size());
  }

  void on_response_impl(int, View, int, ErrorCode&) override {}

  void on_field_impl(Field field, View name, View value, ErrorCode& ec) override {
    if (is_header_done()) return;  // a trailer
    std::string& head = request_.head_;
    if (head.size() + name.size() + value.size() > max_header_) {
      ec = beast::http::error::header_limit;
      return;
    }
    if (field == Field::host) {
      ++hosts_;
    } else if (field == Field::expect) {
      expects_continue_ = beast::iequals(value, "100-continue");
    } else if (field == Field::transfer_encoding && !beast::iequals(value, "chunked")) {
      reason_ = "only the transfer encoding \"chunked\" is supported";
    }
    const auto at = static_cast<uint32_t>(head.size());
    const auto name_size = static_cast<uint32_t>(name.size());
    head.append(name.data(), name.size()).append(value.data(), value.size());
    request_.fields_.push_back(
        {at, name_size, at + name_size, static_cast<uint32_t>(value.size())});
  }

  void on_header_impl(ErrorCode& ec) override {
    if (hosts_ > 1 || (hosts_ == 0 && !http10_)) {
      reason_ = "a request has exactly one Host header";
    }
    if (reason_ != nullptr) ec = beast::http::error::bad_field;
  }

  void on_body_init_impl(const boost::optional<uint64_t>& length, ErrorCode&) override {
    constexpr uint64_t kTrusted = size_t{1024} * 1024;  // what a Content-Length alone may reserve
    if (length) request_.body_.reserve(std::min(*length, kTrusted));
  }

  size_t on_body_impl(View body, ErrorCode&) override {
    request_.body_.append(body.data(), body.size());
    return body.size();
  }

  void on_chunk_header_impl(uint64_t, View, ErrorCode&) override {}

  size_t on_chunk_body_impl(uint64_t, View body, ErrorCode&) override {
    request_.body_.append(body.data(), body.size());
    return body.size();
  }

  void on_finish_impl(ErrorCode&) override {}

  Request& request_;
  const size_t max_header_;
  const char* reason_ = nullptr;
  int hosts_ = 0;
  bool head_ = false;
  bool http10_ = false;
  bool expects_continue_ = false;
};

}  // namespace weir::http::internal
