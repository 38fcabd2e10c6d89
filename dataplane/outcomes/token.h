// SPDX-License-Identifier: Apache-2.0
// The decision token (header x-weir-decision): who answered a request, for whoever learns later
// what became of it. Any node reads the token of any other. It is a note and no proof: a mangled
// one is refused, and one that somebody made up says no more than its sender may say anyway.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "shared/base/status.h"

namespace weir::node::outcomes {

struct Token {
  std::string_view model;
  std::string_view version;
  std::string_view arm;      // as telemetry and x-weir-arm name it
  std::string_view rollout;  // "" when none was under way
  int64_t served_wall_ms = 0;
  bool operator==(const Token&) const = default;
};

// base64url without padding: a byte for the format, the time in six bytes, four texts with a byte
// for their length each, and four bytes of FNV-1a over all before. A text is cut at 255 bytes,
// which no name in the catalog has.
std::string EncodeToken(const Token& token);

inline constexpr size_t kMaxTokenText = 1380;  // four texts of 255 bytes

// The token's texts are views into `bytes`, which gets what the text stands for. InvalidArgument
// says what is wrong: too long, other characters, cut off, another format, bytes left over, a
// checksum that is not its own, no model or no version.
Result<Token> DecodeToken(std::string_view text, std::string& bytes);

}  // namespace weir::node::outcomes
