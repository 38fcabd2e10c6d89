// SPDX-License-Identifier: Apache-2.0
// Targeting rules of variant flags: JsonLogic (jsonlogic.com) with flagd's additions (flagd.dev:
// fractional, starts_with, ends_with, sem_ver, $flagd.flagKey, $flagd.timestamp). A rule is
// compiled once and evaluated for every request without parsing and, for rules that build no text
// or lists, without allocating. Pure; a Rule is shared by any number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "shared/base/status.h"
#include "shared/targeting/arena.h"
#include "shared/targeting/value.h"

namespace weir::targeting {

class Rule;  // compiled; immutable

// What a rule may be at most; a rule beyond is refused when it is compiled.
inline constexpr int kMaxDepth = 32;       // operators within operators
inline constexpr size_t kMaxNodes = 4096;  // operators and constants
inline constexpr size_t kMaxRuleBytes = 65536;
// What an evaluation may do at most (a `reduce` that doubles a text would never end otherwise).
inline constexpr uint32_t kMaxSteps = 20'000;

// Compiles a JSON text. InvalidArgument with the path inside the rule ("if[0].==[1]") for what is
// no JSON, an unknown operator (with the nearest known one), a wrong number of arguments where the
// operator could never give an answer, and a rule beyond the limits. "$ref" must be resolved before
// (codec/flagd_file.h does).
Result<std::shared_ptr<const Rule>> Compile(std::string_view json);

struct Inputs {
  std::string_view flag_key;
  std::string_view targeting_key;  // also answers {"var": "targetingKey"} when the context has none
  int64_t now_wall_ms = 0;         // $flagd.timestamp is whole seconds of it
  Value context;                   // a map; null is an empty one
};

struct Outcome {
  enum class Kind : uint8_t { kNull, kVariant, kError };
  Kind kind = Kind::kNull;
  std::string_view variant;  // kVariant: the result as text (true → "true"); in the arena or rule
  const char* error = nullptr;  // kError: why, a literal
};
Outcome Evaluate(const Rule& rule, const Inputs& inputs, Arena& arena);
// Spends of `steps_left`, for evaluations that share what they may do. None are left after an
// error.
Outcome Evaluate(const Rule& rule, const Inputs& inputs, Arena& arena, uint32_t& steps_left);

// The rule's result as it is, for tests and tools; kError becomes a Status.
Result<Value> EvaluateToValue(const Rule& rule, const Inputs& inputs, Arena& arena);

// JSON text → Value in the arena. InvalidArgument: no JSON, deeper than 32, or too large for the
// arena. Numbers are doubles, as in JavaScript.
Result<Value> ParseValue(std::string_view json, Arena& arena);

// MurmurHash3 x86 32-bit, as fractional uses it with seed 0.
uint32_t Murmur3(std::string_view bytes, uint32_t seed);

}  // namespace weir::targeting
