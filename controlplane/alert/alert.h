// SPDX-License-Identifier: Apache-2.0
// One alert, and who knows what of it. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "controlplane/alert/observation.h"
#include "controlplane/store/records.h"
#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/domain/resource.h"

namespace weir::control::alert {

// The states of an alert, as texts.
inline constexpr char kFiring[] = "firing";
inline constexpr char kAcknowledged[] = "acknowledged";
inline constexpr char kSilenced[] = "silenced";
inline constexpr char kResolved[] = "resolved";

// What one sink was told last.
struct Told {
  int64_t at_wall_ms = 0;
  int rank = -1;      // the worst severity it was told of, domain::SeverityRank; -1: tell it again
  std::string state;  // firing | acknowledged | resolved
  uint64_t count = 0;
};

struct Alert {
  // `told` is empty in here: it is below, until it is stored.
  store::AlertRow row;
  std::map<std::string, Told> told;  // by sink
  int64_t seen_ms = 0;               // observed last, monotonic
  int64_t lasts_ms = 0;              // not observed for so long, it has ended
  bool tells = true;                 // sinks are told by the desk

  bool IsOpen() const { return row.resolved_wall_ms == 0; }
};

// What makes two observations the same alert.
std::string KeyOf(const Observation& observation);
std::string KeyOf(const store::AlertRow& row);

// "a17" ↔ 17. NotFound: it is not of that shape.
std::string IdText(uint64_t id);
Result<uint64_t> ParseId(const std::string& text);

store::AlertRow ToRow(const Alert& alert);
// What `told` says is taken as far as it can be read.
Alert FromRow(store::AlertRow row);

// "error-budget/p99 of fraud_detection 1.2.0".
std::string SubjectOf(const store::AlertRow& row);

// As GET /v1/alerts shows it.
codec::Json ViewOf(const store::AlertRow& row);

// All of the matchers fit, and it is time.
bool Silences(const domain::SilenceSpec& silence, const store::AlertRow& row, int64_t now_wall_ms);

}  // namespace weir::control::alert
