// SPDX-License-Identifier: Apache-2.0
// The body of an Open Inference Protocol answer, written as it comes from the version.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/runtime/tensor.h"

namespace weir::node::front {

class InferWriter {
 public:
  // `id` is left out if it is empty.
  void Begin(std::string_view model, std::string_view version, std::string_view id);
  // Outputs that are not among `wanted` are left out; an empty `wanted` wants all. Numbers that
  // JSON cannot write (NaN, infinities) become null.
  void Add(std::span<const runtime::TensorView> outputs, const std::vector<std::string>& wanted);
  // Instead of Add: both as JSON, written as they are; empty `parameters` are left out.
  void AddJson(std::string_view outputs, std::string_view parameters);
  // Ends the body and hands it over.
  std::string Finish();

 private:
  fmt::memory_buffer buffer_;
  enum class Stage : uint8_t { kBegun, kTensors, kJson };
  Stage stage_ = Stage::kBegun;
};

// Text as a JSON string, quotes included; bytes that are no UTF-8 pass as they are.
void AppendJsonString(std::string_view text, fmt::memory_buffer& out);

}  // namespace weir::node::front
