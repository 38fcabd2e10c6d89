// SPDX-License-Identifier: Apache-2.0
#include "bench/request_parts.h"

#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "bench/allocations.h"
#include "bench/stage.h"
#include "dataplane/front/infer_request.h"
#include "dataplane/front/infer_response.h"
#include "dataplane/routing/plan.h"
#include "dataplane/runtime/xgboost/xgboost_runtime.h"

namespace weir::bench {
namespace {

using node::front::InferRequest;
namespace routing = node::routing;
namespace runtime = node::runtime;

// Keeps a copy of what the version answered, to write it later.
class LastAnswer final : public runtime::Sink {
 public:
  void OnHead() override {}
  void OnChunk(std::span<const runtime::TensorView> outputs) override {
    const auto data = outputs[0].data;
    bytes_.assign(data.begin(), data.end());
    shape_.assign(outputs[0].shape.begin(), outputs[0].shape.end());
    view_ = {outputs[0].name, outputs[0].datatype, shape_, bytes_};
  }
  void OnEnd(Status status, const runtime::Usage&) override { status_ = std::move(status); }
  const runtime::TensorView& view() const { return view_; }
  const Status& status() const { return status_; }

 private:
  std::vector<std::byte> bytes_;
  std::vector<int64_t> shape_;
  runtime::TensorView view_;
  Status status_ = Internal("it did not answer");
};

decision::Ruleset Rules() {
  decision::Ruleset rules;
  domain::ModelEntry model;
  model.name = kModel;
  model.stable = kStable;
  model.versions = {{kStable, "xgboost", "", {}}, {kCandidate, "xgboost", "", {}}};
  model.inputs = {{"features", "FP32", {-1, 12}}};
  rules.Set(model);
  domain::SplitEntry split;
  split.rollout = "bench";
  split.model = kModel;
  split.candidate = kCandidate;
  split.threshold = 10'000;
  split.hash_key = "user_id";
  split.seed = kModel;
  rules.Set(split);
  return rules;
}

runtime::Tensor Repeated(const runtime::Tensor& row, size_t times) {
  runtime::Tensor batch = row;
  batch.shape[0] *= static_cast<int64_t>(times);
  for (size_t i = 1; i < times; ++i)
    batch.data.insert(batch.data.end(), row.data.begin(), row.data.end());
  return batch;
}

template <class Part>
double MedianUs(const Rounds& rounds, Part part) {
  std::vector<double> batches;
  for (size_t i = 0; i < rounds.batches; ++i) batches.push_back(BatchNs(rounds.per_batch, part));
  return Median(std::move(batches)) / 1000;
}

}  // namespace

Result<RequestParts> MeasureRequestParts(const Rounds& rounds) {
  WEIR_ASSIGN_OR_RETURN(const std::vector<std::string> bodies, RequestBodies());
  WEIR_ASSIGN_OR_RETURN(const std::string file, ModelFile());
  WEIR_ASSIGN_OR_RETURN(const std::shared_ptr<runtime::Version> version,
                        runtime::MakeXgboostRuntime()->Load({kModel, kStable, file}));
  WEIR_RETURN_IF_ERROR(version->WarmUp());
  routing::Recorders recorders;
  const runtime::VersionTable versions(
      {{{kModel, kStable}, version}, {{kModel, kCandidate}, version}}, {});
  const auto plan = routing::Plan::Build(std::make_shared<const decision::Ruleset>(Rules()),
                                         &versions, recorders);
  const routing::ModelPlan& model = *plan->Find(kModel);
  node::front::InferReader reader;
  std::vector<InferRequest> requests(bodies.size());
  for (size_t i = 0; i < bodies.size(); ++i)
    WEIR_RETURN_IF_ERROR(reader.Read(bodies[i], model.inputs, &requests[i]));
  InferRequest request;
  LastAnswer answer;
  node::front::InferWriter writer;
  routing::Route route;

  const auto read = [&](size_t i) {
    Keep(reader.Read(bodies[i % bodies.size()], model.inputs, &request).ok());
  };
  const auto decide = [&](size_t i) {
    route = plan->Decide(*plan->Find(kModel), requests[i % requests.size()].keys(), i);
    Keep(route.target);
  };
  const auto predict = [&](size_t i) {
    const runtime::Request input{requests[i % requests.size()].inputs()};
    version->Start(input, INT64_MAX, {}, answer);
  };
  const auto write = [&](size_t) {
    writer.Begin(kModel, kStable, "");
    writer.Add({&answer.view(), 1}, {});
    Keep(writer.Finish().size());
  };
  const auto record = [&](size_t i) {
    route.target->recorder->Answer(0.05, false, static_cast<uint32_t>(i));
  };
  RequestParts parts;
  parts.read_us = MedianUs(rounds, read);
  parts.decide_us = MedianUs(rounds, decide);
  parts.predict_us = MedianUs(rounds, predict);
  if (!answer.status().ok()) return answer.status();
  parts.write_us = MedianUs(rounds, write);
  parts.record_us = MedianUs(rounds, record);
  const runtime::Tensor batch = Repeated(requests[0].inputs()[0], kBatch);
  const runtime::Request batched{{&batch, 1}};
  const double call_us =
      MedianUs(rounds, [&](size_t) { version->Start(batched, INT64_MAX, {}, answer); });
  if (!answer.status().ok()) return answer.status();
  parts.batched_predict_us = call_us / kBatch;
  const uint64_t before = Allocations();
  for (size_t i = 0; i < bodies.size(); ++i) {
    read(i);
    decide(i);
    predict(i);
    write(i);
    record(i);
  }
  parts.allocations =
      static_cast<double>(Allocations() - before) / static_cast<double>(bodies.size());
  return parts;
}

void AddParts(const RequestParts& parts, double request_us, Report& report) {
  const bool whole = request_us > 0;
  const double yardstick_us = whole ? request_us : parts.sum_us();
  const auto add = [&](const char* name, double value_us) {
    report.Add({.name = name,
                .value = value_us,
                .unit = "µs",
                .yardstick = whole ? "node CPU time of a request" : "all parts in process",
                .yardstick_value = yardstick_us});
  };
  add("  request: JSON read and checked", parts.read_us);
  add("  request: decision", parts.decide_us);
  add("  request: model (80 trees)", parts.predict_us);
  add("  request: JSON written", parts.write_us);
  add("  request: recorded", parts.record_us);
  report.Add({.name = fmt::format("  (model, a row of a call with {} rows)", kBatch),
              .value = parts.batched_predict_us,
              .unit = "µs",
              .yardstick = "a call with one row",
              .yardstick_value = parts.predict_us});
  report.Add({.name = "  allocations of these parts",
              .value = parts.allocations,
              .unit = "",
              .yardstick = "",
              .yardstick_value = 0});
}

}  // namespace weir::bench
