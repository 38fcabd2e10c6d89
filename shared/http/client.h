// SPDX-License-Identifier: Apache-2.0
// A synchronous HTTP/1.1 client of one server, over one kept-alive connection. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/status.h"
#include "shared/http/message.h"

namespace weir::http {

struct ClientOptions {
  int64_t timeout_ms = 5000;  // for a whole Do;
                              // for Stream, until the head and between pieces; 0: no limit
  std::string bearer_token;   // sent as Authorization: Bearer …, if not empty
  size_t max_body = size_t{256} * 1024 * 1024;  // of an answer, bytes
  std::string ca_file{};  // for https, PEM; "" trusts the system's certificates
};

struct ClientResponse {
  int status = 0;
  std::vector<http::Header> headers;
  std::string body;

  std::string_view Header(std::string_view name) const;  // "" if absent
};

class Client {
 public:
  // "http://host[:port][/prefix]", "https://…" or "host:port". A bad address, or a ca_file that
  // cannot be read, is the error of the first call. With https the server's certificate must be
  // trusted, and the host's.
  explicit Client(std::string_view base_url, ClientOptions options = {});
  ~Client();
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;

  // Any answer, 500 too, is a Result with a value. Unavailable names host:port and the reason
  // ("Connection refused", "timed out after 5000 ms", "its certificate is not trusted: …"). A
  // kept-alive connection that turns out to be stale is replaced once, silently, for GET, HEAD,
  // PUT, DELETE and OPTIONS.
  Result<ClientResponse> Do(std::string_view method, std::string_view target,
                            const std::vector<Header>& headers = {}, std::string_view body = {});

  // GET whose body is handed over as it comes, de-chunked, until the server ends it (OK) or on_data
  // returns false (OK). An answer other than 200 is an error with its status and body.
  Status Stream(std::string_view target, const std::vector<Header>& headers,
                const std::function<bool(std::string_view data)>& on_data);

 private:
  class Connection;
  std::unique_ptr<Connection> connection_;
};

}  // namespace weir::http
