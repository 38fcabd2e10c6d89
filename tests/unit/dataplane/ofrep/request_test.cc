// SPDX-License-Identifier: Apache-2.0
#include "dataplane/ofrep/request.h"

#include <gtest/gtest.h>

#include <string>

namespace weir::node::ofrep {
namespace {

using targeting::Value;

class OfrepRequest : public testing::Test {
 protected:
  std::string CodeOf(std::string_view body) {
    targeting::Arena arena;
    const auto error = reader_.Read(body, arena, &request_);
    return error.has_value() ? std::string(error->code) : "";
  }
  std::string DetailsOf(std::string_view body) {
    targeting::Arena arena;
    const auto error = reader_.Read(body, arena, &request_);
    return error.has_value() ? error->details : "";
  }

  RequestReader reader_;
  EvaluationRequest request_;
};

TEST_F(OfrepRequest, ReadsEveryTypeOfValue) {
  targeting::Arena arena;
  const auto error = reader_.Read(
      R"( {"context": {"targetingKey": "us\u00e9r \"1\"", "age": 42, "ratio": -1.5e3, "beta": true,
          "none": null, "tags": ["a", [], {"deep": [1, 2]}], "empty": {}}, "other": [1]} )",
      arena, &request_);
  ASSERT_FALSE(error.has_value()) << error->details;
  EXPECT_EQ(request_.targeting_key, "us\u00e9r \"1\"");
  const Value& context = request_.context;
  ASSERT_EQ(context.type(), Value::Type::kMap);
  EXPECT_EQ(context.size(), 7u);
  EXPECT_EQ(context.Find("age")->number(), 42);
  EXPECT_EQ(context.Find("ratio")->number(), -1500);
  EXPECT_TRUE(context.Find("beta")->boolean());
  EXPECT_TRUE(context.Find("none")->is_null());
  EXPECT_EQ(context.Find("empty")->type(), Value::Type::kMap);
  EXPECT_EQ(context.Find("empty")->size(), 0u);
  const Value* tags = context.Find("tags");
  ASSERT_EQ(tags->size(), 3u);
  EXPECT_EQ(tags->items()[0].text(), "a");
  EXPECT_EQ(tags->items()[1].type(), Value::Type::kList);
  const Value* deep = tags->items()[2].Find("deep");
  ASSERT_EQ(deep->size(), 2u);
  EXPECT_EQ(deep->items()[1].number(), 2);
}

TEST_F(OfrepRequest, TakesWhatIsNotThereAsAnEmptyContext) {
  for (const char* body : {"", " \r\n\t", "{}", R"({"context": null})", R"({"context": {}})",
                           R"({"context": {"targetingKey": null}})", R"({"other": 1})"}) {
    EXPECT_EQ(CodeOf(body), "") << body;
    EXPECT_EQ(request_.targeting_key, "") << body;
  }
}

TEST_F(OfrepRequest, RefusesWhatIsNoJsonObject) {
  for (const char* body :
       {"{", "nonsense", "[1]", "null", "\"text\"", "1", R"({"context": {})", R"({"context": tru})",
        R"({"context": nul})", R"({"context": {"a": 01}})", R"({"context": {"a" 1}})",
        R"({"context": {"a": "\x"}})", R"({"context": {}} {})", R"({"context": {}},)",
        R"({"other": [1, 2})", "{\"context\": {\"a\": \"\xff\"}}",
        R"({"context": {"a": 1e999}})"}) {
    EXPECT_EQ(CodeOf(body), "PARSE_ERROR") << body;
  }
}

TEST_F(OfrepRequest, RefusesAContextOfAnotherType) {
  for (const char* body : {R"({"context": []})", R"({"context": "user"})", R"({"context": 1})",
                           R"({"context": true})"}) {
    EXPECT_EQ(CodeOf(body), "INVALID_CONTEXT") << body;
  }
  EXPECT_EQ(DetailsOf(R"({"context": {"targetingKey": 7}})"), "context.targetingKey: is no text");
}

TEST_F(OfrepRequest, BoundsDepthAndSize) {
  const auto nested = [](int levels) {
    std::string lists(static_cast<size_t>(levels), '[');
    return R"({"context": {"a": )" + lists + std::string(lists.size(), ']') + "}}";
  };
  EXPECT_EQ(CodeOf(nested(RequestReader::kMaxDepth - 1)), "");
  EXPECT_EQ(CodeOf(nested(RequestReader::kMaxDepth)), "INVALID_CONTEXT");
  EXPECT_EQ(CodeOf(nested(500)), "INVALID_CONTEXT");
  std::string many = R"({"context": {"a": [0)";
  for (int i = 0; i < 200'000; ++i) many += ",0";
  EXPECT_EQ(DetailsOf(many + "]}}"), "context: is too large");
  EXPECT_EQ(CodeOf(R"({"context": {"targetingKey": "k"}})"), "") << "and goes on after that";
  EXPECT_EQ(request_.targeting_key, "k");
}

}  // namespace
}  // namespace weir::node::ofrep
