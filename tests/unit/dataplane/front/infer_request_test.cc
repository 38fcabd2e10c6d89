// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/infer_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "dataplane/front/infer_response.h"

namespace weir::node::front {
namespace {

using runtime::DataType;
using runtime::Tensor;
using testing::ElementsAre;
using testing::HasSubstr;

template <class T>
std::vector<T> Values(const Tensor& tensor) {
  std::vector<T> values(tensor.data.size() / sizeof(T));
  std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
  return values;
}

class InferRead : public testing::Test {
 protected:
  Status Read(const std::string& body) { return reader_.Read(body, {}, &request_); }
  Status ReadInput(const std::string& type, const std::string& shape, const std::string& data) {
    return Read(R"({"inputs":[{"name":"x","shape":)" + shape + R"(,"datatype":")" + type +
                R"(","data":)" + data + "}]}");
  }
  InferReader reader_;
  InferRequest request_;
};

TEST_F(InferRead, MembersMayComeInAnyOrder) {
  ASSERT_TRUE(Read(R"( {"outputs":[{"name":"a"},{"x":1,"name":"b"}],"unknown":{"a":[1,2]},
      "inputs":[{"data":[1, 2.5],"more":null,"datatype":"FP64","shape":[2],"name":"n"}],
      "parameters":{"session_id":"s","user_id":1234,"other":[]},"id":"\u0041b"} )")
                  .ok());
  EXPECT_EQ(request_.id, "Ab");
  EXPECT_EQ(request_.user_id, "1234");
  EXPECT_EQ(request_.session_id, "s");
  EXPECT_EQ(request_.request_id, "");
  EXPECT_THAT(request_.outputs, ElementsAre("a", "b"));
  ASSERT_EQ(request_.inputs().size(), 1U);
  EXPECT_EQ(request_.inputs()[0].name, "n");
  EXPECT_EQ(request_.inputs()[0].datatype, DataType::kFp64);
  EXPECT_THAT(Values<double>(request_.inputs()[0]), ElementsAre(1, 2.5));
}

TEST_F(InferRead, EveryDatatypeHasItsRange) {
  ASSERT_TRUE(ReadInput("BOOL", "[2]", "[true,false]").ok());
  EXPECT_THAT(Values<uint8_t>(request_.inputs()[0]), ElementsAre(1, 0));
  ASSERT_TRUE(ReadInput("INT8", "[2]", "[-128,127]").ok());
  EXPECT_THAT(Values<int8_t>(request_.inputs()[0]), ElementsAre(-128, 127));
  ASSERT_TRUE(ReadInput("UINT16", "[1]", "[65535]").ok());
  EXPECT_THAT(Values<uint16_t>(request_.inputs()[0]), ElementsAre(65535));
  ASSERT_TRUE(ReadInput("INT64", "[1]", "[-9223372036854775808]").ok());
  EXPECT_THAT(Values<int64_t>(request_.inputs()[0]), ElementsAre(INT64_MIN));
  ASSERT_TRUE(ReadInput("UINT64", "[1]", "[18446744073709551615]").ok());
  EXPECT_THAT(Values<uint64_t>(request_.inputs()[0]), ElementsAre(UINT64_MAX));
  ASSERT_TRUE(ReadInput("FP32", "[2]", "[1e-3,7]").ok());
  EXPECT_THAT(Values<float>(request_.inputs()[0]), ElementsAre(0.001F, 7));
  const std::pair<const char*, const char*> wrong[] = {
      {"BOOL", "[1]"},       {"INT8", "[128]"},  {"UINT8", "[-1]"},
      {"UINT16", "[65536]"}, {"INT32", "[1.5]"}, {"INT64", "[9223372036854775808]"},
      {"UINT64", "[1e3]"},   {"FP32", "[1e39]"}, {"FP64", "[1e999]"},
      {"FP64", "[\"1\"]"},   {"FP32", "[true]"}};
  for (const auto& [type, data] : wrong) {
    EXPECT_EQ(ReadInput(type, "[1]", data).code(), Code::kInvalidArgument) << type << " " << data;
  }
}

TEST_F(InferRead, NestedDataHasTheShapeExactly) {
  ASSERT_TRUE(ReadInput("INT32", "[2,1,2]", "[[[1,2]],[[3,4]]]").ok());
  EXPECT_THAT(Values<int32_t>(request_.inputs()[0]), ElementsAre(1, 2, 3, 4));
  ASSERT_TRUE(ReadInput("INT32", "[2,1,2]", "[1,2,3,4]").ok());
  EXPECT_THAT(Values<int32_t>(request_.inputs()[0]), ElementsAre(1, 2, 3, 4));
  for (const char* data :
       {"[[1,2,3,4]]", "[[[1,2],[3,4]]]", "[[[1,2]],3,4]", "[[[1]],[[2,3,4]]]", "[[],[]]", "[]",
        "1", "[[[1,2]],[[3,[4]]]]", "[1,2,[3],4]", "[[[1,2]],[[3,4]],[[5,6]]]"}) {
    EXPECT_FALSE(ReadInput("INT32", "[2,1,2]", data).ok()) << data;
  }
}

