// SPDX-License-Identifier: Apache-2.0
#include "shared/http/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shared/http/address.h"

namespace weir::http {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(PercentCoding, DecodesPairsAndLeavesTheRest) {
  EXPECT_EQ(PercentDecode("a%20b%2Fc%2f"), "a b/c/");
  EXPECT_EQ(PercentDecode("100%"), "100%");
  EXPECT_EQ(PercentDecode("%4"), "%4");
  EXPECT_EQ(PercentDecode("%zz+%41"), "%zz+A");
  EXPECT_EQ(PercentDecode("%00").size(), 1u);
}

TEST(PercentCoding, EncodesWhatIsNotUnreserved) {
  EXPECT_EQ(PercentEncode("a-Z0._~"), "a-Z0._~");
  EXPECT_EQ(PercentEncode("a b/ü"), "a%20b%2F%C3%BC");
  EXPECT_EQ(PercentDecode(PercentEncode("\x01%&=?#\xff")), "\x01%&=?#\xff");
}

TEST(PathSegments, DecodesAfterSplitting) {
  EXPECT_THAT(PathSegments("/v2/models/a%2Fb/infer"), ElementsAre("v2", "models", "a/b", "infer"));
  EXPECT_THAT(PathSegments("//x/"), ElementsAre("x"));
  EXPECT_THAT(PathSegments("/"), IsEmpty());
}

TEST(ErrorResponse, EscapesItsMessage) {
  const Response response = ErrorResponse(400, "a \"b\"\n\\");
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.body, R"({"error": "a \"b\"\u000a\\"})");
}

TEST(ParseAddress, TakesTheThreeForms) {
  EXPECT_EQ(ParseAddress("127.0.0.1:80")->ToString(), "127.0.0.1:80");
  EXPECT_EQ(ParseAddress("[::1]:8080")->host, "::1");
  EXPECT_EQ(ParseAddress("[::1]:8080")->ToString(), "[::1]:8080");
  EXPECT_EQ(ParseAddress(":0")->host, "");
  EXPECT_EQ(ParseAddress("localhost:65535")->port, 65535);
}

TEST(ParseAddress, RefusesOthersAndSaysWhatIsAllowed) {
  for (const char* text : {"", "localhost", "::1:80", "[::1:80", "[x]:1", "h:", "h:65536", "h:-1",
                           "h:8x", "http://h:80", "a b:80"}) {
    const auto result = ParseAddress(text);
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_EQ(result.status().code(), Code::kInvalidArgument);
    EXPECT_THAT(result.status().message(), HasSubstr("[::1]:8080")) << text;
  }
}

}  // namespace
}  // namespace weir::http
