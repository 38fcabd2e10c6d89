// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>

#include "dataplane/front/metrics_text.h"
#include "dataplane/front/process_metrics.h"
#include "shared/base/build_info.h"

namespace weir::node::front {
namespace {

constexpr char kFlagPrefix[] = "weir_feature_flags";

void WriteRequests(const RequestCounters& requests, MetricsText& text) {
  const auto each_row = [&](auto&& visit) {
    for (size_t i = 0; i < kEndpoints; ++i) {
      const auto endpoint = static_cast<Endpoint>(i);
      if (!requests.row(endpoint).by_status.empty()) visit(endpoint, requests.row(endpoint));
    }
  };
  text.Family("weir_requests_total", "counter", "Answers by endpoint and HTTP status.");
  each_row([&](Endpoint endpoint, const RequestCounters::Row& row) {
    for (const auto& [status, count] : row.by_status) {
      text.Value(fmt::format("endpoint=\"{}\",status=\"{}\"", EndpointName(endpoint), status),
                 count);
    }
  });
  text.Family("weir_request_duration_seconds", "histogram", "From a request read to its answer.");
  each_row([&](Endpoint endpoint, const RequestCounters::Row& row) {
    text.Histogram(fmt::format("endpoint=\"{}\"", EndpointName(endpoint)), row.duration);
  });
  text.Family("weir_errors_total", "counter", "Answers that are errors, by type and endpoint.");
  each_row([&](Endpoint endpoint, const RequestCounters::Row& row) {
    std::map<std::string, uint64_t> by_type;
    for (const auto& [status, count] : row.by_status) by_type[ErrorType(status)] += count;
    for (const auto& [type, count] : by_type) {
      if (type.empty()) continue;
      text.Value(fmt::format("type=\"{}\",endpoint=\"{}\"", type, EndpointName(endpoint)), count);
    }
  });
}

void WriteArms(const routing::Recorders::Totals& arms, MetricsText& text) {
  const auto version_of = [](const telemetry::SeriesKey& key) {
    return fmt::format("model=\"{}\",model_version=\"{}\"",
                       EscapeLabel(std::string_view(key.subject).substr(sizeof("model/") - 1)),
                       EscapeLabel(key.version));
  };
  const auto labels = [&](const telemetry::SeriesKey& key) {
    return fmt::format("{},arm=\"{}\"", version_of(key), key.arm);
  };
  text.Family("weir_inference_requests_total", "counter", "Judged answers of a model version.");
  for (const auto& [key, totals] : arms) text.Value(labels(key), totals.requests);
  text.Family("weir_inference_errors_total", "counter", "Judged answers that were bad.");
  for (const auto& [key, totals] : arms) text.Value(labels(key), totals.errors);
  text.Family("weir_inference_duration_seconds", "histogram", "Latency of judged answers.");
  for (const auto& [key, totals] : arms) text.Histogram(labels(key), totals.duration);
  text.Family("weir_inference_diverted_total", "counter",
              "Requests for a canary that is not ready here or whose breaker is open, answered by "
              "stable, in neither arm.");
  for (const auto& [key, totals] : arms) {
    if (key.arm == telemetry::kArmCanary) text.Value(labels(key), totals.diverted);
  }
  text.Family("weir_fallbacks_total", "counter",
              "Requests that failed on a canary and that stable answered instead.");
  for (const auto& [key, totals] : arms) {
    if (key.arm == telemetry::kArmCanary) text.Value(version_of(key), totals.fallbacks);
  }
}

void WriteBreakers(const breaker::Breakers::States& states, MetricsText& text) {
  text.Family("weir_breaker_state", "gauge",
              "Of a canary's breaker: 0 closed, 1 open, 0.5 probing; the highest of all workers.");
  for (const auto& [key, state] : states) {
    text.Value(fmt::format("model=\"{}\",model_version=\"{}\"", EscapeLabel(key.first),
                           EscapeLabel(key.second)),
               state);
  }
}

void WriteUpstreams(const std::vector<std::pair<breaker::VersionKey, runtime::Upstream>>& upstreams,
                    MetricsText& text) {
  text.Family(
      "weir_upstream_state", "gauge",
      "Of a service's url: 0 in the balancing, 1 left out since it answers badly, 0.5 being "
      "tried again.");
  for (const auto& [key, upstream] : upstreams) {
    text.Value(
        fmt::format("model=\"{}\",model_version=\"{}\",upstream=\"{}\"", EscapeLabel(key.first),
                    EscapeLabel(key.second), EscapeLabel(upstream.url)),
        breaker::ShownState(upstream.state));
  }
}

void WriteGates(const std::vector<admission::GateView>& gates, MetricsText& text) {
  const auto model_of = [](const admission::GateView& gate) {
    return fmt::format("model=\"{}\"", EscapeLabel(gate.model));
  };
  text.Family("weir_admission_limit", "gauge",
              "Requests of a model that may be in work here at once; 0: as many as come.");
  for (const auto& gate : gates) text.Value(model_of(gate), gate.slots);
  text.Family("weir_admission_inflight", "gauge", "Requests of a model with a limit in work here.");
  for (const auto& gate : gates) text.Value(model_of(gate), gate.inflight);
  text.Family("weir_admission_queue_length", "gauge", "Requests that wait here for a slot.");
  for (const auto& gate : gates) text.Value(model_of(gate), gate.waiting);
  text.Family("weir_admission_shed_total", "counter", "Requests turned away here, by reason.");
  for (const auto& gate : gates) {
    for (size_t i = 1; i < gate.refused.size(); ++i) {
      const auto reason = static_cast<admission::Refusal>(i);
      text.Value(fmt::format("{},reason=\"{}\"", model_of(gate), RefusalName(reason)),
                 gate.refused[i]);
    }
  }
  text.Family(
      "weir_governor_u", "gauge",
      "Share of a model's requests that the governor turns away, the least important first.");
  for (const auto& gate : gates) {
    if (gate.u.has_value()) text.Value(model_of(gate), *gate.u);
  }
}

void WriteOutcomes(const outcomes::Totals& outcomes, MetricsText& text) {
  text.Family(
      "weir_outcomes_total", "counter",
      "Outcomes posted: accepted, late (beyond the attribution window), rejected, or dropped "
      "(one metric more than an arm may have).");
  text.Value("result=\"accepted\"", outcomes.accepted);
  text.Value("result=\"late\"", outcomes.late);
  text.Value("result=\"rejected\"", outcomes.rejected);
  text.Value("result=\"dropped\"", outcomes.dropped);
}

void WriteRefused(const std::array<uint64_t, access::kScopes>& refused, MetricsText& text) {
  text.Family("weir_auth_refusals_total", "counter",
              "Callers without a token that has the scope, where one is required.");
  for (size_t i = 0; i < refused.size(); ++i) {
    text.Value(fmt::format("scope=\"{}\"", access::ScopeName(static_cast<access::Scope>(i))),
               refused[i]);
  }
}

void WriteBatches(const runtime::BatchSizes& sizes, MetricsText& text) {
  text.Family("weir_batch_size", "histogram", "Requests that ran as one call of a version.");
  uint64_t count = 0;
  for (size_t i = 0; i < sizes.counts.size(); ++i) {
    count += sizes.counts[i];
    const bool last = i == runtime::BatchSizes::kBounds;
    text.Value("_bucket", last ? "le=\"+Inf\"" : fmt::format("le=\"{}\"", size_t{1} << i), count);
  }
  text.Value("_sum", "", sizes.requests);
  text.Value("_count", "", count);
}

void WriteRules(const MetricsSample& sample, int64_t wall_ms, MetricsText& text) {
  if (sample.rules == nullptr) return;
  const decision::Ruleset& rules = *sample.rules;
  text.Family("weir_snapshot_version", "gauge", "Version of the snapshot in force.");
  text.Value("", rules.version);
  text.Family("weir_snapshot_epoch", "gauge", "Epoch of the snapshot in force.");
  text.Value("", rules.epoch);
  text.Family("weir_kill_switch", "gauge", "1 while the kill switch is on.");
  text.Value("", rules.emergency.kill_switch ? 1 : 0);
  text.Family("weir_rollback_to_baseline", "gauge", "1 while everything is sent to stable.");
  text.Value("", rules.emergency.baseline ? 1 : 0);
  text.Family("weir_fault_rehearsal", "gauge", "1 while a fault is rehearsed on a version.");
  rules.models().ForEach([&](const decision::Model& model) {
    for (const domain::VersionEntry& entry : model.versions) {
      if (!entry.fault.has_value()) continue;
      text.Value(fmt::format("model=\"{}\",model_version=\"{}\"", EscapeLabel(model.name),
                             EscapeLabel(entry.version)),
                 entry.fault->expires_wall_ms > wall_ms ? 1 : 0);
    }
  });
}

void WriteFlagsAs(const std::string& prefix, const flags::TotalsByFlag& totals,
                  const decision::Ruleset& rules, int64_t wall_ms, MetricsText& text) {
  text.Family(prefix + "_decisions_total", "counter", "Decisions on a flag by outcome.");
  for (const auto& [flag, total] : totals) {
    const std::string feature = fmt::format("feature=\"{}\"", EscapeLabel(flag));
    text.Value(feature + ",enabled=\"true\"", total.enabled);
    text.Value(feature + ",enabled=\"false\"", total.disabled);
  }
  text.Family(prefix + "_rollout_percentage", "gauge", "Share of keys a flag is on for now.");
  std::map<std::string_view, domain::FinePercent> shares;
  rules.flags().ForEach([&](const decision::Flag& flag) {
    if (!flag.IsVariant()) shares[flag.name] = decision::ShareNow(rules, flag, wall_ms);
  });
  for (const auto& [flag, share] : shares) {
    text.Value(fmt::format("feature=\"{}\"", EscapeLabel(flag)), share / 1000.0);
  }
  text.Family(prefix + "_kill_switch", "gauge",
              "The kill switch as a label, and 1 while it is on.");
  const bool killed = rules.emergency.kill_switch;
  text.Value(fmt::format("value=\"{}\"", killed), killed ? 1 : 0);
}

void WriteFlags(const flags::TotalsByFlag& totals, const decision::Ruleset& rules, int64_t wall_ms,
                MetricsText& text) {
  const domain::ObservabilitySpec& wanted = rules.observability();
  if (!wanted.export_metrics) return;
  WriteFlagsAs(kFlagPrefix, totals, rules, wall_ms, text);
  if (wanted.metric_prefix.empty() || wanted.metric_prefix == kFlagPrefix) return;
  WriteFlagsAs(wanted.metric_prefix, totals, rules, wall_ms, text);
}

void WriteVersions(const std::vector<runtime::VersionStatus>& versions, MetricsText& text) {
  if (versions.empty()) return;
  text.Family("weir_model_version_state", "gauge", "1 for the state each version is in.");
  for (const runtime::VersionStatus& status : versions) {
    text.Value(
        fmt::format("model=\"{}\",model_version=\"{}\",state=\"{}\"", EscapeLabel(status.model),
                    EscapeLabel(status.version), StateName(status.state)),
        1);
  }
}

void WriteStatus(const NodeStatusView& status, const Clock& clock, MetricsText& text) {
  if (const auto age_ms = SnapshotAgeMs(status, clock.MonotonicMs(), clock.WallMs())) {
    text.Family("weir_snapshot_age_seconds", "gauge",
                "Since the snapshot in force was last known to be the newest.");
    text.Value("", static_cast<double>(*age_ms) / 1000);
  }
  text.Family("weir_snapshot_stale", "gauge", "1 while the control plane is not heard from.");
  text.Value("", status.stale ? 1 : 0);
  text.Family("weir_snapshot_nacks_total", "counter", "Snapshot entries refused.");
  text.Value("", status.nacks);
  text.Family("weir_telemetry_pending_batches", "gauge", "Telemetry not yet acknowledged.");
  text.Value("", status.pending_batches);
}
}  // namespace

const char* EndpointName(Endpoint endpoint) {
  constexpr std::array<const char*, kEndpoints> kNames = {
      "infer",   "predict", "metadata", "health",   "ready",   "select",
      "explain", "ofrep",   "outcomes", "override", "metrics", "other"};
  return kNames[static_cast<size_t>(endpoint)];
}

const char* ErrorType(int status) {
  switch (status) {
    case 400:
    case 405:
      return "bad_request";
    case 404:
      return "not_found";
    case 429:
      return "shed";
    case 499:
      return "cancelled";
    case 503:
      return "not_ready";
    case 504:
      return "timeout";
    default:
      return status >= 500 ? "internal" : "";
  }
}

void RequestCounters::Count(Endpoint endpoint, int status, double seconds) {
  Row& row = rows_[static_cast<size_t>(endpoint)];
  row.duration.Add(seconds);
  for (auto& [known, count] : row.by_status) {
    if (known == status) {
      ++count;
      return;
    }
  }
  row.by_status.emplace_back(status, 1);
}

void RequestCounters::Merge(const RequestCounters& other) {
  for (size_t i = 0; i < kEndpoints; ++i) {
    rows_[i].duration.Merge(other.rows_[i].duration);
    for (const auto& [status, count] : other.rows_[i].by_status) {
      auto& mine = rows_[i].by_status;
      const auto found = std::find_if(mine.begin(), mine.end(),
                                      [&](const auto& pair) { return pair.first == status; });
      if (found == mine.end()) {
        mine.emplace_back(status, count);
      } else {
        found->second += count;
      }
    }
  }
}

std::string RenderMetrics(const std::vector<MetricsSample>& samples, const Clock& clock) {
  RequestCounters requests;
  routing::Recorders::Totals arms;
  flags::TotalsByFlag flags;
  runtime::BatchSizes batches;
  outcomes::Totals outcomes;
  std::array<uint64_t, access::kScopes> refused{};
  breaker::Breakers::States breakers;
  for (const MetricsSample& sample : samples) {
    requests.Merge(sample.requests);
    batches.Merge(sample.batches);
    outcomes.Merge(sample.outcomes);
    for (size_t i = 0; i < refused.size(); ++i) refused[i] += sample.refused[i];
    for (const auto& [flag, totals] : sample.flags) {
      flags[flag].enabled += totals.enabled;
      flags[flag].disabled += totals.disabled;
    }
    for (const auto& [key, totals] : sample.arms) arms[key].Merge(totals);
    for (const auto& [key, state] : sample.breakers) {
      breakers[key] = std::max(breakers[key], state);
    }
  }
  MetricsText text;
  text.Family("weir_build_info", "gauge", "Always 1.");
  text.Value(fmt::format("version=\"{}\",build_type=\"{}\"", BuildVersion(), BuildType()), 1);
  WriteRequests(requests, text);
  WriteArms(arms, text);
  WriteBreakers(breakers, text);
  WriteBatches(batches, text);
  WriteOutcomes(outcomes, text);
  WriteRefused(refused, text);
  if (!samples.empty()) {
    const MetricsSample& first = samples.front();
    WriteUpstreams(first.upstreams, text);
    WriteGates(first.gates, text);
    WriteRules(first, clock.WallMs(), text);
    if (first.rules != nullptr) WriteFlags(flags, *first.rules, clock.WallMs(), text);
    text.Family("weir_override_active", "gauge", "1 while an operator forces something here.");
    text.Value("", first.overrides != nullptr && first.overrides->is_active ? 1 : 0);
    WriteVersions(first.versions, text);
    if (first.status != nullptr) WriteStatus(*first.status, clock, text);
  }
  WriteProcess(clock, text);
  return text.Take();
}

}  // namespace weir::node::front