TEST_F(InferRead, ShapesAreBounded) {
  EXPECT_THAT(ReadInput("FP32", "[1000000000,1000000000,1000000000]", "[1]").message(),
              HasSubstr("more elements than the body"));
  EXPECT_FALSE(ReadInput("FP32", "[1,1,1,1,1,1,1,1,1]", "[1]").ok());
  EXPECT_FALSE(ReadInput("FP32", "[]", "[1]").ok());
  EXPECT_FALSE(ReadInput("FP32", "[1.5]", "[1]").ok());
}

TEST_F(InferRead, AnEarlierRequestLeavesNothingBehind) {
  ASSERT_TRUE(Read(R"({"id":"1","parameters":{"user_id":"u"},"outputs":[{"name":"o"}],
      "inputs":[{"name":"x","shape":[3],"datatype":"FP32","data":[1,2,3]},
                {"name":"y","shape":[1],"datatype":"FP32","data":[9]}]})")
                  .ok());
  ASSERT_TRUE(ReadInput("FP32", "[1]", "[5]").ok());
  EXPECT_EQ(request_.id, "");
  EXPECT_EQ(request_.user_id, "");
  EXPECT_TRUE(request_.outputs.empty());
  ASSERT_EQ(request_.inputs().size(), 1U);
  EXPECT_THAT(Values<float>(request_.inputs()[0]), ElementsAre(5));
}

TEST_F(InferRead, AnOpenRequestIsReadForItsKeysAlone) {
  ASSERT_TRUE(reader_
                  .ReadOpen(R"({"outputs":[{"name":"o"}],"inputs":[{"datatype":"BYTES"},7],"id":"i",
      "parameters":{"session_id":"s","user_id":-12,"other":[1]},"new":{}})",
                            &request_)
                  .ok());
  EXPECT_EQ(request_.id, "i");
  EXPECT_EQ(request_.user_id, "-12");
  EXPECT_EQ(request_.session_id, "s");
  EXPECT_EQ(request_.request_id, "");
  EXPECT_TRUE(request_.inputs().empty());
  EXPECT_TRUE(request_.outputs.empty());
  EXPECT_FALSE(reader_.ReadOpen(R"({"inputs":[]} x)", &request_).ok());
  ASSERT_TRUE(reader_.ReadOpen(R"({"inputs":[]})", &request_).ok());
  EXPECT_EQ(request_.user_id, "");
}

TEST_F(InferRead, APredictRequestIsAnyJson) {
  ASSERT_TRUE(
      reader_.ReadPredict(R"({"user_id":18446744073709551615,"request_id":true})", &request_).ok());
  EXPECT_EQ(request_.user_id, "18446744073709551615");
  EXPECT_EQ(request_.request_id, "");  // the service's own
  ASSERT_TRUE(reader_.ReadPredict(R"([{"user_id":"u"}])", &request_).ok());
  EXPECT_EQ(request_.user_id, "");
  EXPECT_EQ(reader_.ReadPredict(R"({"user_id":)", &request_).field(), "body");
  // A large body leaves nothing behind but what a small one needs.
  const std::string large = "\"" + std::string(4'000'000, 'x') + "\"";
  EXPECT_TRUE(reader_.ReadPredict(large, &request_).ok());
  EXPECT_TRUE(reader_.ReadPredict("1", &request_).ok());
}

TEST(InferWrite, JsonIsWrittenAsItCame) {
  InferWriter writer;
  writer.Begin("m", "1", "i\"d");
  writer.AddJson("[1.50, 2]", R"({"a": 1e3})");
  EXPECT_EQ(writer.Finish(),
            R"({"model_name":"m","model_version":"1","id":"i\"d","outputs":[1.50, 2],)"
            R"("parameters":{"a": 1e3}})");
  writer.Begin("m", "1", "");
  EXPECT_EQ(writer.Finish(), R"({"model_name":"m","model_version":"1","outputs":[]})");
}

TEST(InferWrite, NumbersAreShortAndReadBackExactly) {
  const float values[] = {0.1F, 1, 3.4028235e38F, 1e-45F};
  const double infinite[] = {1.0 / 3, std::numeric_limits<double>::infinity()};
  const int64_t shape[] = {4};
  const int64_t pair[] = {2};
  const runtime::TensorView outputs[] = {
      {"a\"", DataType::kFp32, shape, std::as_bytes(std::span(values))},
      {"b", DataType::kFp64, pair, std::as_bytes(std::span(infinite))}};
  InferWriter writer;
  writer.Begin("m", "1", "");
  writer.Add(outputs, {});
  EXPECT_EQ(writer.Finish(),
            R"({"model_name":"m","model_version":"1","outputs":[)"
            R"({"name":"a\"","datatype":"FP32","shape":[4],"data":[0.1,1,3.4028235e+38,1e-45]},)"
            R"({"name":"b","datatype":"FP64","shape":[2],"data":[0.3333333333333333,null]}]})");
  writer.Begin("m", "1", "id\n");
  writer.Add(outputs, {"b"});
  EXPECT_EQ(writer.Finish(),
            R"({"model_name":"m","model_version":"1","id":"id\u000a","outputs":[)"
            R"({"name":"b","datatype":"FP64","shape":[2],"data":[0.3333333333333333,null]}]})");
}

}  // namespace
}  // namespace weir::node::front
