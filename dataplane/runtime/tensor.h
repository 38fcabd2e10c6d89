// SPDX-License-Identifier: Apache-2.0
// Tensors of the Open Inference Protocol: dense, row-major, numbers only, in their own datatype.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir::node::runtime {

enum class DataType : uint8_t {
  kBool,
  kUint8,
  kUint16,
  kUint32,
  kUint64,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kFp32,
  kFp64,
};
const char* DataTypeName(DataType type);  // "FP32"
std::optional<DataType> ParseDataType(std::string_view name);
size_t DataTypeSize(DataType type);  // bytes of one element

// Owns its data; what a request brings. Reused from request to request, so that it allocates
// nothing once it has been as large.
struct Tensor {
  std::string name;
  DataType datatype = DataType::kFp32;
  std::vector<int64_t> shape;   // all positive; their product is the number of elements
  std::vector<std::byte> data;  // aligned for every datatype
};

// What a version answers: views that are valid while the call that hands them over lasts.
struct TensorView {
  std::string_view name;
  DataType datatype = DataType::kFp32;
  std::span<const int64_t> shape;
  std::span<const std::byte> data;
};

}  // namespace weir::node::runtime
