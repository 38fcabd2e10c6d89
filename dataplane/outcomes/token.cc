// SPDX-License-Identifier: Apache-2.0
#include "dataplane/outcomes/token.h"

#include <algorithm>
#include <array>

namespace weir::node::outcomes {
namespace {

constexpr uint8_t kFormat = 1;
constexpr size_t kTimeBytes = 6;
constexpr size_t kChecksumBytes = 4;
constexpr size_t kMaxText = 255;
constexpr size_t kMaxBytes = 1 + kTimeBytes + 4 * (1 + kMaxText) + kChecksumBytes;
static_assert(kMaxTokenText == (kMaxBytes * 8 + 5) / 6);

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr uint8_t kNone = 0xff;

constexpr std::array<uint8_t, 256> kValues = [] {
  std::array<uint8_t, 256> values{};
  values.fill(kNone);
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<uint8_t>(kAlphabet[i])] = static_cast<uint8_t>(i);
  }
  return values;
}();

// FNV-1a, 32 bits.
uint32_t Checksum(std::string_view bytes) {
  uint32_t hash = 2166136261u;
  for (const char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  return hash;
}

void AppendNumber(uint64_t value, size_t bytes, std::string& out) {
  for (size_t left = bytes; left > 0; --left) {
    out.push_back(static_cast<char>(value >> (8 * (left - 1))));
  }
}

void AppendText(std::string_view text, std::string& out) {
  text = text.substr(0, kMaxText);
  out.push_back(static_cast<char>(text.size()));
  out.append(text);
}

std::string ToBase64Url(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() * 8 + 5) / 6);
  uint32_t held = 0;
  int bits = 0;
  for (const char c : bytes) {
    held = held << 8 | static_cast<uint8_t>(c);
    for (bits += 8; bits >= 6; bits -= 6) text.push_back(kAlphabet[held >> (bits - 6) & 63]);
  }
  if (bits > 0) text.push_back(kAlphabet[held << (6 - bits) & 63]);
  return text;
}

// False if a character is none of the alphabet, or bits are left over that are not 0.
bool FromBase64Url(std::string_view text, std::string& bytes) {
  bytes.clear();
  uint32_t held = 0;
  int bits = 0;
  for (const char c : text) {
    const uint8_t value = kValues[static_cast<uint8_t>(c)];
    if (value == kNone) return false;
    held = held << 6 | value;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push_back(static_cast<char>(held >> bits));
  }
  return bits < 6 && (held & ((1u << bits) - 1)) == 0;
}

// Takes from the front what is there. `is_short` once something was not.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  std::string_view Take(size_t size) {
    is_short_ |= size > rest_.size();
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  uint64_t TakeNumber(size_t size) {
    uint64_t value = 0;
    for (const char c : Take(size)) value = value << 8 | static_cast<uint8_t>(c);
    return value;
  }
  std::string_view TakeText() { return Take(TakeNumber(1)); }
  bool is_short() const { return is_short_; }
  bool is_empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
  bool is_short_ = false;
};

}  // namespace

std::string EncodeToken(const Token& token) {
  std::string bytes;
  bytes.reserve(1 + kTimeBytes + kChecksumBytes + 4 + token.model.size() + token.version.size() +
                token.arm.size() + token.rollout.size());
  bytes.push_back(static_cast<char>(kFormat));
  AppendNumber(static_cast<uint64_t>(std::max<int64_t>(0, token.served_wall_ms)), kTimeBytes,
               bytes);
  for (const std::string_view text : {token.model, token.version, token.arm, token.rollout}) {
    AppendText(text, bytes);
  }
  AppendNumber(Checksum(bytes), kChecksumBytes, bytes);
  return ToBase64Url(bytes);
}

Result<Token> DecodeToken(std::string_view text, std::string& bytes) {
  if (text.size() > kMaxTokenText)
    return InvalidArgument("decision", "is no decision token: it is too long");
  if (!FromBase64Url(text, bytes))
    return InvalidArgument("decision", "is no decision token: not base64url");
  if (bytes.size() <= kChecksumBytes)
    return InvalidArgument("decision", "is no decision token: it is cut off");
  const std::string_view body(bytes.data(), bytes.size() - kChecksumBytes);
  Reader last(std::string_view(bytes).substr(body.size()));
  if (last.TakeNumber(kChecksumBytes) != Checksum(body)) {
    return InvalidArgument("decision",
                           "is no decision token: it was changed or cut off on its way");
  }
  Reader reader(body);
  if (reader.TakeNumber(1) != kFormat) {
    return InvalidArgument("decision",
                           "is a decision token of a format that this node does not know");
  }
  Token token;
  token.served_wall_ms = static_cast<int64_t>(reader.TakeNumber(kTimeBytes));
  token.model = reader.TakeText();
  token.version = reader.TakeText();
  token.arm = reader.TakeText();
  token.rollout = reader.TakeText();
  if (reader.is_short() || !reader.is_empty()) {
    return InvalidArgument("decision", "is no decision token: its lengths are wrong");
  }
  if (token.model.empty() || token.version.empty()) {
    return InvalidArgument("decision", "is no decision token: it names no model or no version");
  }
  return token;
}

}  // namespace weir::node::outcomes
