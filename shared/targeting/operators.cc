// SPDX-License-Identifier: Apache-2.0
// JsonLogic's operators on numbers, text and lists, as json-logic-js defines them.
#include <string.h>  // memmem

#include <algorithm>
#include <cmath>
#include <limits>

#include "shared/targeting/coerce.h"
#include "shared/targeting/evaluation.h"

namespace weir::targeting {
namespace {

using Type = Value::Type;

bool Holds(Op op, Order order) {
  switch (op) {
    case Op::kLess:
      return order == Order::kLess;
    case Op::kLessEqual:
      return order == Order::kLess || order == Order::kEqual;
    case Op::kGreater:
      return order == Order::kGreater;
    default:
      return order == Order::kGreater || order == Order::kEqual;
  }
}

// Text in linear time, whatever it holds.
bool Contains(std::string_view text, std::string_view part) {
  if (part.empty()) return true;
  if (part.size() > text.size()) return false;
  return memmem(text.data(), text.size(), part.data(), part.size()) != nullptr;
}

// JavaScript counts text in UTF-16 units: two for what takes four bytes in UTF-8.
size_t UnitsOf(char lead) {
  const auto byte = static_cast<uint8_t>(lead);
  return byte >= 0xF0 ? 2 : (byte & 0xC0) == 0x80 ? 0 : 1;
}

size_t CountUnits(std::string_view text) {
  size_t units = 0;
  for (const char c : text) units += UnitsOf(c);
  return units;
}

// The characters that lie within [from, to); one that a bound would cut in half is left out.
std::string_view CutUnits(std::string_view text, size_t from, size_t to) {
  size_t begin = text.size();
  size_t end = text.size();
  size_t unit = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t units = UnitsOf(text[i]);
    if (units == 0) continue;
    if (unit >= from && i < begin) begin = i;
    if (unit + units > to) {
      end = i;
      break;
    }
    unit += units;
  }
  return begin < end ? text.substr(begin, end - begin) : std::string_view();
}

// ToIntegerOrInfinity.
double ToInteger(double number) { return std::isnan(number) ? 0 : std::trunc(number); }

struct Span {
  size_t from = 0;
  size_t to = 0;
};

// What "…".substr(start, length) takes of that many units.
Span SubstrSpan(size_t units, double start, double length) {
  const auto all = static_cast<double>(units);
  start = ToInteger(start);
  const double from = start < 0 ? std::max(all + start, 0.0) : std::min(start, all);
  const double to = std::min(from + std::max(ToInteger(length), 0.0), all);
  return {static_cast<size_t>(from), static_cast<size_t>(std::max(from, to))};
}

}  // namespace

Value Evaluation::Equal(const Node& node, const Scope& scope) {
  const Value a = Argument(node, 0, scope);
  const Value b = Argument(node, 1, scope);
  const bool strict = node.op == Op::kStrictEqual || node.op == Op::kStrictNotEqual;
  const bool wanted = node.op == Op::kEqual || node.op == Op::kStrictEqual;
  const bool equal = strict ? StrictEquals(a, b, budget_) : LooseEquals(a, b, budget_);
  return Value::Bool(equal == wanted);
}

Value Evaluation::Ordered(const Node& node, const Scope& scope) {
  const Value a = Argument(node, 0, scope);
  const Value b = Argument(node, 1, scope);
  bool holds = Holds(node.op, Compare(a, b, budget_));
  const bool between = node.count > 2 && (node.op == Op::kLess || node.op == Op::kLessEqual);
  if (between && holds) {
    const Value c = Argument(node, 2, scope);
    holds = Holds(node.op, Compare(b, c, budget_));
  }
  return Value::Bool(holds);
}

Value Evaluation::Calculate(const Node& node, const Scope& scope) {
  const double a = ToNumber(Argument(node, 0, scope), budget_);
  if (node.op == Op::kSubtract && node.count < 2) return Value::Number(-a);
  const double b = ToNumber(Argument(node, 1, scope), budget_);
  if (node.op == Op::kSubtract) return Value::Number(a - b);
  return Value::Number(node.op == Op::kDivide ? a / b : std::fmod(a, b));
}

