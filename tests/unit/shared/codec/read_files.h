// SPDX-License-Identifier: Apache-2.0
// What tests of files compare.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <variant>
#include <vector>

#include "shared/codec/domain_fields.h"
#include "shared/codec/resource.h"
#include "shared/domain/policy.h"

namespace weir::codec {

// "3: spec.slos[0].metric is required"
inline std::vector<std::string> Texts(const std::vector<FileError>& errors) {
  std::vector<std::string> texts;
  for (const FileError& e : errors)
    texts.push_back(fmt::format("{}: {} {}", e.line, e.path, e.message));
  return texts;
}

// "f.yaml:3: …"
inline std::vector<std::string> TextsWithFiles(const std::vector<FileError>& errors) {
  std::vector<std::string> texts;
  for (const FileError& e : errors)
    texts.push_back(fmt::format("{}:{}: {} {}", e.file, e.line, e.path, e.message));
  return texts;
}

inline domain::PolicySpec SpecOf(const ResourceDocument& document) {
  EXPECT_EQ(document.kind, domain::Kind::kPolicy);
  Errors errors;
  const domain::Spec spec = SpecFromJson(document.kind, document.spec, errors);
  EXPECT_TRUE(errors.empty());
  return std::get<domain::PolicySpec>(spec);
}

}  // namespace weir::codec
