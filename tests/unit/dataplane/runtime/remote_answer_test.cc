// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "dataplane/runtime/remote/answer.h"
#include "shared/base/utf8.h"

namespace weir::node::runtime::remote {
namespace {

using testing::HasSubstr;

template <class T>
Tensor TensorOf(const char* name, DataType type, std::vector<int64_t> shape,
                std::initializer_list<T> data) {
  Tensor tensor{name, type, std::move(shape), std::vector<std::byte>(data.size() * sizeof(T))};
  std::memcpy(tensor.data.data(), data.begin(), tensor.data.size());
  return tensor;
}

TEST(WriteOip, SaysWhatTheTensorsHold) {
  const Tensor tensors[] = {TensorOf<float>("a \"b\"\n", DataType::kFp32, {1, 3},
                                            {0.1F, -2, std::numeric_limits<float>::infinity()}),
                            TensorOf<int64_t>("n", DataType::kInt64, {2}, {-9007199254740993, 7}),
                            TensorOf<uint8_t>("u", DataType::kUint8, {1}, {200}),
                            TensorOf<bool>("t", DataType::kBool, {2}, {true, false})};
  Request request;
  request.inputs = tensors;
  request.request_id = "r-1";
  EXPECT_EQ(WriteOip(request),
            R"({"id":"r-1","inputs":[)"
            R"({"name":"a \"b\"\u000a","datatype":"FP32","shape":[1,3],"data":[0.1,-2,null]},)"
            R"({"name":"n","datatype":"INT64","shape":[2],"data":[-9007199254740993,7]},)"
            R"({"name":"u","datatype":"UINT8","shape":[1],"data":[200]},)"
            R"({"name":"t","datatype":"BOOL","shape":[2],"data":[true,false]}]})");
}

TEST(Excerpt, IsOneShortLineOfUtf8) {
  EXPECT_EQ(Excerpt("two\r\nlines\x7f"), "two  lines ");
  EXPECT_EQ(Excerpt(std::string(300, 'x')), std::string(200, 'x'));
  EXPECT_EQ(Excerpt(std::string(199, 'x') + "é and more"), std::string(199, 'x'));
  EXPECT_EQ(Excerpt("not \xff utf-8"), "not ? utf-8");
  EXPECT_EQ(Excerpt("é"), "é");
  EXPECT_EQ(Excerpt(std::string(300, '\xff')).find_first_not_of('?'), std::string::npos);
}

TEST(AnswerReader, FindsThePartsOfAnOipAnswer) {
  AnswerReader reader;
  std::string body = R"( {"model_name":"m","outputs": [ {"name":"p","data":[[],["x",[-0.25]], 7]},
      {"name":"q","data":[9]} ] , "id":"i","parameters":{"outputs":[1]}} )";
  JsonAnswer answer;
  ASSERT_TRUE(reader.ReadOip(body, &answer).ok());
  EXPECT_THAT(std::string(answer.outputs), testing::StartsWith("[ {\"name\":\"p\""));
  EXPECT_THAT(std::string(answer.outputs), HasSubstr("\"data\":[9]} ]"));
  EXPECT_EQ(std::string(answer.parameters), "{\"outputs\":[1]}");
  EXPECT_EQ(answer.first_value, -0.25);
}

TEST(AnswerReader, AnOipAnswerNeedsNoNumberAndNoParameters) {
  AnswerReader reader;
  for (const char* text :
       {R"({"outputs":[{"name":"t","datatype":"BYTES","shape":[1],"data":["yes"]}]})",
        R"({"outputs":[]})", R"({"parameters":null,"outputs":[{"name":"t"}]})"}) {
    std::string body = text;
    JsonAnswer answer;
    ASSERT_TRUE(reader.ReadOip(body, &answer).ok()) << text;
    EXPECT_FALSE(answer.first_value.has_value()) << text;
    EXPECT_EQ(answer.parameters, "") << text;
  }
}

