// SPDX-License-Identifier: Apache-2.0
#include "shared/targeting/semver.h"

#include <algorithm>
#include <charconv>

namespace weir::targeting {
namespace {

constexpr size_t kMaxVersionBytes = 256;
constexpr uint64_t kMaxNumber = (uint64_t{1} << 53) - 1;  // what JavaScript holds exactly

bool IsAsciiDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-'; }

// Digits without a leading zero, taken off the front.
bool TakeNumber(std::string_view& text, uint64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  const auto bytes = static_cast<size_t>(end - text.data());
  if (error != std::errc() || out > kMaxNumber || (bytes > 1 && text[0] == '0')) return false;
  text.remove_prefix(bytes);
  return true;
}

bool Take(std::string_view& text, char c) {
  if (text.empty() || text[0] != c) return false;
  text.remove_prefix(1);
  return true;
}

bool IsNumeric(std::string_view identifier) {
  return std::all_of(identifier.begin(), identifier.end(), IsAsciiDigit);
}

std::string_view TakeIdentifier(std::string_view& rest) {
  const size_t dot = rest.find('.');
  const std::string_view identifier = rest.substr(0, dot);
  rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
  return identifier;
}

// Identifiers between points; numeric ones of a prerelease have no leading zero.
bool AreIdentifiers(std::string_view text, bool prerelease) {
  if (text.empty() || text.back() == '.') return false;
  while (!text.empty()) {
    const std::string_view one = TakeIdentifier(text);
    if (one.empty() || !std::all_of(one.begin(), one.end(),
                                    [](char c) { return IsAsciiDigit(c) || IsLetter(c); })) {
      return false;
    }
    if (prerelease && one.size() > 1 && one[0] == '0' && IsNumeric(one)) return false;
  }
  return true;
}

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  const size_t from = text.find_first_not_of(kSpace);
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(kSpace) - from + 1);
}

int CompareIdentifiers(std::string_view a, std::string_view b) {
  const bool a_number = IsNumeric(a);
  const bool b_number = IsNumeric(b);
  if (a_number != b_number) return a_number ? -1 : 1;
  if (a_number && a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  return a.compare(b);
}

}  // namespace

std::optional<Version> ParseVersion(std::string_view text) {
  if (text.size() > kMaxVersionBytes) return std::nullopt;
  if (!Take(text, 'v')) Take(text, 'V');
  const std::string_view trimmed = Trim(text);
  const bool exact = trimmed.size() == text.size();
  text = trimmed;
  const bool prefixed = Take(text, 'v');
  Version version;
  if (!TakeNumber(text, version.major)) return std::nullopt;
  const bool partial = exact && !prefixed;
  if (text.empty()) return partial ? std::optional(version) : std::nullopt;
  if (!Take(text, '.') || !TakeNumber(text, version.minor)) return std::nullopt;
  if (text.empty()) return partial ? std::optional(version) : std::nullopt;
  if (!Take(text, '.') || !TakeNumber(text, version.patch)) return std::nullopt;
  const size_t plus = text.find('+');
  if (plus != std::string_view::npos) {
    if (!AreIdentifiers(text.substr(plus + 1), false)) return std::nullopt;
    text = text.substr(0, plus);
  }
  if (text.empty()) return version;
  if (!Take(text, '-') || !AreIdentifiers(text, true)) return std::nullopt;
  version.prerelease = text;
  return version;
}

int CompareVersions(const Version& a, const Version& b) {
  if (a.major != b.major) return a.major < b.major ? -1 : 1;
  if (a.minor != b.minor) return a.minor < b.minor ? -1 : 1;
  if (a.patch != b.patch) return a.patch < b.patch ? -1 : 1;
  std::string_view x = a.prerelease;
  std::string_view y = b.prerelease;
  if (x.empty() || y.empty()) return static_cast<int>(x.empty()) - static_cast<int>(y.empty());
  while (!x.empty() && !y.empty()) {
    const int order = CompareIdentifiers(TakeIdentifier(x), TakeIdentifier(y));
    if (order != 0) return order < 0 ? -1 : 1;
  }
  return static_cast<int>(y.empty()) - static_cast<int>(x.empty());
}

}  // namespace weir::targeting
