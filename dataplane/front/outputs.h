// SPDX-License-Identifier: Apache-2.0
// The numbers in an answer: the few that drift is judged by, and those that a shadow's answer is
// held against. Kept for its memory; one request at a time.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/runtime/runtime.h"
#include "dataplane/runtime/tensor.h"

namespace weir::node::front {

class Outputs {
 public:
  static constexpr size_t kMaxFirsts = 16;                 // of one answer
  static constexpr size_t kMaxNumbers = 4096;              // that are compared
  static constexpr size_t kMaxJson = size_t{1024} * 1024;  // bytes that are compared

  void Clear();
  // As Clear, and of its memory no more than about `kept_bytes` stays.
  void LetGo(size_t kept_bytes);
  // `whole`: for a comparison. Otherwise only first() is filled.
  void TakeTensors(std::span<const runtime::TensorView> outputs, bool whole);
  void TakeJson(const runtime::JsonAnswer& answer, bool whole);
  // False when the answer was too large to be kept whole.
  bool IsComparable() const { return !is_large_; }

  // The first number of each row of the first output, but finite ones only; of a service the first
  // number of all.
  std::span<const double> firsts() const { return {firsts_.data(), first_count_}; }

 private:
  friend class OutputComparer;
  void AddFirst(double value);

  std::array<double, kMaxFirsts> firsts_{};
  size_t first_count_ = 0;
  // The first output, for a comparison: numbers, or JSON that is read when it comes to that.
  std::vector<double> numbers_;
  std::string json_;
  bool is_json_ = false;
  bool is_oip_ = false;
  bool is_large_ = false;
};

// One per worker: it owns the parser's memory.
class OutputComparer {
 public:
  static constexpr double kTolerance = 1e-6;  // relative

  OutputComparer();
  ~OutputComparer();

  // Whether two answers say the same in their first outputs: as many numbers, each within
  // kTolerance, and the same text, if there is any. Of answers of /predict the first number, or
  // without one the whole text. Both were taken whole and are comparable.
  bool AreAlike(Outputs& a, Outputs& b);

 private:
  struct Parser;
  // Numbers of a JSON answer into numbers_; json_ keeps what is no number.
  void Read(Outputs& outputs);
  std::unique_ptr<Parser> parser_;
};

}  // namespace weir::node::front
