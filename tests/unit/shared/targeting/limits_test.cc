// SPDX-License-Identifier: Apache-2.0
// Hostile rules: each limit says which one it is, and nothing runs or grows without end.
#include <gtest/gtest.h>

#include "tests/unit/shared/targeting/allocations.h"
#include "tests/unit/shared/targeting/rules.h"

namespace weir::targeting {
namespace {

std::string Nested(int depth, std::string_view open, std::string_view close) {
  std::string text;
  for (int i = 0; i < depth; ++i) text += open;
  text += "1";
  for (int i = 0; i < depth; ++i) text += close;
  return text;
}

std::string Numbers(int count) {
  std::string list = "[0";
  for (int i = 1; i < count; ++i) list += ",0";
  return list + "]";
}

std::string Refusal(const std::string& rule) {
  const auto compiled = Compile(rule);
  return compiled.ok() ? "compiled" : compiled.status().message();
}

TEST(TargetingLimits, RefuseOperatorsNestedTooDeep) {
  EXPECT_EQ(Refusal(Nested(kMaxDepth, R"({"!": [)", "]}")), "compiled");
  EXPECT_EQ(Refusal(Nested(kMaxDepth + 1, R"({"!": [)", "]}")),
            "operators are nested more than 32 deep");
  EXPECT_NE(Refusal(Nested(20'000, "[", "]")).find("nested too deeply"), std::string::npos);
}

TEST(TargetingLimits, RefuseTooManyNodesAndBytes) {
  EXPECT_EQ(Refusal(R"({"in": [1, )" + Numbers(kMaxNodes - 3) + "]}"), "compiled");
  EXPECT_EQ(Refusal(R"({"in": [1, )" + Numbers(kMaxNodes) + "]}"),
            "the rule has more than 4096 operators and constants");
  EXPECT_EQ(Refusal(R"({"max": )" + Numbers(5000) + "}"),
            "the rule has more than 4096 operators and constants");
  EXPECT_EQ(Refusal('"' + std::string(kMaxRuleBytes, 'x') + '"'),
            "the rule has 65538 bytes, more than the 65536 that are allowed");
}

TEST(TargetingLimits, RefuseWhatIsNoRule) {
  EXPECT_NE(Refusal(R"({"if": [true)").find("at byte 12"), std::string::npos);
  const Status unknown = Compile(R"({"if": [{"==": [1, {"startswith": ["a"]}]}, "x"]})").status();
  EXPECT_EQ(unknown.code(), Code::kInvalidArgument);
  EXPECT_EQ(unknown.field(), "if[0].==[1]");
  EXPECT_EQ(unknown.message(),
            R"("startswith" is no operator of JsonLogic or flagd (did you mean "starts_with"?))");
  EXPECT_EQ(Compile(R"({"!": {"var2": "x"}})").status().ToString(),
            R"(!: "var2" is no operator of JsonLogic or flagd (did you mean "var"?))");
  EXPECT_EQ(Compile(R"({"if": [true, {"==": [1]}]})").status().ToString(),
            R"(if[1].==: "==" needs 2 arguments or more and has 1)");
  EXPECT_EQ(Compile(R"({"if": [true, {"$ref": "x"}]})").status().ToString(),
            "if[1]: \"$ref\" names an evaluator that is not there; define it in $evaluators");
  EXPECT_EQ(Compile(R"({"var": ["a", {"nope": 1}]})").status().field(), "var[1]");
  EXPECT_EQ(Compile(R"({"if": [1], "if": [2]})").status().message(),
            "names \"if\" twice; keep one of them");
}

TEST(TargetingLimits, EndRulesThatTakeTooManySteps) {
  const std::string list = Numbers(300);
  EXPECT_EQ(Answer(R"({"map": [)" + list + R"(, {"map": [)" + list + R"(, {"var": ""}]}]})"),
            "error: the rule takes more than 20000 steps");
  // Searching long text many times over is work too, although it takes few operators.
  const std::string text(60'000, 'a');
  EXPECT_EQ(Answer(R"({"some": [)" + list + R"(, {"in": ["b", ")" + text + R"("]}]})"),
            "error: the rule takes more than 20000 steps");
  EXPECT_EQ(Answer(R"({"none": [)" + list + R"(, {"max": )" + Numbers(3000) + "}]}"),
            "error: the rule takes more than 20000 steps");
  EXPECT_EQ(Answer(R"({"in": ["b", ")" + text + R"("]})"), "false");
}

TEST(TargetingLimits, EndRulesThatBuildTooMuch) {
  const std::string list = Numbers(40);
  EXPECT_EQ(Answer(R"({"reduce": [)" + list +
                   R"(, {"cat": [{"var": "accumulator"}, {"var": "accumulator"}]}, "x"]})"),
            "error: the rule builds more text and lists than its memory holds");
  EXPECT_EQ(Answer(R"({"reduce": [)" + list +
                   R"(, {"merge": [{"var": "accumulator"}, {"var": "accumulator"}]}, [1]]})"),
            "error: the rule builds more text and lists than its memory holds");
}

TEST(TargetingLimits, EndRulesThatBuildDeepLists) {
  const std::string deep = R"({"reduce": [)" + Numbers(80) + R"(, [{"var": "accumulator"}], 1]})";
  EXPECT_EQ(Answer(deep), "error: the rule builds lists nested deeper than 64");
  EXPECT_EQ(Answer(R"({"cat": [)" + deep + "]}"),
            "error: the rule builds lists nested deeper than 64");
  // Two to the fortieth texts, in forty small lists.
  const std::string wide = R"({"reduce": [)" + Numbers(40) +
                           R"(, [{"var": "accumulator"}, {"var": "accumulator"}], ""]})";
  EXPECT_EQ(Answer(R"({"cat": [)" + wide + "]}"), "error: the rule takes more than 20000 steps");
  EXPECT_EQ(Answer(wide), "error: the rule takes more than 20000 steps");
}

TEST(TargetingLimits, AreOutcomesNotNulls) {
  const auto rule = Compile(R"({"cat": [{"var": "a"}, "y"]})");
  ASSERT_TRUE(rule.ok());
  Arena memory;
  const auto context =
      ParseValue(R"({"a": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"})", memory);
  ASSERT_TRUE(context.ok());
  Arena small(40);
  const Outcome outcome = Evaluate(**rule, {"f", "k", 0, *context}, small);
  EXPECT_EQ(outcome.kind, Outcome::Kind::kError);
  EXPECT_STREQ(outcome.error, "the rule builds more text and lists than its memory holds");
}

TEST(TargetingCost, RulesThatCompareAndChooseDoNotAllocate) {
  const auto rule = Compile(
      R"({"if": [{"and": [{"in": ["@x.com", {"var": "email"}]}, {"==": [{"var": "u.plan"}, "gold"]},
                          {">=": [{"var": "age"}, "18"]}, {"in": [{"var": "age"}, [1, 2, 30]]},
                          {"starts_with": [{"var": "email"}, "joe"]},
                          {"sem_ver": [{"var": "v"}, ">", "1.2.3"]}]},
                 {"fractional": [["a", 25], ["b", 75]]}, null]})");
  ASSERT_TRUE(rule.ok()) << rule.status().ToString();
  Arena memory;
  const auto context = ParseValue(
      R"({"email": "joe@x.com", "u": {"plan": "gold"}, "age": 30, "v": "2.0.0-rc.1"})", memory);
  ASSERT_TRUE(context.ok());
  const size_t before = Allocations();
  Arena arena;
  const Outcome outcome = Evaluate(**rule, {"flag", "user-1", 0, *context}, arena);
  EXPECT_EQ(Allocations(), before);
  EXPECT_EQ(outcome.kind, Outcome::Kind::kVariant);
  EXPECT_TRUE(outcome.variant == "a" || outcome.variant == "b");
}

}  // namespace
}  // namespace weir::targeting
