// SPDX-License-Identifier: Apache-2.0
// A rule, a line break, a context. What compiles evaluates within its limits, gives the same answer
// twice, and in less memory the same answer or an error.
#include <string>
#include <string_view>

#include "shared/targeting/targeting.h"
#include "tests/fuzz/require.h"

namespace {

using weir::targeting::Outcome;
using weir::targeting::Value;

std::string Show(const Outcome& outcome) {
  const char* const names[] = {"null", "variant ", "error "};
  return names[static_cast<int>(outcome.kind)] + std::string(outcome.variant) +
         (outcome.error == nullptr ? "" : outcome.error);
}

bool Same(const Outcome& a, const Outcome& b) { return a.kind == b.kind && a.variant == b.variant; }

// The outcome must be the value's.
void CheckValue(const Outcome& outcome, const weir::Result<Value>& value) {
  const bool failed = outcome.kind == Outcome::Kind::kError;
  if (!value.ok()) return WEIR_REQUIRE(failed, Show(outcome) + ", " + value.status().ToString());
  if (value->is_null()) WEIR_REQUIRE(outcome.kind == Outcome::Kind::kNull, Show(outcome));
  if (outcome.kind == Outcome::Kind::kNull) WEIR_REQUIRE(value->is_null(), Show(outcome));
  if (failed) return;  // a list or a map names no variant
  if (value->type() == Value::Type::kText)
    WEIR_REQUIRE(outcome.variant == value->text(), Show(outcome));
  if (value->type() == Value::Type::kBool)
    WEIR_REQUIRE(outcome.variant == (value->boolean() ? "true" : "false"), Show(outcome));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t cut = input.find('\n');
  const auto rule = weir::targeting::Compile(input.substr(0, cut));
  if (!rule.ok()) {
    WEIR_REQUIRE(!rule.status().message().empty(), "a refusal says why");
    return 0;
  }
  weir::targeting::Arena context_arena;
  const std::string_view context_text =
      cut == std::string_view::npos ? "{}" : input.substr(cut + 1);
  auto context = weir::targeting::ParseValue(context_text, context_arena);
  for (const char* key : {"", "user-123"}) {
    const weir::targeting::Inputs inputs{.flag_key = "flag",
                                         .targeting_key = key,
                                         .now_wall_ms = 1'770'000'000'123,
                                         .context = context.ok() ? *context : Value()};
    weir::targeting::Arena first_arena;
    const Outcome first = Evaluate(**rule, inputs, first_arena);
    weir::targeting::Arena second_arena;
    const Outcome second = Evaluate(**rule, inputs, second_arena);
    WEIR_REQUIRE(Same(first, second), Show(first) + " and then " + Show(second));
    weir::targeting::Arena value_arena;
    CheckValue(first, EvaluateToValue(**rule, inputs, value_arena));
    weir::targeting::Arena small_arena(256);
    const Outcome small = Evaluate(**rule, inputs, small_arena);
    WEIR_REQUIRE(Same(first, small) || small.kind == Outcome::Kind::kError,
                 Show(first) + ", but in little memory " + Show(small));
  }
  return 0;
}
