// SPDX-License-Identifier: Apache-2.0
// JsonLogic's operators, one case each of what a writer of rules relies on; tests/golden has more.
#include <gtest/gtest.h>

#include "tests/unit/shared/targeting/rules.h"

namespace weir::targeting {
namespace {

constexpr char kUser[] =
    R"({"age": 30, "plan": "gold", "tags": ["beta", "eu"], "address": {"city": "Oslo"},
        "cart": [{"price": 5, "n": 2}, {"price": 7, "n": 1}], "nothing": null})";

TEST(JsonLogicVar, FollowsPathsIntoMapsAndLists) {
  EXPECT_EQ(Answer(R"({"var": "address.city"})", kUser), R"("Oslo")");
  EXPECT_EQ(Answer(R"({"var": ["tags.1"]})", kUser), R"("eu")");
  EXPECT_EQ(Answer(R"({"var": "cart.1.price"})", kUser), "7.0");
  EXPECT_EQ(Answer(R"({"var": {"cat": ["address", ".", "city"]}})", kUser), R"("Oslo")");
  EXPECT_EQ(Answer(R"({"var": "tags.01"})", kUser), "null");
}

TEST(JsonLogicVar, GivesTheDefaultOnlyForWhatIsAbsent) {
  EXPECT_EQ(Answer(R"({"var": ["country", "NO"]})", kUser), R"("NO")");
  EXPECT_EQ(Answer(R"({"var": ["address.street.0", {"var": "plan"}]})", kUser), R"("gold")");
  EXPECT_EQ(Answer(R"({"var": ["nothing", 1]})", kUser), "null");
  EXPECT_EQ(Answer(R"({"var": "country"})", kUser), "null");
}

TEST(JsonLogicVar, EmptyNamesTheWholeContext) {
  EXPECT_EQ(Answer(R"({"var": ""})", R"({"a": true})"), R"({"a":true})");
  EXPECT_EQ(Answer(R"({"var": []})", R"({"a": true})"), R"({"a":true})");
}

TEST(JsonLogicVar, TakesTheLastOfARepeatedName) {
  EXPECT_EQ(Answer(R"({"var": "a"})", R"({"a": 1, "a": 2})"), "2.0");
}

TEST(JsonLogicMissing, ListsWhatTheContextLacks) {
  EXPECT_EQ(Answer(R"({"missing": ["plan", "email", "nothing"]})", kUser),
            R"(["email","nothing"])");
  EXPECT_EQ(Answer(R"({"missing_some": [1, ["email", "plan"]]})", kUser), "[]");
  EXPECT_EQ(Answer(R"({"missing_some": [2, ["email", "plan"]]})", kUser), R"(["email"])");
}

TEST(JsonLogicMissing, FailsWhereTheNamesAreNoList) {
  EXPECT_EQ(Answer(R"({"missing_some": [1, {"var": "gone"}]})", kUser),
            "error: the second argument of \"missing_some\" is no list of names");
}

TEST(JsonLogicIf, TakesTheFirstThatHolds) {
  constexpr char kRule[] =
      R"({"if": [{"<": [{"var": "age"}, 13]}, "child", {"<": [{"var": "age"}, 20]}, "teen", "adult"]})";
  EXPECT_EQ(Answer(kRule, R"({"age": 12})"), R"("child")");
  EXPECT_EQ(Answer(kRule, R"({"age": "15"})"), R"("teen")");
  EXPECT_EQ(Answer(kRule, R"({"age": 30})"), R"("adult")");
  EXPECT_EQ(Answer(R"({"if": [false, 1]})"), "null");
  EXPECT_EQ(Answer(R"({"?:": [true, 1, 2]})"), "1.0");
}

TEST(JsonLogicIf, EvaluatesOnlyWhatItChooses) {
  EXPECT_EQ(Answer(R"({"if": [true, "fine", {"missing_some": [1, null]}]})"), R"("fine")");
  EXPECT_EQ(Answer(R"({"or": ["fine", {"missing_some": [1, null]}]})"), R"("fine")");
  EXPECT_EQ(Answer(R"({"and": ["", {"missing_some": [1, null]}]})"), R"("")");
}

TEST(JsonLogicTruth, FollowsJsonLogicsTable) {
  for (const char* truthy : {"1", "-1", "\"0\"", "\"a\"", "[0]", "true", "{}"}) {
    EXPECT_EQ(Answer(R"({"!!": [{"var": "x"}]})", std::string(R"({"x":)") + truthy + "}"), "true");
  }
  for (const char* falsy : {"0", "\"\"", "[]", "null", "false"}) {
    EXPECT_EQ(Answer(R"({"!": [{"var": "x"}]})", std::string(R"({"x":)") + falsy + "}"), "true");
  }
}

TEST(JsonLogicCompare, CoercesAsJavaScriptDoes) {
  EXPECT_EQ(Answer(R"({"==": [1, "1"]})"), "true");
  EXPECT_EQ(Answer(R"({"===": [1, "1"]})"), "false");
  EXPECT_EQ(Answer(R"({"!=": [null, 0]})"), "true");
  EXPECT_EQ(Answer(R"({"!==": [null, {"var": "gone"}]})"), "false");
  EXPECT_EQ(Answer(R"({">": ["10", 9]})"), "true");
  EXPECT_EQ(Answer(R"({">": ["10", "9"]})"), "false");
  EXPECT_EQ(Answer(R"({">=": [2, "x"]})"), "false");
}

