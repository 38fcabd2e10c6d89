// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/infer_response.h"

#include <fmt/compile.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <type_traits>

namespace weir::node::front {
namespace {

using runtime::DataType;
using runtime::TensorView;

void Append(std::string_view text, fmt::memory_buffer& out) {
  out.append(text.data(), text.data() + text.size());
}

template <class T>
void AppendNumbers(std::span<const std::byte> data, fmt::memory_buffer& out) {
  for (size_t at = 0; at + sizeof(T) <= data.size(); at += sizeof(T)) {
    T value;
    std::memcpy(&value, data.data() + at, sizeof(T));
    if (at > 0) out.push_back(',');
    if constexpr (std::is_floating_point_v<T>) {
      if (!std::isfinite(value)) {
        Append("null", out);
        continue;
      }
    }
    fmt::format_to(std::back_inserter(out), FMT_COMPILE("{}"), value);
  }
}

void AppendNumbers(const TensorView& tensor, fmt::memory_buffer& out) {
  switch (tensor.datatype) {
    case DataType::kBool:
      return AppendNumbers<bool>(tensor.data, out);
    case DataType::kUint8:
      return AppendNumbers<uint8_t>(tensor.data, out);
    case DataType::kUint16:
      return AppendNumbers<uint16_t>(tensor.data, out);
    case DataType::kUint32:
      return AppendNumbers<uint32_t>(tensor.data, out);
    case DataType::kUint64:
      return AppendNumbers<uint64_t>(tensor.data, out);
    case DataType::kInt8:
      return AppendNumbers<int8_t>(tensor.data, out);
    case DataType::kInt16:
      return AppendNumbers<int16_t>(tensor.data, out);
    case DataType::kInt32:
      return AppendNumbers<int32_t>(tensor.data, out);
    case DataType::kInt64:
      return AppendNumbers<int64_t>(tensor.data, out);
    case DataType::kFp32:
      return AppendNumbers<float>(tensor.data, out);
    case DataType::kFp64:
      return AppendNumbers<double>(tensor.data, out);
  }
}

}  // namespace

void AppendJsonString(std::string_view text, fmt::memory_buffer& out) {
  out.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

void InferWriter::Begin(std::string_view model, std::string_view version, std::string_view id) {
  buffer_.clear();
  stage_ = Stage::kBegun;
  Append(R"({"model_name":)", buffer_);
  AppendJsonString(model, buffer_);
  Append(R"(,"model_version":)", buffer_);
  AppendJsonString(version, buffer_);
  if (!id.empty()) {
    Append(R"(,"id":)", buffer_);
    AppendJsonString(id, buffer_);
  }
}

void InferWriter::Add(std::span<const TensorView> outputs, const std::vector<std::string>& wanted) {
  for (const TensorView& output : outputs) {
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), output.name) == wanted.end()) {
      continue;
    }
    Append(stage_ == Stage::kBegun ? R"(,"outputs":[)" : ",", buffer_);
    stage_ = Stage::kTensors;
    Append(R"({"name":)", buffer_);
    AppendJsonString(output.name, buffer_);
    Append(R"(,"datatype":")", buffer_);
    Append(runtime::DataTypeName(output.datatype), buffer_);
    fmt::format_to(std::back_inserter(buffer_), R"(","shape":[{}],"data":[)",
                   fmt::join(output.shape, ","));
    AppendNumbers(output, buffer_);
    Append("]}", buffer_);
  }
}

void InferWriter::AddJson(std::string_view outputs, std::string_view parameters) {
  stage_ = Stage::kJson;
  Append(R"(,"outputs":)", buffer_);
  Append(outputs.empty() ? "[]" : outputs, buffer_);
  if (parameters.empty()) return;
  Append(R"(,"parameters":)", buffer_);
  Append(parameters, buffer_);
}

std::string InferWriter::Finish() {
  if (stage_ == Stage::kBegun) Append(R"(,"outputs":[)", buffer_);
  Append(stage_ == Stage::kJson ? "}" : "]}", buffer_);
  return fmt::to_string(buffer_);
}

}  // namespace weir::node::front
