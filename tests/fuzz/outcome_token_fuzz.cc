// SPDX-License-Identifier: Apache-2.0
// A decision token from whoever sends one, as text, and as bytes whose checksum fits: what is read
// encodes to the same text again. Any texts as a token come back as they were.
#include <sodium.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/outcomes/token.h"
#include "tests/fuzz/require.h"

namespace weir {
namespace {

using node::outcomes::DecodeToken;
using node::outcomes::EncodeToken;
using node::outcomes::Token;

void CheckText(std::string_view text) {
  std::string bytes;
  const auto token = DecodeToken(text, bytes);
  if (token.ok()) WEIR_REQUIRE(EncodeToken(*token) == text, std::string(text));
}

// Through another program's base64url.
void CheckBytes(std::string_view body) {
  std::string bytes(body);
  uint32_t hash = 2166136261u;
  for (const char c : body) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(hash >> shift));
  constexpr int kVariant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
  std::string text(sodium_base64_encoded_len(bytes.size(), kVariant), '\0');
  sodium_bin2base64(text.data(), text.size(), reinterpret_cast<const uint8_t*>(bytes.data()),
                    bytes.size(), kVariant);
  text.pop_back();  // sodium's 0
  CheckText(text);
}

void CheckTexts(std::string_view text) {
  const size_t half = text.size() / 2 < 255 ? text.size() / 2 : 255;
  if (half == 0) return;
  const Token made{text.substr(0, half), text.substr(half, half), text.substr(0, half / 2), "",
                   static_cast<int64_t>(text.size())};
  std::string bytes;
  const std::string encoded = EncodeToken(made);
  const auto read = DecodeToken(encoded, bytes);
  WEIR_REQUIRE(read.ok() && *read == made, encoded);
}

}  // namespace
}  // namespace weir

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  weir::CheckText(text);
  weir::CheckBytes(text);
  weir::CheckTexts(text);
  return 0;
}
