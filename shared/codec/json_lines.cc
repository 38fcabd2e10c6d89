// SPDX-License-Identifier: Apache-2.0
#include "shared/codec/json_lines.h"

#include <fmt/format.h>

#include <optional>

namespace weir::codec {
namespace {

constexpr int kDeepestLines = 64;
constexpr size_t kMaxPathBytes = 32 << 20;  // of all values together: long keys repeat in each

// Keys are compared as they are written: escapes in them are left alone.
class Scanner {
 public:
  Scanner(std::string_view text, JsonLines& out) : text_(text), out_(out) {}

  // False where the text ends or is no JSON.
  bool Value(const std::string& path, int depth) {
    Space();
    if ((path_bytes_ += path.size()) > kMaxPathBytes) return false;
    out_.lines.try_emplace(path, line_);
    if (at_ >= text_.size() || depth > kDeepestLines) return false;
    if (text_[at_] == '{') return Members(path, depth);
    if (text_[at_] == '[') return Items(path, depth);
    if (text_[at_] == '"') return Text().has_value();
    const size_t end = text_.find_first_of(",]} \t\r\n", at_);
    at_ = end == std::string_view::npos ? text_.size() : end;
    return true;
  }

 private:
  bool Members(const std::string& path, int depth) {
    for (bool is_first = true;; is_first = false) {
      ++at_;  // { or ,
      if (is_first && Next('}')) return true;
      Space();
      const int line = line_;
      const auto key = Text();
      if (!key || !Next(':')) return false;
      const std::string child = path.empty() ? std::string(*key) : fmt::format("{}.{}", path, *key);
      if (!out_.lines.try_emplace(child, line).second) out_.repeated.try_emplace(child, line);
      if (!Value(child, depth + 1)) return false;
      if (Next('}')) return true;
      if (at_ >= text_.size() || text_[at_] != ',') return false;
    }
  }
  bool Items(const std::string& path, int depth) {
    for (size_t i = 0;; ++i) {
      ++at_;  // [ or ,
      if (i == 0 && Next(']')) return true;
      if (!Value(fmt::format("{}[{}]", path, i), depth + 1)) return false;
      if (Next(']')) return true;
      if (at_ >= text_.size() || text_[at_] != ',') return false;
    }
  }
  void Space() {
    for (; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\n') ++line_;
      if (text_[at_] != '\n' && text_[at_] != ' ' && text_[at_] != '\t' && text_[at_] != '\r')
        return;
    }
  }
  bool Next(char wanted) {
    Space();
    if (at_ >= text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }
  std::optional<std::string_view> Text() {
    if (at_ >= text_.size() || text_[at_] != '"') return std::nullopt;
    const size_t begin = ++at_;
    for (; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\') ++at_;
    }
    if (at_ >= text_.size()) return std::nullopt;
    return text_.substr(begin, at_++ - begin);
  }

  std::string_view text_;
  JsonLines& out_;
  size_t at_ = 0;
  size_t path_bytes_ = 0;
  int line_ = 1;
};

}  // namespace

JsonLines FindJsonLines(std::string_view text) {
  JsonLines out;
  Scanner(text, out).Value("", 0);
  return out;
}

}  // namespace weir::codec
