// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/tensor.h"

#include <array>

namespace weir::node::runtime {
namespace {

struct Row {
  const char* name;
  size_t size;
};
constexpr std::array<Row, 11> kRows = {{{"BOOL", 1},
                                        {"UINT8", 1},
                                        {"UINT16", 2},
                                        {"UINT32", 4},
                                        {"UINT64", 8},
                                        {"INT8", 1},
                                        {"INT16", 2},
                                        {"INT32", 4},
                                        {"INT64", 8},
                                        {"FP32", 4},
                                        {"FP64", 8}}};

}  // namespace

const char* DataTypeName(DataType type) { return kRows[static_cast<size_t>(type)].name; }

std::optional<DataType> ParseDataType(std::string_view name) {
  for (size_t i = 0; i < kRows.size(); ++i) {
    if (name == kRows[i].name) return static_cast<DataType>(i);
  }
  return std::nullopt;
}

size_t DataTypeSize(DataType type) { return kRows[static_cast<size_t>(type)].size; }

}  // namespace weir::node::runtime
