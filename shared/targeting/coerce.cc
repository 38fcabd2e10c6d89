// SPDX-License-Identifier: Apache-2.0
#include "shared/targeting/coerce.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

namespace weir::targeting {
namespace {

using Type = Value::Type;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr std::string_view kMapText = "[object Object]";

// The bytes of the white space or line end (ECMA-262, 12.2 and 12.3) that `text` starts with; 0.
size_t SpaceAt(std::string_view text) {
  const auto byte = [text](size_t i) {
    return i < text.size() ? static_cast<uint8_t>(text[i]) : 0;
  };
  if ((byte(0) >= 9 && byte(0) <= 13) || byte(0) == ' ') return 1;
  if (byte(0) == 0xC2 && byte(1) == 0xA0) return 2;  // U+00A0
  const uint32_t three = byte(0) << 16 | byte(1) << 8 | byte(2);
  const bool space = three == 0xE19A80 || (three >= 0xE28080 && three <= 0xE2808A) ||
                     three == 0xE280A8 || three == 0xE280A9 || three == 0xE280AF ||
                     three == 0xE2819F || three == 0xE38080 || three == 0xEFBBBF;
  return space ? 3 : 0;
}

std::string_view TrimStart(std::string_view text) {
  while (const size_t bytes = SpaceAt(text)) text.remove_prefix(bytes);
  return text;
}

std::string_view TrimEnd(std::string_view text) {
  for (bool trimmed = true; trimmed;) {
    trimmed = false;
    for (size_t bytes = 1; bytes <= 3 && bytes <= text.size(); ++bytes) {
      if (SpaceAt(text.substr(text.size() - bytes)) != bytes) continue;
      text.remove_suffix(bytes);
      trimmed = true;
      break;
    }
  }
  return text;
}

bool IsDecimal(char c) { return c >= '0' && c <= '9'; }

// The decimal number that `text` starts with, and how many bytes it takes; none: NaN and 0.
struct Decimal {
  double value = kNan;
  size_t bytes = 0;
};

Decimal ReadDecimal(std::string_view text) {
  size_t at = !text.empty() && (text[0] == '+' || text[0] == '-') ? 1 : 0;
  const double sign = at == 1 && text[0] == '-' ? -1 : 1;
  constexpr std::string_view kName = "Infinity";
  if (text.substr(at, kName.size()) == kName) return {sign * kInfinity, at + kName.size()};
  // from_chars takes "nan", "inf" and no "+"; it also takes "5." and ".5", as JavaScript does.
  const size_t mantissa = at < text.size() && text[at] == '.' ? at + 1 : at;
  if (mantissa >= text.size() || !IsDecimal(text[mantissa])) return {};
  double value = 0;
  const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) {
    // Too large or too small: the exponent's sign tells, or there are only digits before the point.
    const std::string_view taken(text.data() + at, static_cast<size_t>(end - text.data()) - at);
    const size_t exponent = taken.find_first_of("eE");
    const bool tiny = exponent == std::string_view::npos
                          ? taken[0] == '.' || taken[0] == '0'
                          : taken.substr(exponent + 1).starts_with('-');
    value = tiny ? 0 : kInfinity;
  }
  return {sign * value, static_cast<size_t>(end - text.data())};
}

double ReadDigits(std::string_view digits, int base) {
  if (digits.empty()) return kNan;
  double value = 0;
  for (const char c : digits) {
    const int lower = c | 0x20;
    const int digit = IsDecimal(c) ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 99;
    if (digit >= base) return kNan;
    value = value * base + digit;
  }
  return value;
}

// Text of a value inside of a list or of a concatenation, where null is empty.
size_t Measure(const Value& value, int depth, Budget& budget) {
  char number[kNumberTextBytes];
  switch (value.type()) {
    case Type::kNull:
      return 0;
    case Type::kBool:
      return value.boolean() ? 4 : 5;
    case Type::kNumber:
      return FormatNumber(value.number(), number);
    case Type::kText:
      return value.size();
    case Type::kMap:
      return kMapText.size();
    case Type::kList:
      break;
  }
  if (depth >= kMaxNesting) {
    budget.Fail(kTooDeep);
    return 0;
  }
  if (!budget.Spend(1) || !budget.SpendItems(value.size())) return 0;
  size_t bytes = value.size() > 1 ? value.size() - 1 : 0;
  for (size_t i = 0; i < value.size() && budget.error == nullptr; ++i) {
    bytes += Measure(value.items()[i], depth + 1, budget);
  }
  return bytes;
}

char* Write(const Value& value, char* at) {
  const auto put = [&at](std::string_view text) {
    if (!text.empty()) std::memcpy(at, text.data(), text.size());
    at += text.size();
  };
  char number[kNumberTextBytes];
  switch (value.type()) {
    case Type::kNull:
      break;
    case Type::kBool:
      put(value.boolean() ? "true" : "false");
      break;
    case Type::kNumber:
      put({number, FormatNumber(value.number(), number)});
      break;
    case Type::kText:
      put(value.text());
      break;
    case Type::kMap:
      put(kMapText);
      break;
    case Type::kList:
      for (size_t i = 0; i < value.size(); ++i) {
        if (i > 0) *at++ = ',';
        at = Write(value.items()[i], at);
      }
      break;
  }
  return at;
}

bool IsObject(const Value& value) {
  return value.type() == Type::kList || value.type() == Type::kMap;
}

// JavaScript orders text by UTF-16 units: surrogates (four bytes here) come before U+E000..U+FFFF.
Order CompareText(std::string_view a, std::string_view b) {
  const size_t common = std::min(a.size(), b.size());
  const size_t at = static_cast<size_t>(
      std::mismatch(a.begin(), a.begin() + common, b.begin()).first - a.begin());
  if (at == common) {
    if (a.size() == b.size()) return Order::kEqual;
    return a.size() < b.size() ? Order::kLess : Order::kGreater;
  }
  const auto x = static_cast<uint8_t>(a[at]);
  const auto y = static_cast<uint8_t>(b[at]);
  const bool less = (x >= 0xEE && y >= 0xEE && (x >= 0xF0) != (y >= 0xF0)) ? x > y : x < y;
  return less ? Order::kLess : Order::kGreater;
}

Value ToPrimitive(const Value& value, Budget& budget) {
  return IsObject(value) ? Value::Text(ToText(value, budget)) : value;
}

}  // namespace

