// SPDX-License-Identifier: Apache-2.0
#include "ops/fraud_models/booster.h"

#include <fmt/format.h>
#include <xgboost/c_api.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <utility>

namespace weir::ops {
namespace {

struct FreeMatrix {
  void operator()(void* handle) const { XGDMatrixFree(handle); }
};
using Matrix = std::unique_ptr<void, FreeMatrix>;

// XGBoost's own words without its time stamp, source line and stack trace.
Status XgboostError(const char* what) {
  std::string message = XGBGetLastError();
  message = message.substr(0, message.find('\n'));
  const size_t check = message.find("Check failed");
  if (check != std::string::npos) message = message.substr(check);
  return FailedPrecondition(fmt::format("{}: {}", what, message));
}

std::string ArrayInterface(const Dataset& data) {
  return fmt::format(R"({{"data":[{},true],"shape":[{},{}],"typestr":"<f4","version":3}})",
                     reinterpret_cast<uintptr_t>(data.values.data()), data.Rows(), data.columns);
}

Result<Matrix> MakeMatrix(const Dataset& data) {
  DMatrixHandle raw = nullptr;
  if (XGDMatrixCreateFromDense(ArrayInterface(data).c_str(), R"({"missing":NaN,"nthread":1})",
                               &raw) != 0) {
    return XgboostError("matrix");
  }
  Matrix matrix(raw);
  std::vector<const char*> names(kFeatureNames.begin(),
                                 kFeatureNames.begin() + static_cast<ptrdiff_t>(data.columns));
  if (XGDMatrixSetFloatInfo(raw, "label", data.labels.data(), data.Rows()) != 0 ||
      XGDMatrixSetStrFeatureInfo(raw, "feature_name", names.data(), names.size()) != 0) {
    return XgboostError("labels");
  }
  return matrix;
}

}  // namespace

Result<Booster> Booster::Train(const Dataset& data, const TrainOptions& options) {
  WEIR_ASSIGN_OR_RETURN(Matrix matrix, MakeMatrix(data));
  const DMatrixHandle matrices[] = {matrix.get()};
  BoosterHandle raw = nullptr;
  if (XGBoosterCreate(matrices, 1, &raw) != 0) return XgboostError("create");
  Booster booster(raw);
  const std::pair<const char*, std::string> parameters[] = {
      {"objective", "binary:logistic"},
      {"tree_method", "hist"},
      {"max_bin", "64"},
      {"nthread", "1"},
      {"seed", "7"},
      {"max_depth", fmt::format("{}", options.depth)},
      {"eta", fmt::format("{}", options.learning_rate)},
      {"min_child_weight", "3"},
  };
  for (const auto& [name, value] : parameters) {
    if (XGBoosterSetParam(raw, name, value.c_str()) != 0) return XgboostError(name);
  }
  for (int tree = 0; tree < options.trees; ++tree) {
    if (XGBoosterUpdateOneIter(raw, tree, matrix.get()) != 0) return XgboostError("train");
  }
  return booster;
}

Booster::~Booster() {
  if (handle_ != nullptr) XGBoosterFree(handle_);
}

Result<std::vector<float>> Booster::Predict(const Dataset& data) const {
  constexpr const char* kConfig =
      R"({"type":0,"training":false,"iteration_begin":0,"iteration_end":0,)"
      R"("strict_shape":false,"cache_id":0,"missing":NaN})";
  const bst_ulong* shape = nullptr;
  bst_ulong dimensions = 0;
  const float* scores = nullptr;
  if (XGBoosterPredictFromDense(handle_, ArrayInterface(data).c_str(), kConfig, nullptr, &shape,
                                &dimensions, &scores) != 0) {
    return XgboostError("predict");
  }
  return std::vector<float>(scores, scores + data.Rows());
}

Result<std::string> Booster::ToJson() const {
  bst_ulong size = 0;
  const char* bytes = nullptr;
  if (XGBoosterSaveModelToBuffer(handle_, R"({"format":"json"})", &size, &bytes) != 0) {
    return XgboostError("save");
  }
  return std::string(bytes, size);
}

Quality Measure(const std::vector<float>& predictions, const std::vector<float>& labels) {
  std::vector<size_t> order(predictions.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return predictions[a] < predictions[b]; });
  double frauds = 0;
  double pairs_won = 0;  // (fraud, honest) with the fraud above; ties count half
  double honest_below = 0;
  for (size_t i = 0; i < order.size();) {
    double tied_frauds = 0;
    double tied_honest = 0;
    const float score = predictions[order[i]];
    for (; i < order.size() && predictions[order[i]] == score; ++i) {
      (labels[order[i]] > 0.5F ? tied_frauds : tied_honest) += 1;
    }
    pairs_won += tied_frauds * (honest_below + tied_honest / 2);
    honest_below += tied_honest;
    frauds += tied_frauds;
  }
  double loss = 0;
  for (size_t i = 0; i < predictions.size(); ++i) {
    const double p = std::clamp(static_cast<double>(predictions[i]), 1e-7, 1 - 1e-7);
    loss -= labels[i] > 0.5F ? std::log(p) : std::log1p(-p);
  }
  return {pairs_won / (frauds * honest_below), loss / static_cast<double>(predictions.size())};
}

}  // namespace weir::ops
