// SPDX-License-Identifier: Apache-2.0
#include "shared/targeting/parse.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "shared/base/utf8.h"
#include "shared/targeting/targeting.h"

namespace weir::targeting {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

char* PutUtf8(uint32_t code, char* at) {
  if (code < 0x80) {
    *at++ = static_cast<char>(code);
    return at;
  }
  const int tails = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  const uint32_t lead = tails == 1 ? 0xC0 : tails == 2 ? 0xE0 : 0xF0;
  *at++ = static_cast<char>(lead | code >> (6 * tails));
  for (int i = tails - 1; i >= 0; --i) *at++ = static_cast<char>(0x80 | ((code >> (6 * i)) & 0x3F));
  return at;
}

class Parser {
 public:
  Parser(std::string_view json, int max_depth, Arena& arena)
      : begin_(json.data()),
        at_(begin_),
        end_(begin_ + json.size()),
        depth_left_(max_depth),
        arena_(arena) {}

  Result<Value> Run() {
    Value value;
    if (Parse(value)) {
      SkipSpace();
      if (at_ == end_) return value;
      Fail("there is more text after the value");
    }
    return InvalidArgument(
        "", fmt::format("is no JSON that can be used: at byte {}, {}", error_at_ - begin_, error_));
  }

 private:
  bool Fail(const char* why) {
    error_ = why;
    error_at_ = at_;
    return false;
  }

  void SkipSpace() {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }
  bool Take(char c) {
    SkipSpace();
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }

  bool Parse(Value& out) {
    SkipSpace();
    if (at_ == end_) return Fail("the text ends too early");
    switch (*at_) {
      case '{':
        return Nested(out, &Parser::ParseMap);
      case '[':
        return Nested(out, &Parser::ParseList);
      case '"': {
        std::string_view text;
        if (!ParseText(text)) return false;
        out = Value::Text(text);
        return true;
      }
      case 't':
        return Word("true", Value::Bool(true), out);
      case 'f':
        return Word("false", Value::Bool(false), out);
      case 'n':
        return Word("null", Value(), out);
      default:
        return ParseNumber(out);
    }
  }

  bool Word(std::string_view word, Value value, Value& out) {
    if (static_cast<size_t>(end_ - at_) < word.size() ||
        std::string_view(at_, word.size()) != word) {
      return Fail("a value is expected");
    }
    at_ += word.size();
    out = value;
    return true;
  }

  bool Nested(Value& out, bool (Parser::*parse)(Value&)) {
    if (depth_left_ == 0) return Fail("lists and maps are nested too deeply");
    --depth_left_;
    ++at_;
    const bool parsed = (this->*parse)(out);
    ++depth_left_;
    return parsed;
  }

  // Finished items wait in `items_` above those of the lists around this one.
  bool ParseList(Value& out) {
    const size_t from = items_.size();
    if (!Take(']')) {
      do {
        Value item;
        if (!Parse(item)) return false;
        items_.push_back(item);
      } while (Take(','));
      if (!Take(']')) return Fail("a list continues with , or ends with ]");
    }
    const Value* list = Keep(items_, from);
    if (list == nullptr) return Fail("the value needs more memory than it may have");
    out = Value::List(list, items_.size() - from);
    items_.resize(from);
    return true;
  }

  bool ParseMap(Value& out) {
    const size_t from = members_.size();
    if (!Take('}')) {
      do {
        Member member;
        SkipSpace();
        if (at_ == end_ || *at_ != '"') return Fail("a name in quotes is expected");
        if (!ParseText(member.name)) return false;
        if (!Take(':')) return Fail("a : is expected after a name");
        if (!Parse(member.value)) return false;
        members_.push_back(member);
      } while (Take(','));
      if (!Take('}')) return Fail("a map continues with , or ends with }");
    }
    const Member* map = Keep(members_, from);
    if (map == nullptr) return Fail("the value needs more memory than it may have");
    out = Value::Map(map, members_.size() - from);
    members_.resize(from);
    return true;
  }

  // A copy of what stands above `from`; never null for an empty one, so that each is its own.
  template <class T>
  const T* Keep(const std::vector<T>& all, size_t from) {
    const size_t count = all.size() - from;
    T* kept = arena_.AllocateArray<T>(std::max<size_t>(count, 1));
    if (kept != nullptr) std::copy(all.begin() + static_cast<ptrdiff_t>(from), all.end(), kept);
    return kept;
  }