bool Truthy(const Value& value) {
  switch (value.type()) {
    case Type::kNull:
      return false;
    case Type::kBool:
      return value.boolean();
    case Type::kNumber:
      return value.number() != 0 && !std::isnan(value.number());
    case Type::kText:
    case Type::kList:
      return value.size() > 0;
    case Type::kMap:
      return true;
  }
  return false;
}

size_t FormatNumber(double number, char (&out)[kNumberTextBytes]) {
  const auto copy = [&out](std::string_view text) {
    std::memcpy(out, text.data(), text.size());
    return text.size();
  };
  if (std::isnan(number)) return copy("NaN");
  if (std::isinf(number)) return copy(number > 0 ? "Infinity" : "-Infinity");
  if (number == 0) return copy("0");
  char* at = out;
  if (number < 0) *at++ = '-';
  // d.ddde±xx, the fewest digits that read back as the same number (ECMA-262, 6.1.6.1.20).
  char shortest[kNumberTextBytes];
  const char* end = std::to_chars(shortest, shortest + sizeof(shortest), std::fabs(number),
                                  std::chars_format::scientific)
                        .ptr;
  const char* mark = std::find(static_cast<const char*>(shortest), end, 'e');
  int exponent = 0;
  std::from_chars(mark + (mark[1] == '+' ? 2 : 1), end, exponent);
  char digits[kNumberTextBytes];
  int count = 0;
  for (const char* c = shortest; c != mark; ++c) {
    if (*c != '.') digits[count++] = *c;
  }
  const auto put = [&at, &digits](int from, int to) {
    at = std::copy(digits + from, digits + to, at);
  };
  const int point = exponent + 1;  // digits before the decimal point
  if (point > 21 || point < -5) {
    put(0, 1);
    if (count > 1) *at++ = '.';
    put(1, count);
    *at++ = 'e';
    *at++ = exponent < 0 ? '-' : '+';
    at = std::to_chars(at, out + kNumberTextBytes, std::abs(exponent)).ptr;
  } else if (point <= 0) {
    at = std::copy_n("0.", 2, at);
    at = std::fill_n(at, -point, '0');
    put(0, count);
  } else {
    put(0, std::min(point, count));
    at = std::fill_n(at, std::max(point - count, 0), '0');
    if (count > point) *at++ = '.';
    if (count > point) put(point, count);
  }
  return static_cast<size_t>(at - out);
}

