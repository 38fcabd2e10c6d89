// SPDX-License-Identifier: Apache-2.0
// Internal: what is sent to services and what comes back. One worker's thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "dataplane/runtime/runtime.h"
#include "shared/base/status.h"

namespace weir::node::runtime::remote {

// The body of an infer request in the Open Inference Protocol. What is no number there (NaN) is
// null.
std::string WriteOip(const Request& request);

// The beginning of what a service said, fit for a message: one line of UTF-8.
std::string Excerpt(std::string_view body);

// Checks that an answer is JSON through and through, since clients get it as it is, and finds in it
// what is needed; tokens from a member "usage", as OpenAI's answers have it, or from the same of
// OIP's parameters: completion_tokens, else output_tokens, else total_tokens; the time to the first
// token from the same places or OIP's parameters themselves: time_to_first_token_ms, else ttft_ms.
// Owns the parser's memory.
class AnswerReader {
 public:
  AnswerReader();
  ~AnswerReader();

  // {"outputs": [{…}, …], "parameters": {…}}; the rest is not looked at. `out` holds views into
  // `body`, which gets the room at its end that the parser wants. An error says what is wrong.
  Status ReadOip(std::string& body, JsonAnswer* out);
  // Any JSON. first_value: in prediction, score, output or predictions, else the first member that
  // is a number, else the first number anywhere.
  Status ReadPredict(std::string& body, JsonAnswer* out);

 private:
  struct Parsers;
  Status Parse(std::string& body);

  std::unique_ptr<Parsers> parsers_;
};

}  // namespace weir::node::runtime::remote
