// SPDX-License-Identifier: Apache-2.0
// What the tests of rules share: JSON in, JSON out.
#pragma once

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "shared/targeting/targeting.h"

namespace weir::targeting {

// NaN and infinity are null, as JSON.stringify writes them.
inline nlohmann::json ToJson(const Value& value) {
  nlohmann::json json;
  switch (value.type()) {
    case Value::Type::kNull:
      break;
    case Value::Type::kBool:
      json = value.boolean();
      break;
    case Value::Type::kNumber:
      if (std::isfinite(value.number())) json = value.number();
      break;
    case Value::Type::kText:
      json = std::string(value.text());
      break;
    case Value::Type::kList:
      json = nlohmann::json::array();
      for (size_t i = 0; i < value.size(); ++i) json.push_back(ToJson(value.items()[i]));
      break;
    case Value::Type::kMap:
      json = nlohmann::json::object();
      for (size_t i = 0; i < value.size(); ++i) {
        json[std::string(value.members()[i].name)] = ToJson(value.members()[i].value);
      }
      break;
  }
  return json;
}

struct Surroundings {
  std::string_view flag_key = "golden";
  std::string_view targeting_key;
  int64_t now_wall_ms = 0;
};

// The result as JSON text; a failure as "error: …".
inline std::string Answer(std::string_view rule, std::string_view context = "{}",
                          const Surroundings& around = {}) {
  const auto compiled = Compile(rule);
  if (!compiled.ok()) return "refused: " + compiled.status().ToString();
  Arena memory;
  const auto data = ParseValue(context, memory);
  if (!data.ok()) return "bad context: " + data.status().ToString();
  Arena arena;
  const auto result = EvaluateToValue(
      **compiled, {around.flag_key, around.targeting_key, around.now_wall_ms, *data}, arena);
  return result.ok() ? ToJson(*result).dump() : "error: " + result.status().message();
}

}  // namespace weir::targeting
