// SPDX-License-Identifier: Apache-2.0
// Answers are compared with XGBoost's other way to predict, from a DMatrix.
#include "dataplane/runtime/xgboost/xgboost_runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <xgboost/c_api.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <thread>

#include "tests/unit/dataplane/models.h"

namespace weir::node::runtime {
namespace {

using testing::HasSubstr;

class Collect : public Sink {
 public:
  void OnHead() override { ++heads; }
  void OnChunk(std::span<const TensorView> outputs) override {
    ASSERT_EQ(outputs.size(), 1U);
    name = outputs[0].name;
    shape.assign(outputs[0].shape.begin(), outputs[0].shape.end());
    values.resize(outputs[0].data.size() / sizeof(float));
    std::memcpy(values.data(), outputs[0].data.data(), outputs[0].data.size());
  }
  void OnEnd(Status s, const Usage&) override {
    status = std::move(s);
    ++ends;
  }
  int heads = 0;
  int ends = 0;
  std::string name;
  std::vector<int64_t> shape;
  std::vector<float> values;
  Status status;
};

template <class T>
Tensor MakeTensor(DataType type, const std::vector<std::vector<float>>& rows) {
  Tensor tensor;
  tensor.name = "features";
  tensor.datatype = type;
  tensor.shape = {static_cast<int64_t>(rows.size()), static_cast<int64_t>(rows[0].size())};
  std::vector<T> flat;
  for (const auto& row : rows) {
    for (const float value : row) flat.push_back(static_cast<T>(value));
  }
  tensor.data.resize(flat.size() * sizeof(T));
  std::memcpy(tensor.data.data(), flat.data(), tensor.data.size());
  return tensor;
}

std::vector<float> PredictFromMatrix(const std::string& model,
                                     const std::vector<std::vector<float>>& rows) {
  std::vector<float> flat;
  for (const auto& row : rows) flat.insert(flat.end(), row.begin(), row.end());
  BoosterHandle booster = nullptr;
  DMatrixHandle matrix = nullptr;
  EXPECT_EQ(XGBoosterCreate(nullptr, 0, &booster), 0);
  EXPECT_EQ(XGBoosterLoadModelFromBuffer(booster, model.data(), model.size()), 0);
  EXPECT_EQ(XGDMatrixCreateFromMat(flat.data(), rows.size(), rows[0].size(),
                                   std::numeric_limits<float>::quiet_NaN(), &matrix),
            0);
  bst_ulong length = 0;
  const float* out = nullptr;
  EXPECT_EQ(XGBoosterPredict(booster, matrix, 0, 0, 0, &length, &out), 0);
  std::vector<float> values(out, out + length);
  XGDMatrixFree(matrix);
  XGBoosterFree(booster);
  return values;
}

std::shared_ptr<Version> Load(const std::string& version) {
  const std::string bytes = ModelFile(version);
  auto loaded = MakeXgboostRuntime()->Load({"fraud_detection", version, bytes});
  EXPECT_TRUE(loaded.ok()) << loaded.status().ToString();
  const Status warm = (*loaded)->WarmUp();
  EXPECT_TRUE(warm.ok()) << warm.ToString();
  return *loaded;
}

Collect Ask(Version& version, const Tensor& tensor, int64_t deadline_ns = INT64_MAX,
            std::stop_token stop = {}) {
  Collect sink;
  version.Start({std::span(&tensor, 1)}, deadline_ns, stop, sink);
  EXPECT_EQ(sink.ends, 1);
  return sink;
}

TEST(XgboostRuntime, AnswersAsPredictionFromAMatrixDoes) {
  for (const char* version : {"1.0.0", "1.1.0"}) {
    const auto loaded = Load(version);
    const Collect sink = Ask(*loaded, MakeTensor<float>(DataType::kFp32, Rows()));
    ASSERT_TRUE(sink.status.ok()) << sink.status.ToString();
    EXPECT_EQ(sink.heads, 1);
    EXPECT_EQ(sink.name, "predict");
    EXPECT_EQ(sink.shape, std::vector<int64_t>{4});
    EXPECT_EQ(sink.values, PredictFromMatrix(ModelFile(version), Rows()));
  }
}

TEST(XgboostRuntime, TakesEveryNumericDatatype) {
  const std::vector<std::vector<float>> whole = {{9, 11, 0, 1, 6, 100, 0, 1, 2, 17, 0, 0},
                                                 {25, 3, 1, 9, 1, 1, 1, 1, 90, 2, 1, 1}};
  const auto version = Load("1.1.0");
  const std::vector<float> expected = PredictFromMatrix(ModelFile("1.1.0"), whole);
  EXPECT_EQ(Ask(*version, MakeTensor<double>(DataType::kFp64, whole)).values, expected);
  EXPECT_EQ(Ask(*version, MakeTensor<int64_t>(DataType::kInt64, whole)).values, expected);
  EXPECT_EQ(Ask(*version, MakeTensor<int32_t>(DataType::kInt32, whole)).values, expected);
  EXPECT_EQ(Ask(*version, MakeTensor<int16_t>(DataType::kInt16, whole)).values, expected);
  EXPECT_EQ(Ask(*version, MakeTensor<int8_t>(DataType::kInt8, whole)).values, expected);
  EXPECT_EQ(Ask(*version, MakeTensor<uint64_t>(DataType::kUint64, whole)).values, expected);
  EXPECT_EQ(Ask(*version, MakeTensor<uint32_t>(DataType::kUint32, whole)).values, expected);
  EXPECT_EQ(Ask(*version, MakeTensor<uint16_t>(DataType::kUint16, whole)).values, expected);
  EXPECT_EQ(Ask(*version, MakeTensor<uint8_t>(DataType::kUint8, whole)).values, expected);
}

TEST(XgboostRuntime, RefusesTheWrongNumberOfColumns) {
  const auto broken = Load("1.2.0");  // trained on 15
  const Collect sink = Ask(*broken, MakeTensor<float>(DataType::kFp32, Rows()));
  EXPECT_FALSE(sink.status.ok());
  EXPECT_EQ(sink.heads, 0);
  EXPECT_THAT(sink.status.message(), HasSubstr("12 vs. 15"));
  const auto good = Load("1.0.0");
  EXPECT_FALSE(Ask(*good, MakeTensor<float>(DataType::kFp32, {{1, 2, 3}})).status.ok());
}

TEST(XgboostRuntime, RefusesWhatIsNoMatrix) {
  const auto version = Load("1.0.0");
  Tensor flat = MakeTensor<float>(DataType::kFp32, {Rows()[0]});
  flat.shape = {12};
  EXPECT_EQ(Ask(*version, flat).status.code(), Code::kInvalidArgument);
}

TEST(XgboostRuntime, GivesUpAfterItsDeadlineOrWhenStopped) {
  const auto version = Load("1.0.0");
  const Tensor tensor = MakeTensor<float>(DataType::kFp32, Rows());
  EXPECT_EQ(Ask(*version, tensor, 1).status.code(), Code::kUnavailable);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(Ask(*version, tensor, INT64_MAX, stop.get_token()).status.code(), Code::kUnavailable);
}

TEST(XgboostRuntime, OneVersionServesSeveralThreadsAtOnce) {
  const auto version = Load("1.1.0");
  const std::vector<float> expected = PredictFromMatrix(ModelFile("1.1.0"), Rows());
  std::vector<int> wrong(4, 0);
  {
    std::vector<std::jthread> threads;
    for (size_t t = 0; t < wrong.size(); ++t) {
      threads.emplace_back([&, t] {
        const size_t row = t % Rows().size();
        const Tensor tensor = MakeTensor<float>(DataType::kFp32, {Rows()[row]});
        for (int i = 0; i < 500; ++i) {
          wrong[t] += Ask(*version, tensor).values == std::vector<float>{expected[row]} ? 0 : 1;
        }
      });
    }
  }
  EXPECT_THAT(wrong, testing::Each(0));
}

TEST(XgboostRuntime, SaysWhyBytesAreNoModel) {
  const std::string good = ModelFile("1.0.0");
  for (const std::string& bytes :
       {std::string(), std::string("binf garbage"), std::string("{"), std::string("{}"),
        good.substr(0, good.size() / 2), std::string("{\"learner\": 3}"),
        std::string("{L\xff\xff\xff\xff\xff\xff\xff\x7fgarbage", 17)}) {
    const auto loaded = MakeXgboostRuntime()->Load({"m", "1", bytes});
    EXPECT_FALSE(loaded.ok()) << bytes.substr(0, 20);
    EXPECT_FALSE(loaded.status().message().empty());
  }
}

}  // namespace
}  // namespace weir::node::runtime
