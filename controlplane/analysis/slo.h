// SPDX-License-Identifier: Apache-2.0
// Whether an objective (domain::SloSpec) holds. JudgeSlo is the whole rule, from recorded numbers
// to a verdict: what an act's evidence holds is given to it again and says the same. SloWatch takes
// the readings, keeps how long something lasts, and tells edges. Pure; times in ms, monotonic
// unless they are called wall.
//
// `for` counts the time in which it was seen to be missed: neither the time in which no telemetry
// of the model came, nor that between two processes.
//
// Levels: below min_samples there is no data, which is neither good nor bad. Past `threshold`
// (does not hold `comparison`) for `for` is violated; past `warning` for `for` warns; so does a
// trend that would reach the threshold within `horizon`. With `target` it is an error budget: a
// page pair of burn rates is a critical violation, a ticket pair a warning (JUDGEMENT), each only
// where both of its windows exceed the factor; value and threshold are then burn rates.
//
// Severity of a violation, where the objective names none, by value / threshold (threshold / value
// where the value must not be low): up to 1.1 info, to 1.5 warning, to 2 high, above critical; with
// a `warning` level at least warning, since the milder one came first.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "controlplane/analysis/slo_window.h"
#include "controlplane/analysis/trend.h"
#include "shared/base/status.h"
#include "shared/domain/policy.h"

namespace weir::control::analysis {

enum class SloState { kNoData, kOk, kWarning, kViolated };
const char* SloStateName(SloState state);  // "no_data", "ok", "warning", "violated"

// A pair of windows, and how fast the budget went in each: (bad / total) / (1 - target).
struct BurnReading {
  int64_t long_ms = 0;
  int64_t short_ms = 0;
  double factor = 0;
  bool is_page = false;
  BurnCount longer{};
  BurnCount shorter{};
};

// Everything that a verdict rests on.
struct SloReading {
  std::optional<double> value{};
  uint64_t samples = 0;
  int64_t covered_ms = 0;
  std::string gap{};      // since when no more is covered: "n2 was silent"
  int64_t missed_ms = 0;  // the threshold has been missed for so long, without a break
  int64_t warned_ms = 0;  // the same of the warning level
  std::optional<Trend> trend{};
  std::vector<BurnReading> burns{};
  // What the value was computed from, where it is a quotient.
  uint64_t requests = 0;
  uint64_t bad = 0;
  uint64_t shed = 0;
  uint64_t tokens = 0;
};
nlohmann::json ToJson(const SloReading& reading);
// DataLoss on what ToJson did not write.
Result<SloReading> SloReadingFromJson(const nlohmann::json& json);

struct SloVerdict {
  SloState state = SloState::kNoData;
  std::string severity{};  // of warning and violated, else ""
  std::optional<double> value{};
  double threshold = 0;
  std::string text{};  // one sentence with the numbers
};
SloVerdict JudgeSlo(const domain::SloSpec& slo, const SloReading& reading);

// Whether a value does not hold `comparison` `threshold`.
bool IsPast(const std::string& comparison, double value, double threshold);
// How far past, as a factor; 1 at the threshold, infinite where one of them is 0.
double HowFarPast(const std::string& comparison, double value, double threshold);
std::string SeverityByFactor(double factor);
// Of the objective, or its metric's default.
uint64_t MinSamplesOf(const domain::SloSpec& slo);
// How long it must be good before its alert ends. Of the objective, or its window, since within one
// an old answer and a new one come from the same requests; at most kLongestHoldMs, which is that of
// a budget, whose shortest window it is.
int64_t HoldMsOf(const domain::SloSpec& slo);
inline constexpr int64_t kLongestHoldMs = 300'000;
// The four pairs, longest alarms first.
std::vector<BurnReading> BurnPairs();

// What nodes say of themselves, the worst of them; absent where none says it.
struct NodeReadings {
  std::optional<double> staleness_s{};
  std::optional<double> memory_bytes{};
  uint64_t nodes = 0;
};

// Whether what nodes count of a model arrives.
struct SloHearing {
  std::string gap{};     // whose does not: "n2 was silent"; "": all of it does
  bool is_deaf = false;  // none does
};

// One objective about one model ("" where it is about nodes). On one thread.
class SloWatch {
 public:
  enum class Edge { kNone, kViolated, kWarned, kRecovered, kChanged };

  // `window` is shared by watches that look at the same; null for a metric of nodes.
  SloWatch(domain::SloSpec slo, std::string model, std::shared_ptr<SloWindow> window);

  // kChanged: another severity. What was told as violated or warned is told as recovered once it
  // has been good for HoldMsOf, or has had no data for kForgetMs or a window, the longer of the
  // two: a value that swings around its threshold is one violation.
  // A minimum of a rate has no data while there is a gap in what is heard, nor until a whole window
  // was heard since: what came meanwhile is not in the window, or was never counted.
  Edge Evaluate(const NodeReadings& nodes, int64_t now_ms, int64_t now_wall_ms,
                const SloHearing& hearing = {});

  const domain::SloSpec& slo() const { return slo_; }
  const std::string& model() const { return model_; }
  const SloVerdict& verdict() const { return verdict_; }
  const SloReading& reading() const { return reading_; }
  int64_t since_wall_ms() const { return since_wall_ms_; }
  // Told as violated or warned, and not as recovered yet; its verdict may be good again.
  bool IsFiring() const { return told_ != SloState::kOk; }
  // The severity that was told last.
  const std::string& told_severity() const { return told_severity_; }
  SloWindow* window() const { return window_.get(); }

  // What must survive a restart: what was told, and how long something has lasted.
  nlohmann::json Save() const;
  void Restore(const nlohmann::json& saved, int64_t now_ms);

  static constexpr int64_t kForgetMs = 300'000;

 private:
  SloReading Read(const NodeReadings& nodes, int64_t now_ms) const;
  // Takes away what was not heard.
  void CoverGap(SloReading& reading, int64_t now_ms, const SloHearing& hearing);
  void Clock(SloReading& reading, int64_t now_ms, int64_t passed_ms, bool is_deaf);
  Edge Tell(int64_t now_ms);
  // What the verdict comes to for those who are told.
  SloState Settled(int64_t now_ms);

  const domain::SloSpec slo_;
  const std::string model_;
  const std::shared_ptr<SloWindow> window_;
  SloReading reading_;
  SloVerdict verdict_;
  int64_t since_wall_ms_ = 0;
  int64_t looked_ms_ = 0;  // 0: not yet
  // Since when, the time that does not count left out.
  std::optional<int64_t> missed_ms_;
  std::optional<int64_t> warned_ms_;
  std::optional<int64_t> silent_ms_;
  std::optional<int64_t> gap_ms_;  // the last look at which there was a gap
  std::string gap_;
  // While it is told as something else; anew after a restart.
  std::optional<int64_t> good_since_ms_;
  SloState told_ = SloState::kOk;  // kOk, kWarning or kViolated
  int64_t told_since_wall_ms_ = 0;
  std::string told_severity_;
};

}  // namespace weir::control::analysis
