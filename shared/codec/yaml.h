// SPDX-License-Identifier: Apache-2.0
// YAML ↔ JSON trees, strictly: duplicate keys, unknown tags, merge keys and runaway aliases are
// errors; scalars follow the core schema (only true/false are booleans). Every node remembers its
// line.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/status.h"
#include "shared/codec/json.h"

namespace weir::codec {

struct YamlDocument {
  Json value;
  std::map<std::string, int> lines;    // path ("spec.phases[0].name") → line, from 1
  std::map<std::string, int> columns;  // of keys in flow style, {a: 1, b: 2}
  // The line of the path, or of its nearest ancestor that has one; 0 if none.
  int LineOf(const std::string& path) const;
  // Greater for what stands later in the text: trees sort their keys. 0 if unknown.
  int64_t PlaceOf(const std::string& path) const;
};

// All documents of a stream; empty ones are left out. The Status names line and key.
Result<std::vector<YamlDocument>> ParseYaml(std::string_view text);

struct YamlError {
  int line = 0;
  std::string path;
  std::string message;
};
// The same, going on after what it can go on after: of a repeated key the first stands and every
// other one is an error. `is_cut`: the text is no YAML from an error on, or beyond the limits.
struct YamlStream {
  std::vector<YamlDocument> documents;
  std::vector<YamlError> errors;
  bool is_cut = false;
};
YamlStream ReadYaml(std::string_view text);

// Block style, keys in the tree's order, text quoted where it would read as something else.
std::string ToYaml(const Json& value);

}  // namespace weir::codec
