// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/batcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

namespace weir::node::runtime {
namespace {

using testing::ElementsAre;

// Doubles its input; counts calls; refuses inputs that hold a negative number.
class Doubling : public Version {
 public:
  void Start(const Request& request, int64_t, std::stop_token, Sink& sink) override {
    const Tensor& input = request.inputs[0];
    rows.push_back(input.shape[0]);
    std::vector<float> values(input.data.size() / sizeof(float));
    std::memcpy(values.data(), input.data.data(), input.data.size());
    for (float& value : values) {
      if (value < 0) return sink.OnEnd(Internal("negative"), {});
      value *= 2;
    }
    const std::vector<int64_t> shape = {flat ? input.shape[0] * input.shape[1] : input.shape[0],
                                        input.shape[1]};
    const TensorView view{"out", DataType::kFp32, shape, std::as_bytes(std::span(values))};
    sink.OnHead();
    sink.OnChunk({&view, 1});
    sink.OnEnd(OkStatus(), {});
  }
  bool TakesBatches() const override { return true; }
  Status WarmUp() override { return OkStatus(); }
  const std::vector<domain::TensorSpec>& outputs() const override { return outputs_; }

  std::vector<int64_t> rows;  // of each call
  bool flat = false;          // answers in a shape that no request can be cut out of

 private:
  std::vector<domain::TensorSpec> outputs_;
};

class Caller : public Sink {
 public:
  Caller(Version& version, std::vector<float> values, int64_t columns) : version_(version) {
    input_.shape = {static_cast<int64_t>(values.size()) / columns, columns};
    input_.data.resize(values.size() * sizeof(float));
    std::memcpy(input_.data.data(), values.data(), input_.data.size());
    request_.inputs = {&input_, 1};
  }
  Batcher::Item item() { return {&version_, &request_, 0, {}, this}; }
  void OnHead() override { ++heads; }
  void OnChunk(std::span<const TensorView> outputs) override {
    shape.assign(outputs[0].shape.begin(), outputs[0].shape.end());
    values.resize(outputs[0].data.size() / sizeof(float));
    std::memcpy(values.data(), outputs[0].data.data(), outputs[0].data.size());
  }
  void OnEnd(Status end, const Usage&) override {
    status = std::move(end);
    ++ends;
  }

  int heads = 0;
  int ends = 0;
  std::vector<int64_t> shape;
  std::vector<float> values;
  Status status;

 private:
  Version& version_;
  Tensor input_;
  Request request_;
};

TEST(Batcher, GivesEachRequestItsOwnRowsOfOneCall) {
  Doubling version;
  Caller a(version, {1, 2}, 2);
  Caller b(version, {3, 4, 5, 6}, 2);
  Caller c(version, {7, 8}, 2);
  Batcher batcher;
  for (Caller* caller : {&a, &b, &c}) batcher.Add(caller->item());
  batcher.Flush();
  EXPECT_THAT(version.rows, ElementsAre(4));
  EXPECT_THAT(a.values, ElementsAre(2, 4));
  EXPECT_THAT(b.shape, ElementsAre(2, 2));
  EXPECT_THAT(b.values, ElementsAre(6, 8, 10, 12));
  EXPECT_THAT(c.values, ElementsAre(14, 16));
  for (const Caller* caller : {&a, &b, &c}) {
    EXPECT_EQ(caller->heads, 1);
    EXPECT_EQ(caller->ends, 1);
    EXPECT_TRUE(caller->status.ok());
  }
  EXPECT_EQ(batcher.sizes().requests, 3U);
  EXPECT_EQ(batcher.sizes().counts[2], 1U);  // of three and four
}

TEST(Batcher, KeepsVersionsAndWidthsApart) {
  Doubling one;
  Doubling two;
  Caller a(one, {1, 2}, 2);
  Caller b(two, {3, 4}, 2);
  Caller c(one, {5}, 1);
  Batcher batcher;
  for (Caller* caller : {&a, &b, &c}) batcher.Add(caller->item());
  batcher.Flush();
  EXPECT_THAT(one.rows, ElementsAre(1, 1));
  EXPECT_THAT(two.rows, ElementsAre(1));
  EXPECT_THAT(c.values, ElementsAre(10));
}

TEST(Batcher, OneThatFailsDoesNotSpoilTheOthers) {
  Doubling version;
  Caller good(version, {1}, 1);
  Caller bad(version, {-1}, 1);
  Batcher batcher;
  batcher.Add(good.item());
  batcher.Add(bad.item());
  batcher.Flush();
  EXPECT_TRUE(good.status.ok());
  EXPECT_THAT(good.values, ElementsAre(2));
  EXPECT_FALSE(bad.status.ok());
  EXPECT_EQ(good.ends, 1);
  EXPECT_EQ(bad.ends, 1);
}

TEST(Batcher, RunsEachAloneWhenTheAnswerCannotBeCut) {
  Doubling version;
  version.flat = true;
  Caller a(version, {1, 2}, 2);
  Caller b(version, {3, 4}, 2);
  Batcher batcher;
  batcher.Add(a.item());
  batcher.Add(b.item());
  batcher.Flush();
  EXPECT_THAT(version.rows, ElementsAre(2, 1, 1));
  EXPECT_THAT(b.values, ElementsAre(6, 8));
  EXPECT_EQ(b.heads, 1);
}

TEST(Batcher, NeverPutsMoreRowsIntoACallThanItMay) {
  Doubling version;
  std::vector<std::unique_ptr<Caller>> callers;
  Batcher batcher;
  for (int i = 0; i < 5; ++i) {
    callers.push_back(std::make_unique<Caller>(version, std::vector<float>(100, 1), 1));
    batcher.Add(callers.back()->item());
  }
  batcher.Flush();
  EXPECT_THAT(version.rows, ElementsAre(200, 200, 100));
}

}  // namespace
}  // namespace weir::node::runtime
