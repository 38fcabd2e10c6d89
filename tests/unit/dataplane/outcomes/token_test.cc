// SPDX-License-Identifier: Apache-2.0
#include "dataplane/outcomes/token.h"

#include <gtest/gtest.h>

#include <string>

namespace weir::node::outcomes {
namespace {

const Token kToken{"fraud_detection", "1.1.0", "canary", "fraud-1-1-0", 1'763'683'200'123};

// From Python: base64.urlsafe_b64encode(b"\x01" + (1763683200123).to_bytes(6, "big") + texts with
// their lengths + fnv1a_32(all before).to_bytes(4, "big")) without "=". Do not change: nodes of
// other versions read each other's tokens.
constexpr char kGolden[] = "AQGao7Xsew9mcmF1ZF9kZXRlY3Rpb24FMS4xLjAGY2FuYXJ5C2ZyYXVkLTEtMS0w_ShX4A";

TEST(OutcomeToken, IsTheGoldenOne) {
  EXPECT_EQ(EncodeToken(kToken), kGolden);
  std::string bytes;
  const auto read = DecodeToken(kGolden, bytes);
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(*read, kToken);
}

TEST(OutcomeToken, EmptyAndLongTextsComeBack) {
  const std::string longest(255, 'x');
  std::string bytes;
  for (const Token& token : {Token{"m", "1", "", "", 0},
                             Token{longest, longest, longest, longest, (int64_t{1} << 48) - 1}}) {
    const std::string text = EncodeToken(token);
    EXPECT_LE(text.size(), kMaxTokenText);
    const auto read = DecodeToken(text, bytes);
    ASSERT_TRUE(read.ok()) << read.status().ToString();
    EXPECT_EQ(*read, token);
  }
  const std::string longer(300, 'x');
  const std::string text = EncodeToken({longer, "1", "", "", 0});
  const auto read = DecodeToken(text, bytes);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->model, longest);
}

TEST(OutcomeToken, AnyChangeOfACharacterIsRefused) {
  std::string bytes;
  for (size_t i = 0; i < std::string(kGolden).size(); ++i) {
    for (const char c : {'A', 'z', '_', '=', '\0'}) {
      std::string mangled = kGolden;
      if (mangled[i] == c) continue;
      mangled[i] = c;
      EXPECT_FALSE(DecodeToken(mangled, bytes).ok()) << i << " " << c;
    }
  }
}

TEST(OutcomeToken, WhatIsCutOffOrTooLongIsRefused) {
  const std::string whole = kGolden;
  std::string bytes;
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(DecodeToken(whole.substr(0, size), bytes).ok()) << size;
  }
  EXPECT_FALSE(DecodeToken(whole + "A", bytes).ok());
  EXPECT_FALSE(DecodeToken(whole + whole, bytes).ok());
  const auto read = DecodeToken(std::string(kMaxTokenText + 1, 'A'), bytes);
  EXPECT_NE(read.status().ToString().find("too long"), std::string::npos);
}

TEST(OutcomeToken, WithoutAModelOrAVersionItIsNone) {
  std::string bytes;
  EXPECT_FALSE(DecodeToken(EncodeToken({"", "1", "stable", "", 1}), bytes).ok());
  EXPECT_FALSE(DecodeToken(EncodeToken({"m", "", "stable", "", 1}), bytes).ok());
}

}  // namespace
}  // namespace weir::node::outcomes
