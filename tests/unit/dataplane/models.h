// SPDX-License-Identifier: Apache-2.0
// The demo's model files and rows to ask them about, for the tests of the data plane.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "shared/base/text.h"

namespace weir::node {

inline std::string ModelFile(const std::string& version) {
  const Result<std::string> file = ReadFile(std::string(WEIR_SOURCE_DIR) +
                                            "/config/models/fraud_detection-" + version + ".json");
  EXPECT_TRUE(file.ok()) << file.status().ToString();
  return file.ok() ? *file : "";
}

// 12 features each, as in config/models/requests.jsonl.
inline const std::vector<std::vector<float>>& Rows() {
  static const std::vector<std::vector<float>> rows = {
      {9.18F, 11, 0.17F, 1, 6, 180, 0.2F, 1, 2.8F, 1768, 0, 0},
      {148.81F, 9, 0.06F, 0, 6, 265, 0.3F, 0, 15.1F, 212, 0, 0},
      {33.45F, 15, 0, 1, 1, 12, 0.03F, 0, 368.6F, 1149, 0, 0},
      {2500, 3, 0.9F, 9, 1, 1, 0.9F, 1, 900, 2, 1, 1}};
  return rows;
}

}  // namespace weir::node
