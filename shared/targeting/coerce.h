// SPDX-License-Identifier: Apache-2.0
// Conversions and comparisons of values as JavaScript makes them (ECMA-262, 7.1 and 7.2); JsonLogic
// is defined by them. Lists are converted through their text, which takes memory from the budget;
// long text costs steps wherever it is read.
#pragma once

#include <string_view>

#include "shared/targeting/budget.h"
#include "shared/targeting/value.h"

namespace weir::targeting {

// JsonLogic's: an empty list is false too; "0" is true.
bool Truthy(const Value& value);

inline constexpr size_t kNumberTextBytes = 32;
// As String(number) does; returns the length.
size_t FormatNumber(double number, char (&out)[kNumberTextBytes]);

// String(value): null is "null", a list its items joined by commas.
std::string_view ToText(const Value& value, Budget& budget);
// The texts one after another; null counts as empty.
std::string_view Concatenate(const Value* values, size_t count, Budget& budget);

double TextToNumber(std::string_view text);             // Number("…"): NaN when it is none
double ToNumber(const Value& value, Budget& budget);    // Number(value)
double ParseFloat(const Value& value, Budget& budget);  // parseFloat(value): the longest start

bool StrictEquals(const Value& a, const Value& b, Budget& budget);  // ===
bool LooseEquals(const Value& a, const Value& b, Budget& budget);   // ==

enum class Order : uint8_t { kLess, kEqual, kGreater, kNone };  // kNone: one is no number
Order Compare(const Value& a, const Value& b, Budget& budget);

}  // namespace weir::targeting