TEST(JsonLogicCompare, TellsWhatLiesBetween) {
  EXPECT_EQ(Answer(R"({"<": [1, {"var": "age"}, 31]})", kUser), "true");
  EXPECT_EQ(Answer(R"({"<": [30, {"var": "age"}, 31]})", kUser), "false");
  EXPECT_EQ(Answer(R"({"<=": [30, {"var": "age"}, 30]})", kUser), "true");
}

TEST(JsonLogicNumbers, Calculate) {
  EXPECT_EQ(Answer(R"({"+": [1, "2", "3px"]})"), "6.0");
  EXPECT_EQ(Answer(R"({"-": "3"})"), "-3.0");
  EXPECT_EQ(Answer(R"({"*": [2, 3, 4]})"), "24.0");
  EXPECT_EQ(Answer(R"({"/": [1, 4]})"), "0.25");
  EXPECT_EQ(Answer(R"({"%": [7, 3]})"), "1.0");
  EXPECT_EQ(Answer(R"({"max": [1, 3, "2"]})"), "3.0");
  EXPECT_EQ(Answer(R"({"min": [1, 3, -2]})"), "-2.0");
}

TEST(JsonLogicText, IsWrittenAsJavaScriptWritesIt) {
  EXPECT_EQ(Answer(R"({"cat": ["a", 1, 0.5, true, null, [1, [2]], 1e21]})"),
            R"("a10.5true1,21e+21")");
  EXPECT_EQ(Answer(R"({"substr": ["jsonlogic", -5, 3]})"), R"("log")");
  EXPECT_EQ(Answer(R"({"substr": ["jsonlogic", 4, -2]})"), R"("log")");
}

TEST(JsonLogicText, IsNeverCutWithinACharacter) {
  // JavaScript would give half of the surrogate pair of 😀.
  EXPECT_EQ(Answer(R"({"substr": ["a😀b", 0, 2]})"), R"("a")");
  EXPECT_EQ(Answer(R"({"substr": ["a😀b", 2]})"), R"("b")");
  EXPECT_EQ(Answer(R"({"substr": ["a😀b", 1, 2]})"), R"("😀")");
}

TEST(JsonLogicIn, LooksIntoListsAndText) {
  EXPECT_EQ(Answer(R"({"in": ["beta", {"var": "tags"}]})", kUser), "true");
  EXPECT_EQ(Answer(R"({"in": ["bet", {"var": "tags"}]})", kUser), "false");
  EXPECT_EQ(Answer(R"({"in": ["old", {"var": "plan"}]})", kUser), "true");
  EXPECT_EQ(Answer(R"({"in": ["x", {"var": "gone"}]})", kUser), "false");
}

TEST(JsonLogicLists, AreMappedFilteredAndReduced) {
  EXPECT_EQ(Answer(R"({"map": [{"var": "cart"}, {"*": [{"var": "price"}, {"var": "n"}]}]})", kUser),
            "[10.0,7.0]");
  EXPECT_EQ(Answer(R"({"filter": [[1, 2, 3], {">": [{"var": ""}, 1]}]})"), "[2.0,3.0]");
  EXPECT_EQ(Answer(R"({"reduce": [{"var": "cart"},
                       {"+": [{"var": "accumulator"}, {"var": "current.price"}]}, 100]})",
                   kUser),
            "112.0");
  EXPECT_EQ(Answer(R"({"merge": [[1, [2]], 3]})"), "[1.0,[2.0],3.0]");
  EXPECT_EQ(Answer(R"({"map": [{"var": "gone"}, 1]})", kUser), "[]");
}

TEST(JsonLogicLists, AreAskedForAllSomeNone) {
  EXPECT_EQ(Answer(R"({"all": [[1, 2], {">": [{"var": ""}, 0]}]})"), "true");
  EXPECT_EQ(Answer(R"({"all": [[], true]})"), "false");
  EXPECT_EQ(Answer(R"({"some": [[1, 2], {">": [{"var": ""}, 1]}]})"), "true");
  EXPECT_EQ(Answer(R"({"none": [[], true]})"), "true");
  EXPECT_EQ(Answer(R"({"none": [[1], true]})"), "false");
}

TEST(JsonLogicLog, PassesItsValueThrough) {
  EXPECT_EQ(Answer(R"({"log": [{"var": "plan"}]})", kUser), R"("gold")");
}

TEST(JsonLogicData, WithMoreThanOneNameIsNoRule) {
  EXPECT_EQ(Answer(R"({"if": [true, {"a": {"var": "x"}, "b": 2}]})"),
            R"({"a":{"var":"x"},"b":2.0})");
}

TEST(Outcome, NamesAVariantByItsText) {
  const auto variant = [](std::string_view rule) {
    const auto compiled = Compile(rule);
    EXPECT_TRUE(compiled.ok()) << compiled.status().ToString();
    Arena arena;
    const Outcome outcome = Evaluate(**compiled, {}, arena);
    switch (outcome.kind) {
      case Outcome::Kind::kNull:
        return std::string("(null)");
      case Outcome::Kind::kError:
        return std::string(outcome.error);
      case Outcome::Kind::kVariant:
        break;
    }
    return std::string(outcome.variant);
  };
  EXPECT_EQ(variant(R"({"if": [true, "on"]})"), "on");
  EXPECT_EQ(variant(R"({"==": [1, 1]})"), "true");
  EXPECT_EQ(variant(R"({"+": [1, 2]})"), "3");
  EXPECT_EQ(variant(R"({"if": [false, "on"]})"), "(null)");
  EXPECT_EQ(variant(R"({"merge": ["on"]})"),
            "the rule's result is a list or a map, which names no variant");
}

}  // namespace
}  // namespace weir::targeting
