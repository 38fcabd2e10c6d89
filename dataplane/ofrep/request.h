// SPDX-License-Identifier: Apache-2.0
// The body of an evaluation: {"context": {"targetingKey": "...", ...}}, read in one pass into
// values that rules evaluate as they are.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "shared/targeting/arena.h"
#include "shared/targeting/value.h"

namespace weir::node::ofrep {

struct EvaluationRequest {
  std::string_view targeting_key;  // "" without one
  targeting::Value context;        // a map, or null without one
};

// Why a whole request cannot be answered; the code is one of OpenFeature's.
struct RequestError {
  std::string_view code;  // PARSE_ERROR, INVALID_CONTEXT
  std::string details;
};

// Reads one body after another with the same memory. One thread.
class RequestReader {
 public:
  static constexpr int kMaxDepth = 32;  // lists and objects within each other

  RequestReader();
  ~RequestReader();

  // What it hands out lives in the arena and in the reader, until the next Read. Nothing (or blanks
  // only), no context and a null one are empty contexts. PARSE_ERROR: no JSON object;
  // INVALID_CONTEXT: a context or a targetingKey of another type, nested too deeply, or more than
  // the arena holds.
  std::optional<RequestError> Read(std::string_view body, targeting::Arena& arena,
                                   EvaluationRequest* out);

 private:
  class Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace weir::node::ofrep