std::string_view ToText(const Value& value, Budget& budget) {
  switch (value.type()) {
    case Type::kNull:
      return "null";
    case Type::kBool:
      return value.boolean() ? "true" : "false";
    case Type::kText:
      return value.text();
    case Type::kMap:
      return kMapText;
    case Type::kNumber:
    case Type::kList:
      break;
  }
  return Concatenate(&value, 1, budget);
}

std::string_view Concatenate(const Value* values, size_t count, Budget& budget) {
  size_t bytes = 0;
  for (size_t i = 0; i < count && budget.error == nullptr; ++i) {
    bytes += Measure(values[i], 0, budget);
  }
  if (!budget.SpendBytes(bytes) || budget.error != nullptr) return {};
  char* text = budget.Allocate<char>(bytes);
  if (text == nullptr) return {};
  char* at = text;
  for (size_t i = 0; i < count; ++i) at = Write(values[i], at);
  return {text, bytes};
}

double TextToNumber(std::string_view text) {
  text = TrimEnd(TrimStart(text));
  if (text.empty()) return 0;
  if (text.size() > 2 && text[0] == '0') {
    const int kind = text[1] | 0x20;
    if (kind == 'x') return ReadDigits(text.substr(2), 16);
    if (kind == 'o') return ReadDigits(text.substr(2), 8);
    if (kind == 'b') return ReadDigits(text.substr(2), 2);
  }
  const Decimal decimal = ReadDecimal(text);
  return decimal.bytes == text.size() ? decimal.value : kNan;
}

double ToNumber(const Value& value, Budget& budget) {
  switch (value.type()) {
    case Type::kNull:
      return 0;
    case Type::kBool:
      return value.boolean() ? 1 : 0;
    case Type::kNumber:
      return value.number();
    case Type::kText:
    case Type::kList: {
      const std::string_view text = ToText(value, budget);
      return budget.SpendBytes(text.size()) ? TextToNumber(text) : kNan;
    }
    case Type::kMap:
      return kNan;
  }
  return kNan;
}

double ParseFloat(const Value& value, Budget& budget) {
  if (value.type() == Type::kNumber) return value.number() + 0.0;  // "-0" is read as 0
  const std::string_view text = ToText(value, budget);
  return budget.SpendBytes(text.size()) ? ReadDecimal(TrimStart(text)).value : kNan;
}

bool StrictEquals(const Value& a, const Value& b, Budget& budget) {
  if (a.type() != b.type()) return false;
  switch (a.type()) {
    case Type::kNull:
      return true;
    case Type::kBool:
      return a.boolean() == b.boolean();
    case Type::kNumber:
      return a.number() == b.number();
    case Type::kText:
      return a.size() == b.size() && budget.SpendBytes(a.size()) && a.text() == b.text();
    case Type::kList:  // the very same one, as in JavaScript
      return a.items() == b.items();
    case Type::kMap:
      return a.members() == b.members();
  }
  return false;
}

bool LooseEquals(const Value& a, const Value& b, Budget& budget) {
  if (a.type() == b.type()) return StrictEquals(a, b, budget);
  if (a.is_null() || b.is_null()) return false;
  if (IsObject(a) && IsObject(b)) return false;
  const Value x = ToPrimitive(a, budget);
  const Value y = ToPrimitive(b, budget);
  if (x.type() == y.type()) return StrictEquals(x, y, budget);
  return ToNumber(x, budget) == ToNumber(y, budget);
}

Order Compare(const Value& a, const Value& b, Budget& budget) {
  const Value x = ToPrimitive(a, budget);
  const Value y = ToPrimitive(b, budget);
  if (x.type() == Type::kText && y.type() == Type::kText) {
    if (!budget.SpendBytes(std::min(x.size(), y.size()))) return Order::kNone;
    return CompareText(x.text(), y.text());
  }
  const double m = ToNumber(x, budget);
  const double n = ToNumber(y, budget);
  if (std::isnan(m) || std::isnan(n)) return Order::kNone;
  return m < n ? Order::kLess : m > n ? Order::kGreater : Order::kEqual;
}

}  // namespace weir::targeting
