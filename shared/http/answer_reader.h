// SPDX-License-Identifier: Apache-2.0
// Internal: one answer out of the bytes of a connection, as they come; interim answers (100
// Continue) are passed over.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "shared/http/client.h"
#include "shared/http/input_buffer.h"
#include "shared/http/response_parser.h"

namespace weir::http::internal {

class AnswerReader {
 public:
  enum class State { kMore, kDone, kFailed };

  // `response` lives until the answer is in. With `on_data`, see ResponseParser, `max_body` does
  // not count. `head_only`: the request was HEAD.
  void Begin(ClientResponse* response, bool head_only, size_t max_body,
             const ResponseParser::OnData* on_data = nullptr);

  // Parses what there is. After kFailed, reason().
  State Parse(InputBuffer* input);
  // The peer has closed: the end of the answer, or kFailed.
  State ParseEnd();

  // After kDone: the connection may carry another request.
  bool keep_alive() const { return keep_alive_; }
  const std::string& reason() const { return reason_; }

 private:
  void Renew();
  State Finish();
  State Fail(std::string reason);

  std::optional<ResponseParser> parser_;
  ClientResponse* response_ = nullptr;
  const ResponseParser::OnData* on_data_ = nullptr;
  size_t max_body_ = 0;
  bool head_only_ = false;
  bool keep_alive_ = false;
  std::string reason_;
};

}  // namespace weir::http::internal
