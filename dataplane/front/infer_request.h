// SPDX-License-Identifier: Apache-2.0
// The body of an Open Inference Protocol request, read strictly: a tensor's datatype must be a
// known one, its data must fit the datatype, nested data must have the tensor's shape, and flat
// data as many elements. What the model declares must be there, and nothing else; unknown members
// of the protocol's objects are skipped, as it asks.
//
// Of a body that a service is to understand, only what routing needs is read; but it must be JSON
// through and through, so that nobody makes a version fail by sending it garbage.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/routing/plan.h"
#include "dataplane/runtime/tensor.h"
#include "shared/base/status.h"
#include "shared/decision/decide.h"

namespace weir::node::front {

struct InferRequest {
  std::string id;  // "" if absent
  std::string user_id;
  std::string session_id;
  std::string request_id;
  // parameters.priority, where it is one of ours: 0..9, 9 the most important.
  std::optional<int> priority;
  std::vector<std::string> outputs;  // wanted ones; empty: all
  // Of `tensors`, which keeps more than there are for the sake of their memory.
  std::span<const runtime::Tensor> inputs() const { return {tensors.data(), tensor_count}; }
  decision::Keys keys() const { return {user_id, session_id, request_id}; }

  // Services have scales of their own, which are none of ours.
  void TakePriority(int64_t wanted) {
    if (wanted >= 0 && wanted <= 9) priority = static_cast<int>(wanted);
  }
  void Clear();
  std::vector<runtime::Tensor> tensors;
  size_t tensor_count = 0;
};

// One per worker: it owns the parser's memory.
class InferReader {
 public:
  InferReader();
  ~InferReader();

  // InvalidArgument names the path, what was found and what is allowed; `out` is then undefined.
  // With no `declared` inputs any tensors are taken.
  Status Read(std::string_view body, std::span<const routing::DeclaredInput> declared,
              InferRequest* out);
  // id and keys of a request whose inputs a service understands; no tensors, no outputs.
  Status ReadOpen(std::string_view body, InferRequest* out);
  // The keys among the members of any JSON, as posted to /predict.
  Status ReadPredict(std::string_view body, InferRequest* out);

 private:
  class Parser;
  class OpenParser;
  std::unique_ptr<Parser> parser_;
  std::unique_ptr<OpenParser> open_parser_;
};

}  // namespace weir::node::front
