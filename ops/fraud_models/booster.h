// SPDX-License-Identifier: Apache-2.0
// Training, scoring and saving with the XGBoost C API. One thread, fixed seed: the same library
// gives the same bytes.
#pragma once

#include <string>
#include <vector>

#include "ops/fraud_models/transactions.h"
#include "shared/base/status.h"

namespace weir::ops {

struct TrainOptions {
  int trees = 0;
  int depth = 0;
  double learning_rate = 0;
};

// Owns one XGBoost booster. One thread.
class Booster {
 public:
  static Result<Booster> Train(const Dataset& data, const TrainOptions& options);
  Booster(Booster&& other) noexcept : handle_(other.handle_) { other.handle_ = nullptr; }
  Booster& operator=(Booster&&) = delete;
  ~Booster();

  // In-place prediction, as a node does it: probabilities of fraud, one per row. FailedPrecondition
  // with XGBoost's own words when the rows have another number of columns than the model.
  Result<std::vector<float>> Predict(const Dataset& data) const;

  Result<std::string> ToJson() const;

 private:
  explicit Booster(void* handle) : handle_(handle) {}
  void* handle_;
};

struct Quality {
  double auc = 0;       // probability that a fraud scores above an honest transaction
  double log_loss = 0;  // mean, natural logarithm
};

Quality Measure(const std::vector<float>& predictions, const std::vector<float>& labels);

}  // namespace weir::ops
