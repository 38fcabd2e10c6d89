// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/outputs.h"

#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace weir::node::front {
namespace {

using runtime::DataType;
using runtime::TensorView;

template <class T>
double NumberAt(const TensorView& tensor, size_t index) {
  T value;
  std::memcpy(&value, tensor.data.data() + index * sizeof(T), sizeof(T));
  return static_cast<double>(value);
}

double NumberAt(const TensorView& tensor, size_t index) {
  switch (tensor.datatype) {
    case DataType::kBool:
    case DataType::kUint8:
      return NumberAt<uint8_t>(tensor, index);
    case DataType::kUint16:
      return NumberAt<uint16_t>(tensor, index);
    case DataType::kUint32:
      return NumberAt<uint32_t>(tensor, index);
    case DataType::kUint64:
      return NumberAt<uint64_t>(tensor, index);
    case DataType::kInt8:
      return NumberAt<int8_t>(tensor, index);
    case DataType::kInt16:
      return NumberAt<int16_t>(tensor, index);
    case DataType::kInt32:
      return NumberAt<int32_t>(tensor, index);
    case DataType::kInt64:
      return NumberAt<int64_t>(tensor, index);
    case DataType::kFp32:
      return NumberAt<float>(tensor, index);
    case DataType::kFp64:
      return NumberAt<double>(tensor, index);
  }
  return 0;
}

bool IsAlike(double a, double b) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return true;
  const double scale = std::max(std::abs(a), std::abs(b));
  return std::isfinite(scale) && std::abs(a - b) <= OutputComparer::kTolerance * scale;
}

// Numbers into `numbers`, everything else as text.
void Collect(simdjson::dom::element value, std::vector<double>& numbers, std::string& text) {
  if (simdjson::dom::array array; value.get(array) == simdjson::SUCCESS) {
    for (const simdjson::dom::element item : array) Collect(item, numbers, text);
    return;
  }
  double number = 0;
  bool truth = false;
  // A tensor's BOOL is 1 or 0 in other runtimes.
  if (value.get(truth) == simdjson::SUCCESS) number = truth ? 1 : 0;
  if (value.is_bool() || value.get(number) == simdjson::SUCCESS) {
    if (numbers.size() < Outputs::kMaxNumbers) numbers.push_back(number);
    return;
  }
  text += simdjson::minify(value);
  text += '\n';
}

}  // namespace

void Outputs::Clear() {
  first_count_ = 0;
  numbers_.clear();
  json_.clear();
  is_json_ = is_oip_ = is_large_ = false;
}

void Outputs::LetGo(size_t kept_bytes) {
  Clear();
  if (json_.capacity() > kept_bytes) json_ = {};
  if (numbers_.capacity() * sizeof(double) > kept_bytes) numbers_ = {};
}

void Outputs::AddFirst(double value) {
  if (std::isfinite(value) && first_count_ < kMaxFirsts) firsts_[first_count_++] = value;
}

void Outputs::TakeTensors(std::span<const TensorView> outputs, bool whole) {
  if (outputs.empty()) return;
  const TensorView& first = outputs.front();
  const size_t count = first.data.size() / runtime::DataTypeSize(first.datatype);
  const size_t rows = first.shape.empty() ? 1 : static_cast<size_t>(first.shape[0]);
  if (count == 0 || rows == 0 || rows > count) return;
  for (size_t row = 0; row < std::min(rows, kMaxFirsts); ++row) {
    AddFirst(NumberAt(first, row * (count / rows)));
  }
  if (!whole) return;
  for (size_t i = 0; i < count && numbers_.size() < kMaxNumbers; ++i) {
    numbers_.push_back(NumberAt(first, i));
  }
}

void Outputs::TakeJson(const runtime::JsonAnswer& answer, bool whole) {
  if (answer.first_value.has_value()) AddFirst(*answer.first_value);
  if (!whole) return;
  const bool is_oip = answer.body.empty();
  const std::string_view json = is_oip ? answer.outputs : answer.body;
  is_large_ = json.size() > kMaxJson;
  if (is_large_) return;
  is_json_ = true;
  is_oip_ = is_oip;
  json_.assign(json);
}

struct OutputComparer::Parser {
  simdjson::dom::parser parser;
};

OutputComparer::OutputComparer() : parser_(std::make_unique<Parser>()) {}
OutputComparer::~OutputComparer() = default;

bool OutputComparer::AreAlike(Outputs& a, Outputs& b) {
  for (Outputs* outputs : {&a, &b}) {
    if (outputs->is_json_) Read(*outputs);
  }
  return a.json_ == b.json_ && std::equal(a.numbers_.begin(), a.numbers_.end(), b.numbers_.begin(),
                                          b.numbers_.end(), IsAlike);
}

void OutputComparer::Read(Outputs& outputs) {
  outputs.is_json_ = false;
  if (!outputs.is_oip_) {
    if (outputs.first_count_ == 0) return;
    outputs.json_.clear();
    return outputs.numbers_.push_back(outputs.firsts_[0]);
  }
  simdjson::dom::array list;
  simdjson::dom::element data;
  const std::string& json = outputs.json_;
  // What cannot be read is compared as the text that it is.
  if (parser_->parser.parse(json).get(list) != simdjson::SUCCESS) return;
  if (list.at(0)["data"].get(data) != simdjson::SUCCESS) return;
  std::string text;
  Collect(data, outputs.numbers_, text);
  outputs.json_ = std::move(text);
}

}  // namespace weir::node::front
