// SPDX-License-Identifier: Apache-2.0
// /metrics: each worker counts for itself, a scrape adds the workers up and writes Prometheus text.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/access/token_guard.h"
#include "dataplane/admission/gate.h"
#include "dataplane/breaker/breakers.h"
#include "dataplane/flags/desk.h"
#include "dataplane/front/node_status.h"
#include "dataplane/outcomes/service.h"
#include "dataplane/routing/recorder.h"
#include "dataplane/runtime/batcher.h"
#include "dataplane/runtime/versions.h"
#include "shared/base/clock.h"
#include "shared/decision/ruleset.h"

namespace weir::node::front {

enum class Endpoint : uint8_t {
  kInfer,
  kPredict,
  kMetadata,
  kHealth,
  kReady,
  kSelect,
  kExplain,
  kOfrep,
  kOutcomes,
  kOverride,
  kMetrics,
  kOther,
};
inline constexpr size_t kEndpoints = 12;
const char* EndpointName(Endpoint endpoint);  // "infer"

// One worker's answers by endpoint; that worker's thread.
class RequestCounters {
 public:
  void Count(Endpoint endpoint, int status, double seconds);
  void Merge(const RequestCounters& other);

  struct Row {
    std::vector<std::pair<int, uint64_t>> by_status;  // few, in order of appearance
    routing::DurationHistogram duration;
  };
  const Row& row(Endpoint endpoint) const { return rows_[static_cast<size_t>(endpoint)]; }

 private:
  std::array<Row, kEndpoints> rows_;
};

// What one worker gives to a scrape.
struct MetricsSample {
  RequestCounters requests;
  routing::Recorders::Totals arms;
  flags::TotalsByFlag flags;
  runtime::BatchSizes batches;
  outcomes::Totals outcomes;
  std::array<uint64_t, access::kScopes> refused{};
  breaker::Breakers::States breakers;
  std::vector<admission::GateView> gates;  // these two are the node's; of the first worker only
  std::vector<std::pair<breaker::VersionKey, runtime::Upstream>> upstreams;
  // A copy: a scrape must not be the last to hold a version.
  std::vector<runtime::VersionStatus> versions;
  std::shared_ptr<const decision::Ruleset> rules;  // these three may be null
  std::shared_ptr<const NodeStatusView> status;
  std::shared_ptr<const OverridesView> overrides;
};

// Prometheus text (version 0.0.4) of all workers together; rules, versions, status and overrides
// are the first worker's.
std::string RenderMetrics(const std::vector<MetricsSample>& samples, const Clock& clock);

// "requests that failed" by kind, for weir_errors_total; "" for an answer that is no error.
const char* ErrorType(int status);

}  // namespace weir::node::front
