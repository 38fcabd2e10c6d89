// SPDX-License-Identifier: Apache-2.0
// weir_fraud_models: makes the demo's models and its sample of requests; see
// config/models/README.md.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "ops/fraud_models/booster.h"
#include "ops/fraud_models/transactions.h"
#include "shared/base/status.h"
#include "shared/base/text.h"

namespace weir::ops {
namespace {

constexpr uint64_t kTrainSeed = 20251121;
constexpr uint64_t kHoldoutSeed = 20251122;
constexpr uint64_t kRequestSeed = 20251123;
constexpr size_t kTrainRows = 60'000;
constexpr size_t kHoldoutRows = 20'000;
constexpr int kRequests = 500;

struct Release {
  const char* version;
  size_t features;
  TrainOptions options;
};

constexpr Release kReleases[] = {
    {"1.0.0", kServedFeatures, {10, 2, 0.3}},
    {"1.1.0", kServedFeatures, {80, 4, 0.2}},
    {"1.2.0", kAllFeatures, {80, 4, 0.2}},  // what clients send does not fit it
};

// A model that takes the served rows must do so, one that must refuse them must refuse.
Status CheckServedRows(const Release& release, const Booster& booster, const Dataset& served) {
  Status status = booster.Predict(served).status();
  if (release.features == kServedFeatures) return status;
  if (status.ok()) {
    return Internal(
        fmt::format("{} takes {} features; it must not", release.version, kServedFeatures));
  }
  fmt::print("{}  refuses {} features: {}\n", release.version, kServedFeatures, status.message());
  return OkStatus();
}

Status MakeModel(const Release& release, const Dataset& train, const Dataset& holdout,
                 const std::string& directory) {
  const Dataset rows = train.Narrowed(release.features);
  WEIR_ASSIGN_OR_RETURN(const Booster booster, Booster::Train(rows, release.options));
  const Dataset unseen = holdout.Narrowed(release.features);
  WEIR_ASSIGN_OR_RETURN(const auto predictions, booster.Predict(unseen));
  const Quality quality = Measure(predictions, unseen.labels);
  WEIR_ASSIGN_OR_RETURN(const std::string json, booster.ToJson());
  fmt::print("{}  {:2} features  {:3} trees of depth {}  AUC {:.4f}  log-loss {:.4f}  {:6} bytes\n",
             release.version, release.features, release.options.trees, release.options.depth,
             quality.auc, quality.log_loss, json.size());
  WEIR_RETURN_IF_ERROR(CheckServedRows(release, booster, holdout.Narrowed(kServedFeatures)));
  return WriteFileAtomic(fmt::format("{}/fraud_detection-{}.json", directory, release.version),
                         json);
}

// Bodies of POST /v2/models/fraud_detection/infer, one a line.
std::string RequestLines() {
  Random random(kRequestSeed);
  std::string lines;
  for (int user = 1; user <= kRequests; ++user) {
    const auto features = MakeTransaction(random).Features();
    lines += fmt::format(
        R"({{"inputs":[{{"name":"features","shape":[1,{}],"datatype":"FP32","data":[{}]}}],)"
        R"("parameters":{{"user_id":"user-{}"}}}})"
        "\n",
        kServedFeatures, fmt::join(features.begin(), features.begin() + kServedFeatures, ","),
        user);
  }
  return lines;
}

Status MakeAll(const std::string& directory) {
  WEIR_RETURN_IF_ERROR(MakeDirectories(directory));
  const Dataset train = MakeDataset(kTrainSeed, kTrainRows);
  const Dataset holdout = MakeDataset(kHoldoutSeed, kHoldoutRows);
  double frauds = 0;
  for (float label : train.labels) frauds += label;
  fmt::print("{} rows to train ({:.2f} % fraud), {} held out\n", train.Rows(),
             100 * frauds / static_cast<double>(train.Rows()), holdout.Rows());
  for (const Release& release : kReleases) {
    WEIR_RETURN_IF_ERROR(MakeModel(release, train, holdout, directory));
  }
  return WriteFileAtomic(directory + "/requests.jsonl", RequestLines());
}

}  // namespace
}  // namespace weir::ops

int main(int argc, char** argv) {
  CLI::App app("Makes the models fraud_detection 1.0.0, 1.1.0 and 1.2.0 and a sample of requests.");
  std::string directory = "config/models";
  app.add_option("--out", directory, "directory to write to")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const weir::Status status = weir::ops::MakeAll(directory);
  if (!status.ok()) {
    fmt::print(stderr, "weir_fraud_models: {}\n", status.ToString());
    return 1;
  }
  return 0;
}
