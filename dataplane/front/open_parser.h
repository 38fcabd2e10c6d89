// SPDX-License-Identifier: Apache-2.0
// Internal: bodies that a service is to understand.
#pragma once

#include <simdjson.h>

#include <string>
#include <string_view>
#include <vector>

#include "dataplane/front/infer_request.h"

namespace weir::node::front {

class InferReader::OpenParser {
 public:
  Status ReadOpen(std::string_view body, InferRequest* out);
  Status ReadPredict(std::string_view body, InferRequest* out);

 private:
  Result<simdjson::dom::element> Parse(std::string_view body);
  void LetGo();

  simdjson::dom::parser parser_;
  std::vector<char> buffer_;
};

}  // namespace weir::node::front