  bool ParseNumber(Value& out) {
    const char* at = at_;
    const auto digits = [this, &at] {
      const char* from = at;
      while (at < end_ && IsDigit(*at)) ++at;
      return at - from;
    };
    if (at < end_ && *at == '-') ++at;
    const bool zero = at < end_ && *at == '0';
    const auto whole = digits();
    if (whole == 0 || (zero && whole > 1)) return Fail("a value is expected");
    if (at < end_ && *at == '.') {
      ++at;
      if (digits() == 0) return Fail("a number needs digits after its point");
    }
    bool small = false;  // by its exponent's sign, should it be out of range
    if (at < end_ && (*at == 'e' || *at == 'E')) {
      ++at;
      small = at < end_ && *at == '-';
      if (at < end_ && (*at == '+' || *at == '-')) ++at;
      if (digits() == 0) return Fail("a number needs digits in its exponent");
    }
    double number = 0;
    if (std::from_chars(at_, at, number).ec == std::errc::result_out_of_range) {
      number = small || zero ? 0 : std::numeric_limits<double>::infinity();
      if (*at_ == '-') number = -number;
    }
    at_ = at;
    out = Value::Number(number);
    return true;
  }

  bool ParseText(std::string_view& out) {
    const char* from = ++at_;
    while (at_ < end_ && *at_ != '"' && *at_ != '\\') {
      if (static_cast<uint8_t>(*at_) < 0x20) return Fail("text holds a control character");
      const bool is_ascii = static_cast<uint8_t>(*at_) < 0x80;
      const size_t length = is_ascii ? 1 : Utf8Length({at_, static_cast<size_t>(end_ - at_)});
      if (length == 0) return Fail("text is no UTF-8");
      at_ += length;
    }
    if (at_ == end_) return Fail("a text does not end");
    if (*at_ == '\\') return ParseEscaped(from, out);
    out = arena_.Copy({from, static_cast<size_t>(at_ - from)});
    ++at_;
    return out.data() != nullptr || Fail("the value needs more memory than it may have");
  }

  // From the first escape on; the result is never longer than what is written.
  bool ParseEscaped(const char* from, std::string_view& out) {
    const char* close = at_;
    while (close < end_ && *close != '"') close += *close == '\\' && close + 1 < end_ ? 2 : 1;
    if (close >= end_) return Fail("a text does not end");
    auto* text = arena_.AllocateArray<char>(static_cast<size_t>(close - from));
    if (text == nullptr) return Fail("the value needs more memory than it may have");
    char* to = std::copy(from, at_, text);
    while (at_ < close) {
      if (*at_ == '\\') {
        if (!ParseEscape(to)) return false;
        continue;
      }
      if (static_cast<uint8_t>(*at_) < 0x20) return Fail("text holds a control character");
      const size_t length = Utf8Length({at_, static_cast<size_t>(close - at_)});
      if (length == 0) return Fail("text is no UTF-8");
      to = std::copy_n(at_, length, to);
      at_ += length;
    }
    ++at_;
    out = {text, static_cast<size_t>(to - text)};
    return true;
  }

  bool ParseEscape(char*& to) {
    constexpr std::string_view kLetters = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    const char letter = at_[1];
    if (const size_t known = kLetters.find(letter); known != std::string_view::npos) {
      *to++ = kMeanings[known];
      at_ += 2;
      return true;
    }
    uint32_t code = 0;
    if (letter != 'u' || !ReadUnit(code)) return Fail("an escape in a text is none of JSON's");
    if (code >= 0xD800 && code <= 0xDFFF) {
      uint32_t low = 0;
      if (code > 0xDBFF || at_ == end_ || *at_ != '\\' || !ReadUnit(low) || low < 0xDC00 ||
          low > 0xDFFF) {
        return Fail("an escape in a text is half of a surrogate pair");
      }
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    to = PutUtf8(code, to);
    return true;
  }

  // \uXXXX
  bool ReadUnit(uint32_t& code) {
    if (end_ - at_ < 6 || at_[1] != 'u') return false;
    const auto [end, error] = std::from_chars(at_ + 2, at_ + 6, code, 16);
    if (error != std::errc() || end != at_ + 6) return false;
    at_ += 6;
    return true;
  }

  const char* begin_;
  const char* at_;
  const char* end_;
  int depth_left_;
  Arena& arena_;
  std::vector<Value> items_;
  std::vector<Member> members_;
  const char* error_ = "";
  const char* error_at_ = nullptr;
};

}  // namespace

Result<Value> ParseJsonValue(std::string_view json, int max_depth, Arena& arena) {
  return Parser(json, max_depth, arena).Run();
}

Result<Value> ParseValue(std::string_view json, Arena& arena) {
  constexpr int kMaxValueDepth = 32;
  return ParseJsonValue(json, kMaxValueDepth, arena);
}

}  // namespace weir::targeting
