// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/unit/shared/targeting/rules.h"

namespace weir::targeting {
namespace {

std::string Parsed(std::string_view json, size_t max_bytes = Arena::kDefaultMaxBytes) {
  Arena arena(max_bytes);
  const auto value = ParseValue(json, arena);
  return value.ok() ? ToJson(*value).dump() : value.status().message();
}

// An independent reader decides what each text means.
TEST(ParseValue, ReadsWhatJsonIs) {
  for (const char* json : {"null", "true", " false ", "0.5", "-1.5e3", "-0.0", "1E-2", "\"\"",
                           R"("a\"b\\c\/d\b\f\n\r\t")", R"("\u00e9\u20ac\ud83d\ude00\u0041")",
                           "\"é€😀\"", "[]", "{}", " [ null , [ ] , {\"a\" : [ {} ] } ] ",
                           R"({"a": {"b": [0.25, true, "x"]}, "": null})", "\"\\u0000\""}) {
    EXPECT_EQ(nlohmann::json::parse(Parsed(json)), nlohmann::json::parse(json)) << json;
  }
}

TEST(ParseValue, RefusesWhatJsonIsNot) {
  for (const char* json : {"",
                           " ",
                           "nul",
                           "tru",
                           "True",
                           "01",
                           "-",
                           "+1",
                           ".5",
                           "1.",
                           "1e",
                           "1e+",
                           "0x1",
                           "NaN",
                           "'a'",
                           "\"a",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\u12g4\"",
                           "\"\\ud800\"",
                           "\"\\ud800\\u0041\"",
                           "\"\\udc00\"",
                           "\"\n\"",
                           "\"\\\"",
                           "[",
                           "[1",
                           "[1,",
                           "[1,]",
                           "[,1]",
                           "[1 2]",
                           "{",
                           "{1:2}",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{\"a\":1 \"b\":2}",
                           "1 2",
                           "[]]",
                           "\"\xff\"",
                           "\"\xc0\x80\"",
                           "\"\xe0\x80\x80\"",
                           "\"\xed\xa0\x80\"",
                           "\"\xf4\x90\x80\x80\"",
                           "\"\xe2\x82\"",
                           "\"\\n\xff\""}) {
    EXPECT_FALSE(nlohmann::json::accept(json)) << json;
    EXPECT_TRUE(Parsed(json).starts_with("is no JSON that can be used: at byte ")) << json;
  }
}

TEST(ParseValue, SaysWhere) {
  EXPECT_EQ(Parsed("[1, 2, x]"), "is no JSON that can be used: at byte 7, a value is expected");
}

TEST(ParseValue, KeepsWithinDepthAndMemory) {
  EXPECT_EQ(Parsed(std::string(32, '[') + std::string(32, ']')).substr(0, 2), "[[");
  EXPECT_EQ(Parsed(std::string(33, '[') + std::string(33, ']')),
            "is no JSON that can be used: at byte 32, lists and maps are nested too deeply");
  EXPECT_EQ(
      Parsed("\"" + std::string(200, 'x') + "\"", 100),
      "is no JSON that can be used: at byte 202, the value needs more memory than it may have");
}

TEST(ParseValue, ReadsNumbersBeyondTheRangeAsJavaScriptDoes) {
  Arena arena;
  const auto number = [&arena](std::string_view json) { return ParseValue(json, arena)->number(); };
  EXPECT_EQ(number("1e999"), INFINITY);
  EXPECT_EQ(number("-1e999"), -INFINITY);
  EXPECT_EQ(number("1e-999"), 0);
  EXPECT_EQ(number("9007199254740993"), 9007199254740992.0);
}

}  // namespace
}  // namespace weir::targeting
