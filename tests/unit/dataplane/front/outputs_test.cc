// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/outputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

namespace weir::node::front {
namespace {

using runtime::DataType;
using testing::ElementsAre;

class OutputsTest : public testing::Test {
 protected:
  template <class T>
  static Outputs OfTensor(DataType type, std::vector<int64_t> shape, const std::vector<T>& values) {
    Outputs outputs;
    const runtime::TensorView view{"out", type, shape,
                                   std::as_bytes(std::span(values.data(), values.size()))};
    outputs.TakeTensors({&view, 1}, true);
    return outputs;
  }
  static Outputs OfJson(const std::string& data, std::optional<double> first = std::nullopt) {
    const std::string outputs = R"([{"name":"out","data":)" + data + R"(},{"data":[9]}])";
    Outputs taken;
    taken.TakeJson({outputs, "", "", first}, true);
    return taken;
  }
  static Outputs OfPredict(const std::string& body, std::optional<double> first) {
    Outputs taken;
    taken.TakeJson({"", "", body, first}, true);
    return taken;
  }
  bool AreAlike(Outputs a, Outputs b) {
    const bool alike = comparer_.AreAlike(a, b);
    return alike;
  }
  OutputComparer comparer_;
};

TEST_F(OutputsTest, TheFirstNumberOfEachRow) {
  const auto firsts = [](const Outputs& outputs) {
    return std::vector<double>(outputs.firsts().begin(), outputs.firsts().end());
  };
  EXPECT_THAT(firsts(OfTensor<float>(DataType::kFp32, {2, 3}, {1, 2, 3, 4, 5, 6})),
              ElementsAre(1, 4));
  EXPECT_THAT(firsts(OfTensor<int64_t>(DataType::kInt64, {3}, {7, -8, 9})), ElementsAre(7, -8, 9));
  EXPECT_THAT(firsts(OfTensor<uint8_t>(DataType::kBool, {2}, {1, 0})), ElementsAre(1, 0));
  EXPECT_THAT(firsts(OfTensor<double>(DataType::kFp64, {3}, {NAN, INFINITY, 1})), ElementsAre(1));
  EXPECT_EQ(firsts(OfTensor<float>(DataType::kFp32, {100}, std::vector<float>(100, 1))).size(),
            Outputs::kMaxFirsts);
  EXPECT_THAT(firsts(OfTensor<float>(DataType::kFp32, {0}, {})), ElementsAre());
  // A shape that the data does not have is the version's to explain.
  EXPECT_THAT(firsts(OfTensor<float>(DataType::kFp32, {5}, {1, 2})), ElementsAre());
  EXPECT_THAT(firsts(OfJson("[1,2]", 1)), ElementsAre(1));
  EXPECT_THAT(firsts(OfJson(R"(["a"])")), ElementsAre());
}

TEST_F(OutputsTest, NumbersAreAlikeWithinTheTolerance) {
  const auto of = [](double value) { return OfTensor<double>(DataType::kFp64, {1}, {value}); };
  EXPECT_TRUE(AreAlike(of(1), of(1 + 0.9e-6)));
  EXPECT_FALSE(AreAlike(of(1), of(1 + 1.1e-6)));
  EXPECT_TRUE(AreAlike(of(-1e9), of(-1e9 - 900)));
  EXPECT_FALSE(AreAlike(of(1e-9), of(1.1e-9)));
  EXPECT_FALSE(AreAlike(of(1), of(-1)));
  EXPECT_TRUE(AreAlike(of(0), of(-0.0)));
  EXPECT_TRUE(AreAlike(of(NAN), of(NAN)));
  EXPECT_FALSE(AreAlike(of(NAN), of(1)));
  EXPECT_TRUE(AreAlike(of(INFINITY), of(INFINITY)));
  EXPECT_FALSE(AreAlike(of(INFINITY), of(1)));
  EXPECT_FALSE(AreAlike(of(1), OfTensor<double>(DataType::kFp64, {2}, {1, 1})));
}

TEST_F(OutputsTest, AFileAndAServiceAreComparedByTheirNumbers) {
  EXPECT_TRUE(
      AreAlike(OfTensor<float>(DataType::kFp32, {2, 1}, {0.1F, 3}), OfJson("[[0.1],[3.0]]")));
  EXPECT_TRUE(AreAlike(OfTensor<uint8_t>(DataType::kBool, {2}, {1, 0}), OfJson("[true,false]")));
  EXPECT_FALSE(AreAlike(OfTensor<float>(DataType::kFp32, {1}, {1}), OfJson("[2]")));
}

TEST_F(OutputsTest, TextIsComparedAsText) {
  EXPECT_TRUE(AreAlike(OfJson(R"(["a", 1])"), OfJson(R"([ "a",1.0])")));
  EXPECT_FALSE(AreAlike(OfJson(R"(["a"])"), OfJson(R"(["b"])")));
  EXPECT_FALSE(AreAlike(OfJson(R"(["1"])"), OfJson("[1]")));
  EXPECT_FALSE(AreAlike(OfJson("[null]"), OfJson("[0]")));
}

TEST_F(OutputsTest, PredictionsAreComparedByTheFirstNumberOrElseWhole) {
  EXPECT_TRUE(AreAlike(OfPredict(R"({"score":1,"t":5})", 1), OfPredict(R"({"score":1,"t":6})", 1)));
  EXPECT_FALSE(AreAlike(OfPredict(R"({"score":1})", 1), OfPredict(R"({"score":2})", 2)));
  EXPECT_TRUE(AreAlike(OfPredict(R"({"a":"b"})", {}), OfPredict(R"({"a":"b"})", {})));
  EXPECT_FALSE(AreAlike(OfPredict(R"({"a":"b"})", {}), OfPredict(R"({"a":"c"})", {})));
  EXPECT_FALSE(AreAlike(OfPredict(R"({"a":"b"})", {}), OfPredict(R"({"a":1})", 1)));
}

TEST_F(OutputsTest, ALargeAnswerIsNotKeptForAComparison) {
  Outputs large = OfPredict(std::string(Outputs::kMaxJson + 1, ' '), 1);
  EXPECT_FALSE(large.IsComparable());
  EXPECT_EQ(large.firsts().size(), 1U);
  EXPECT_TRUE(OfPredict(std::string(Outputs::kMaxJson, ' '), 1).IsComparable());
  large.Clear();
  EXPECT_TRUE(large.IsComparable());
}

TEST_F(OutputsTest, NothingIsLeftOfTheAnswerBefore) {
  Outputs outputs = OfJson(R"(["a"])", 3);
  outputs.Clear();
  EXPECT_TRUE(outputs.firsts().empty());
  EXPECT_TRUE(AreAlike(std::move(outputs), Outputs()));
}

}  // namespace
}  // namespace weir::node::front