Value Evaluation::Extreme(const Node& node, const Scope& scope) {
  const bool max = node.op == Op::kMax;
  double best = ToNumber(Argument(node, 0, scope), budget_);
  for (size_t i = 1; i < node.count; ++i) {
    const double number = ToNumber(Argument(node, i, scope), budget_);
    if (std::isnan(number) || std::isnan(best)) {
      best = std::numeric_limits<double>::quiet_NaN();
    } else if (max ? number > best : number < best) {
      best = number;
    }
  }
  return Value::Number(best);
}

Value Evaluation::AddOrMultiply(const Node& node, const Scope& scope) {
  if (node.op == Op::kAdd) {
    double sum = 0;
    for (size_t i = 0; i < node.count; ++i) {
      sum += ParseFloat(Argument(node, i, scope), budget_);
    }
    return Value::Number(sum);
  }
  const Value first = Argument(node, 0, scope);
  if (node.count == 1) return first;  // a product of one stays what it was, text too
  double product = ParseFloat(first, budget_);
  for (size_t i = 1; i < node.count; ++i) {
    product *= ParseFloat(Argument(node, i, scope), budget_);
  }
  return Value::Number(product);
}

Value Evaluation::In(const Node& node, const Scope& scope) {
  const Value part = Argument(node, 0, scope);
  const Value whole = Argument(node, 1, scope);
  if (whole.type() == Type::kList) {
    if (!budget_.SpendItems(whole.size())) return {};
    for (size_t i = 0; i < whole.size(); ++i) {
      if (StrictEquals(part, whole.items()[i], budget_)) return Value::Bool(true);
    }
    return Value::Bool(false);
  }
  if (whole.type() != Type::kText || whole.size() == 0) return Value::Bool(false);
  if (!budget_.SpendBytes(whole.size())) return {};
  return Value::Bool(Contains(whole.text(), ToText(part, budget_)));
}

Value Evaluation::Cat(const Node& node, const Scope& scope) {
  const Values values = Arguments(node, scope);
  return Value::Text(Concatenate(values.items, values.count, budget_));
}

Value Evaluation::Substr(const Node& node, const Scope& scope) {
  const std::string_view text = ToText(Argument(node, 0, scope), budget_);
  const double start = ToNumber(Argument(node, 1, scope), budget_);
  const Value end = Argument(node, 2, scope);
  if (!budget_.SpendBytes(text.size())) return {};
  const size_t units = CountUnits(text);
  const bool has_end = node.count > 2;
  const double length = has_end ? ToNumber(end, budget_) : std::numeric_limits<double>::infinity();
  if (!has_end || !(length < 0)) {
    const Span span = SubstrSpan(units, start, length);
    return Value::Text(CutUnits(text, span.from, span.to));
  }
  // A negative end leaves out that many at the end; written as text it is no number after all
  // ("5" + "-2"), and nothing is left.
  if (end.type() != Type::kNumber) return Value::Text("");
  const Span rest = SubstrSpan(units, start, std::numeric_limits<double>::infinity());
  const auto left = static_cast<double>(rest.to - rest.from);
  const Span span = SubstrSpan(rest.to - rest.from, 0, left + length);
  return Value::Text(CutUnits(text, rest.from, rest.from + span.to));
}

Value Evaluation::Merge(const Node& node, const Scope& scope) {
  const Values values = Arguments(node, scope);
  size_t count = 0;
  for (size_t i = 0; i < values.count; ++i) {
    count += values.items[i].type() == Type::kList ? values.items[i].size() : 1;
  }
  if (!budget_.SpendItems(count)) return {};
  auto* merged = budget_.Allocate<Value>(count);
  if (merged == nullptr) return {};
  Value* at = merged;
  for (size_t i = 0; i < values.count; ++i) {
    const Value& value = values.items[i];
    if (value.type() != Type::kList) {
      *at++ = value;
    } else {
      at = std::copy_n(value.items(), value.size(), at);
    }
  }
  return Value::List(merged, count);
}

Value Evaluation::ListOf(const Node& node, const Scope& scope) {
  const Values values = Arguments(node, scope);
  return Value::List(values.items, values.count);
}

}  // namespace weir::targeting
