// SPDX-License-Identifier: Apache-2.0
#include "dataplane/outcomes/outcome.h"

#include <gtest/gtest.h>

#include <string>

#include "shared/base/clock.h"

namespace weir::node::outcomes {
namespace {

constexpr int64_t kNow = 1'763'683'200'000;  // 2025-11-21T00:00:00Z

// Of the only outcome: "" if it was read, else "field: why".
std::string Problem(const std::string& body) {
  const auto posted = ReadOutcomes(body, kNow);
  if (!posted.ok()) return posted.status().ToString();
  EXPECT_EQ(posted->size(), 1u) << body;
  return posted->front().status.ok() ? "" : posted->front().status.ToString();
}

std::string With(const std::string& more) {
  return R"({"model": "m", "key": "k", "metric": "click")" + more + "}";
}

TEST(ReadOutcomes, ReadsOneAndMany) {
  const auto one = ReadOutcomes(With(R"(, "value": 1.5)"), kNow);
  ASSERT_TRUE(one.ok());
  ASSERT_EQ(one->size(), 1u);
  const Outcome& outcome = one->front().outcome;
  EXPECT_EQ(outcome.model, "m");
  EXPECT_EQ(outcome.key, "k");
  EXPECT_EQ(outcome.metric, "click");
  EXPECT_EQ(outcome.value, 1.5);
  EXPECT_EQ(outcome.at_wall_ms, kNow);
  const auto many = ReadOutcomes(
      R"({"outcomes": [)" + With(R"(, "value": 1)") + "," + With(R"(, "value": "1")") + ", 7]}",
      kNow);
  ASSERT_TRUE(many.ok());
  ASSERT_EQ(many->size(), 3u);
  EXPECT_TRUE((*many)[0].status.ok());
  EXPECT_EQ((*many)[1].status.field(), "value");
  EXPECT_FALSE((*many)[2].status.ok());
}

TEST(ReadOutcomes, RefusesABodyThatIsNone) {
  for (const char* body : {"", "[]", "7", "{", R"({"outcomes": 7})",
                           R"({"outcomes": [], "key": "k"})", R"({"model": "a", "model": "b"})"}) {
    EXPECT_FALSE(ReadOutcomes(body, kNow).ok()) << body;
  }
  std::string many = R"({"outcomes": [0)";
  for (size_t i = 1; i < kMaxOutcomes; ++i) many += ",0";
  EXPECT_TRUE(ReadOutcomes(many + "]}", kNow).ok());
  const auto more = ReadOutcomes(many + ",0]}", kNow);
  EXPECT_NE(more.status().ToString().find("has 1001; at most 1000"), std::string::npos);
}

TEST(ReadOutcomes, AValueIsAFiniteNumber) {
  EXPECT_EQ(Problem(With(R"(, "value": -1e12)")), "");
  EXPECT_EQ(Problem(With("")), "value: is missing");
  for (const char* value : {"1.1e12", "-1.1e12", "true", "null", "\"1\"", "[1]", "NaN", "1e999"}) {
    EXPECT_NE(Problem(With(std::string(R"(, "value": )") + value)), "") << value;
  }
}

TEST(ReadOutcomes, AMetricHasAPlainName) {
  const auto problem = [](const std::string& name) {
    return Problem(R"({"model": "m", "key": "k", "value": 1, "metric": ")" + name + "\"}");
  };
  EXPECT_EQ(problem("user_satisfaction.v2"), "");
  EXPECT_EQ(problem(std::string(64, 'a')), "");
  for (const std::string& bad : {std::string(), std::string(65, 'a'), std::string("Click"),
                                 std::string("a b"), std::string("a\\n"), std::string("a/b")}) {
    EXPECT_TRUE(problem(bad).starts_with("metric: ")) << bad;
  }
}

TEST(ReadOutcomes, KnowsWhoseItIs) {
  const std::string rest = R"("metric": "click", "value": 1})";
  EXPECT_EQ(Problem(R"({"decision": "x", )" + rest), "");
  EXPECT_EQ(Problem(R"({"model": "m", "decision": "x", )" + rest), "");
  EXPECT_EQ(Problem(R"({"flag": "f", "key": "k", )" + rest), "");
  EXPECT_TRUE(Problem(R"({"key": "k", )" + rest).starts_with("model: is missing"));
  EXPECT_TRUE(Problem(R"({"model": "m", )" + rest).starts_with("key: is missing"));
  EXPECT_TRUE(Problem(R"({"model": "m", "flag": "f", "key": "k", )" + rest).starts_with("flag: "));
  EXPECT_TRUE(
      Problem(R"({"model": "m", "key": "k", "decision": "x", )" + rest).starts_with("key: "));
  EXPECT_TRUE(Problem(R"({"flag": "f", "decision": "x", )" + rest).starts_with("decision: "));
  EXPECT_NE(Problem(R"({"modle": "m", "key": "k", )" + rest).find("model"), std::string::npos);
}

TEST(ReadOutcomes, ATimestampIsRfc3339OrMilliseconds) {
  const auto at = [](const std::string& timestamp) {
    const auto posted = ReadOutcomes(With(R"(, "value": 1, "timestamp": )" + timestamp), kNow);
    return posted.ok() && posted->front().status.ok() ? posted->front().outcome.at_wall_ms : -1;
  };
  EXPECT_EQ(at("1763683100000"), kNow - 100'000);
  EXPECT_EQ(at("\"2025-11-21T00:00:30Z\""), kNow + 30'000);
  EXPECT_EQ(at("1763683260000"), kNow + 60'000);
  EXPECT_EQ(at("1763683260001"), -1) << "more than a minute ahead";
  EXPECT_EQ(at("1763683200"), -1) << "seconds";
  EXPECT_EQ(at("\"yesterday\""), -1);
  EXPECT_EQ(at("1763683200000.5"), -1);
  EXPECT_EQ(at("null"), kNow);
}

}  // namespace
}  // namespace weir::node::outcomes