TEST(AnswerReader, WhatIsNoOipAnswerIsAnError) {
  AnswerReader reader;
  for (const char* text :
       {"", "oops", "[]", "{}", R"({"outputs":{}})", R"({"outputs":[1]})", R"({"outputs":[{}]} x)",
        R"({"outputs":[{"data":[0.1.2]}]})", R"({"outputs":[{"data":[nul]}]})", R"({"outputs":[)",
        "{\"outputs\":[{\"name\":\"\xff\"}]}"}) {
    std::string body = text;
    JsonAnswer answer;
    const Status status = reader.ReadOip(body, &answer);
    EXPECT_EQ(status.code(), Code::kInternal) << text;
    EXPECT_THAT(status.message(), HasSubstr("the answer"));
  }
}

TEST(AnswerReader, FindsTheNumberOfAPredictAnswer) {
  AnswerReader reader;
  const std::pair<const char*, double> answers[] = {
      {R"({"took": 12, "prediction": 0.7})", 0.7},
      {R"({"took": 12, "score": {"label": "x", "p": 3}})", 3},
      {R"({"took": 12, "predictions": [[0.1, 0.9]]})", 0.1},
      {R"({"prediction": "fraud", "output": -1})", -1},
      {R"({"nested": {"n": 1}, "label": "a", "risk": 2.5})", 2.5},
      {R"({"nested": {"n": 4}})", 4},
      {"[[5, 6]]", 5},
      {"18446744073709551615", 18446744073709551615.0}};
  for (const auto& [text, number] : answers) {
    std::string body = text;
    JsonAnswer answer;
    ASSERT_TRUE(reader.ReadPredict(body, &answer).ok()) << text;
    EXPECT_EQ(answer.first_value, number) << text;
    EXPECT_EQ(std::string(answer.body), text);
  }
  for (const char* text : {R"({"label": "x", "ok": true})", "\"word\"", "null", "{}"}) {
    std::string body = text;
    JsonAnswer answer;
    ASSERT_TRUE(reader.ReadPredict(body, &answer).ok()) << text;
    EXPECT_FALSE(answer.first_value.has_value()) << text;
  }
  std::string none = "<html>";
  JsonAnswer answer;
  EXPECT_EQ(reader.ReadPredict(none, &answer).code(), Code::kInternal);
}

TEST(AnswerReader, FindsTheTimeToTheFirstTokenThatAnAnswerStates) {
  AnswerReader reader;
  const std::pair<const char*, std::optional<double>> answers[] = {
      {R"({"outputs":[],"usage":{"completion_tokens":7,"time_to_first_token_ms":12.5}})", 12.5},
      {R"({"outputs":[],"usage":{"ttft_ms":0}})", 0},
      {R"({"outputs":[],"parameters":{"usage":{"ttft_ms":3}}})", 3},
      {R"({"outputs":[],"parameters":{"time_to_first_token_ms":4,"ttft_ms":5}})", 4},
      {R"({"outputs":[],"usage":{"time_to_first_token_ms":-1,"ttft_ms":6}})", 6},
      {R"({"outputs":[],"usage":{"ttft_ms":"7"}})", std::nullopt},
      {R"({"outputs":[],"ttft_ms":8})", std::nullopt},
      {R"({"outputs":[]})", std::nullopt}};
  for (const auto& [text, ms] : answers) {
    std::string body = text;
    JsonAnswer answer;
    ASSERT_TRUE(reader.ReadOip(body, &answer).ok()) << text;
    EXPECT_EQ(answer.first_token_ms, ms) << text;
    answer = {};
    ASSERT_TRUE(reader.ReadPredict(body, &answer).ok()) << text;
    EXPECT_EQ(answer.first_token_ms, ms) << text;
  }
}

TEST(AnswerReader, ALargeAnswerIsReadAndItsMemoryGivenBack) {
  AnswerReader reader;
  std::string large = R"({"outputs":[{"data":[1)";
  for (int i = 0; i < 600'000; ++i) large += ",0.5";
  large += "]}]}";
  JsonAnswer answer;
  ASSERT_TRUE(reader.ReadOip(large, &answer).ok());
  EXPECT_EQ(answer.outputs.size(), large.size() - std::strlen(R"({"outputs":})"));
  std::string small = R"({"outputs":[{"data":[2]}]})";
  ASSERT_TRUE(reader.ReadOip(small, &answer).ok());
  EXPECT_EQ(answer.first_value, 2);
}

}  // namespace
}  // namespace weir::node::runtime::remote
