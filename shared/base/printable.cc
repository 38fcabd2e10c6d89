// SPDX-License-Identifier: Apache-2.0
#include "shared/base/printable.h"

#include <algorithm>

#include "shared/base/utf8.h"

namespace weir {

std::string Printable(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t length = Utf8Length(text.substr(at));
    const bool is_control = static_cast<unsigned char>(text[at]) < 0x20 || text[at] == 0x7f;
    if (length == 0) {
      out += '?';
    } else if (is_control) {
      out += ' ';
    } else {
      out += text.substr(at, length);
    }
    at += std::max<size_t>(length, 1);
  }
  return out;
}

std::string PrintableBegin(std::string_view text, size_t bytes) {
  std::string out = Printable(text.substr(0, bytes + 4));
  if (out.size() <= bytes) return out;
  while (bytes > 0 && Utf8Length(std::string_view(out).substr(bytes)) == 0) --bytes;
  return out.substr(0, bytes) + "…";
}

std::string PrintableEnd(std::string_view text, size_t bytes) {
  const std::string out = Printable(text);
  if (out.size() <= bytes) return out;
  size_t from = out.size() - bytes;
  while (from < out.size() && Utf8Length(std::string_view(out).substr(from)) == 0) ++from;
  return "…" + out.substr(from);
}

}  // namespace weir
