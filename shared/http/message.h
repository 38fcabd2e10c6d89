// SPDX-License-Identifier: Apache-2.0
// What travels: a Request as the server read it, a Response as a handler wants it written, and the
// percent-encoding of their targets. Names of headers compare without regard to case.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::http {

namespace internal {
class RequestParser;
class Session;
}  // namespace internal

struct Header {
  std::string name;
  std::string value;
};

bool EqualsIgnoreCase(std::string_view a, std::string_view b);
// The value of the first header of that name, "" if there is none.
std::string_view FindHeader(const std::vector<Header>& headers, std::string_view name);

// The read side of an exchange. All views point into the exchange: they are valid while a
// shared_ptr<Exchange> is held and the exchange has not been answered. The worker's thread.
class Request {
 public:
  std::string_view method;        // "GET", as sent
  std::string_view target;        // as sent: "/v1/flags?x=1" or "http://host/v1/flags?x=1"
  std::string_view path;          // "/v1/flags", still percent-encoded
  std::string_view query_string;  // "x=1", still percent-encoded
  std::string_view body;          // whole and de-chunked
  std::string remote;             // "127.0.0.1:50312", "[::1]:50312"
  bool is_tls = false;            // came through TLS
  bool is_body_withheld = false;  // see BodyLimit (server.h)

  // The first value of a header, without surrounding blanks; "" if absent.
  std::string_view Header(std::string_view name) const;
  // The first value of a query parameter, percent-decoded; "" for a bare name, nullopt if absent.
  std::optional<std::string> Query(std::string_view name) const;

 private:
  friend class internal::RequestParser;
  friend class internal::Session;
  struct Field {  // offsets into head_, which may move while it grows
    uint32_t name, name_size, value, value_size;
  };

  void Clear();     // keeps capacity
  void SetViews();  // once the whole message is in

  std::string head_;  // method, target, names and values, one after the other
  std::string body_;
  std::vector<Field> fields_;
  uint32_t method_size_ = 0;
  uint32_t target_size_ = 0;
};

struct Response {
  int status = 200;
  std::vector<http::Header> headers;  // beside Content-Type, Content-Length, Connection and Date
  std::string body;
  std::string content_type;  // empty means application/json if there is a body
};

// {"error": "message"} with that status.
Response ErrorResponse(int status, std::string_view message);
// "Not Found"; "Unknown" for a status that has no name.
std::string_view ReasonPhrase(int status);

// "%41b%2F" → "Ab/". A '%' without two hexadecimal digits stays as it is; '+' stays '+'.
std::string PercentDecode(std::string_view text);
// Everything but letters, digits and -._~ becomes %XX: fit for one path segment or query value.
std::string PercentEncode(std::string_view text);
// "/v1/models/a%2Fb" → {"v1", "models", "a/b"}: decoded after splitting; empty segments are
// dropped.
std::vector<std::string> PathSegments(std::string_view path);

}  // namespace weir::http
