// SPDX-License-Identifier: Apache-2.0
// Internal: a tensor's elements out of JSON, nested as its shape says or flat.
#pragma once

#include <fmt/format.h>
#include <simdjson.h>

#include <cmath>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>

#include "dataplane/runtime/tensor.h"
#include "shared/base/status.h"

namespace weir::node::front {

namespace ondemand = simdjson::ondemand;
using runtime::DataType;
using runtime::Tensor;

inline Status Malformed(std::string path, simdjson::error_code error) {
  return InvalidArgument(std::move(path), simdjson::error_message(error));
}

template <class T>
bool ReadElement(ondemand::value value, T* out) {
  if constexpr (std::is_same_v<T, bool>) {
    return value.get_bool().get(*out) == simdjson::SUCCESS;
  } else if constexpr (std::is_floating_point_v<T>) {
    double wide = 0;
    if (value.get_double().get(wide) != simdjson::SUCCESS) return false;
    *out = static_cast<T>(wide);
    return std::isfinite(*out);
  } else if constexpr (std::is_signed_v<T>) {
    int64_t wide = 0;
    if (value.get_int64().get(wide) != simdjson::SUCCESS) return false;
    *out = static_cast<T>(wide);
    return std::in_range<T>(wide);
  } else {
    uint64_t wide = 0;
    if (value.get_uint64().get(wide) != simdjson::SUCCESS) return false;
    *out = static_cast<T>(wide);
    return std::in_range<T>(wide);
  }
}

template <class T>
class DataReader {
 public:
  DataReader(std::string path, Tensor& tensor, size_t count)
      : path_(std::move(path)), tensor_(tensor), count_(count) {
    tensor_.data.resize(count * sizeof(T));
  }

  Status Read(ondemand::array data) {
    WEIR_RETURN_IF_ERROR(ReadLevel(data, 0));
    if (filled_ == count_) return OkStatus();
    return InvalidArgument(path_, fmt::format("has {} elements; its shape [{}] holds {}", filled_,
                                              fmt::join(tensor_.shape, ","), count_));
  }

 private:
  Status ReadLevel(ondemand::array array, size_t level) {
    int64_t seen = 0;
    for (auto item : array) {
      ondemand::value value;
      if (const auto error = item.get(value)) return Malformed(path_, error);
      if (level == 0 && seen == 0) flat_ = tensor_.shape.size() == 1 || !IsArray(value);
      ++seen;
      if (flat_ || level + 1 == tensor_.shape.size()) {
        WEIR_RETURN_IF_ERROR(Take(value));
        continue;
      }
      ondemand::array inner;
      if (value.get_array().get(inner) != simdjson::SUCCESS) {
        return InvalidArgument(path_, "mixes lists and elements");
      }
      WEIR_RETURN_IF_ERROR(ReadLevel(inner, level + 1));
    }
    if (flat_ || seen == tensor_.shape[level]) return OkStatus();
    return InvalidArgument(
        path_, fmt::format("a list of level {} has {} items; the shape [{}] wants {}", level, seen,
                           fmt::join(tensor_.shape, ","), tensor_.shape[level]));
  }

  static bool IsArray(ondemand::value value) {
    ondemand::json_type type{};
    return value.type().get(type) == simdjson::SUCCESS && type == ondemand::json_type::array;
  }

  Status Take(ondemand::value value) {
    if (filled_ == count_) {
      return InvalidArgument(path_, fmt::format("has more elements than its shape [{}] holds ({})",
                                                fmt::join(tensor_.shape, ","), count_));
    }
    T element{};
    if (!ReadElement(value, &element)) {
      return InvalidArgument(fmt::format("{}[{}]", path_, filled_),
                             fmt::format("is no {}", DataTypeName(tensor_.datatype)));
    }
    std::memcpy(tensor_.data.data() + filled_ * sizeof(T), &element, sizeof(T));
    ++filled_;
    return OkStatus();
  }

  const std::string path_;
  Tensor& tensor_;
  const size_t count_;
  size_t filled_ = 0;
  bool flat_ = true;
};

// `tensor` has its datatype and shape; `count` is the shape's product. InvalidArgument names the
// element after `path`.
inline Status ReadData(std::string path, ondemand::array data, Tensor& tensor, size_t count) {
  switch (tensor.datatype) {
    case DataType::kBool:
      return DataReader<bool>(std::move(path), tensor, count).Read(data);
    case DataType::kUint8:
      return DataReader<uint8_t>(std::move(path), tensor, count).Read(data);
    case DataType::kUint16:
      return DataReader<uint16_t>(std::move(path), tensor, count).Read(data);
    case DataType::kUint32:
      return DataReader<uint32_t>(std::move(path), tensor, count).Read(data);
    case DataType::kUint64:
      return DataReader<uint64_t>(std::move(path), tensor, count).Read(data);
    case DataType::kInt8:
      return DataReader<int8_t>(std::move(path), tensor, count).Read(data);
    case DataType::kInt16:
      return DataReader<int16_t>(std::move(path), tensor, count).Read(data);
    case DataType::kInt32:
      return DataReader<int32_t>(std::move(path), tensor, count).Read(data);
    case DataType::kInt64:
      return DataReader<int64_t>(std::move(path), tensor, count).Read(data);
    case DataType::kFp32:
      return DataReader<float>(std::move(path), tensor, count).Read(data);
    case DataType::kFp64:
      return DataReader<double>(std::move(path), tensor, count).Read(data);
  }
  return Internal("unknown datatype");
}

}  // namespace weir::node::front
