// SPDX-License-Identifier: Apache-2.0
// What the control plane answers the API from more than one module at once.
#include <fmt/format.h>

#include <algorithm>

#include "controlplane/control.h"
#include "shared/base/log.h"
#include "shared/base/text.h"
#include "shared/wire/digest.h"

namespace weir::control {

Result<api::Past> Control::Past(const api::PastQuery& query) {
  api::Past past;
  store::Store& store = engine_->store();
  const api::Span span = query.span;
  uint64_t last = 0;
  if (query.node.empty()) {
    WEIR_ASSIGN_OR_RETURN(past.base, store.RevisionAt(span.from_ms));
    WEIR_ASSIGN_OR_RETURN(last, store.RevisionAt(span.to_ms - 1));
  } else {
    WEIR_ASSIGN_OR_RETURN(past.applied, store.ReadApplied(query.node, span.from_ms, span.to_ms));
    const publish::NodeStatus* node = engine_->nodes()->Find(query.node);
    if (past.applied.empty() && node == nullptr)
      return NotFound(fmt::format("nothing is known of a node \"{}\"", query.node));
    if (node != nullptr) past.labels = node->labels;
    for (const store::AppliedRow& row : past.applied) {
      past.base = past.base == 0 ? row.version : std::min(past.base, row.version);
      last = std::max(last, row.version);
    }
  }
  if (last > past.base + api::Past::kMaxRevisions) {
    return InvalidArgument("at", fmt::format("{} revisions were in force within it; give a "
                                             "narrower moment (seconds)",
                                             last - past.base));
  }
  // The base as well, for its author.
  for (uint64_t revision = std::max<uint64_t>(past.base, 1); revision <= last; ++revision) {
    WEIR_ASSIGN_OR_RETURN(store::RevisionRow row, store.Revision(revision));
    past.revisions.push_back(std::move(row));
  }
  WEIR_ASSIGN_OR_RETURN(past.resources, store.ResourcesAt(past.base, query.kinds));
  WEIR_ASSIGN_OR_RETURN(past.episodes, store.ReadEpisodes(query.node, span.from_ms, span.to_ms));
  return past;
}

Status Control::Enroll(const api::Enrolment& enrolment) {
  if (enrolment.token.empty() && settings_.require_token)
    return FailedPrecondition("an enrolment token is required (--require-token)");
  const std::string hash = enrolment.token.empty() ? "" : wire::Sha256Hex(enrolment.token);
  WEIR_RETURN_IF_ERROR(transport::DecodeKey(enrolment.public_key).status());
  WEIR_RETURN_IF_ERROR(engine_->store().EnrollNode(
      {enrolment.node, enrolment.public_key, clock_.WallMs(), false}, hash));
  Log("publish").info("node {} is enrolled", enrolment.node);
  return bus_->Allow(enrolment.node, enrolment.public_key);
}

Result<codec::Json> Control::CreateToken(int64_t lifetime_ms, const std::string& actor) {
  const std::string token =
      fmt::format("{}.{}", RandomHex(16), transport::Fingerprint(keys_.current().public_key));
  const int64_t now_ms = clock_.WallMs();
  WEIR_RETURN_IF_ERROR(engine_->store().AddEnrollToken(
      {wire::Sha256Hex(token), now_ms, now_ms + lifetime_ms, ""}, actor));
  return codec::Json{{"token", token}, {"expires_at", FormatTimeMs(now_ms + lifetime_ms)}};
}

api::PolicyActions Control::MakePolicyActions() {
  api::PolicyActions actions;
  actions.status = [this](const std::string& policy) { return engine_->policies().View(policy); };
  actions.reset = [this](const std::string& policy, const std::string& actor) {
    return engine_->policies().Reset(policy, actor);
  };
  actions.backtest = [this](const std::string& policy, int64_t from_ms,
                            int64_t to_ms) -> Result<std::function<codec::Json()>> {
    WEIR_ASSIGN_OR_RETURN(auto input, engine_->BacktestOf(policy, from_ms, to_ms));
    return std::function<codec::Json()>(
        [input = std::make_shared<const remedy::BacktestInput>(std::move(input))] {
          return remedy::Backtest(*input);
        });
  };
  return actions;
}

std::string Control::Metrics() const {
  std::string text;
  const auto add = [&text](const char* name, const char* type, const char* label,
                           const std::vector<std::pair<const char*, uint64_t>>& values) {
    text += fmt::format("# TYPE {} {}\n", name, type);
    for (const auto& [value_of_label, value] : values) {
      text += *label == '\0'
                  ? fmt::format("{} {}\n", name, value)
                  : fmt::format("{}{{{}=\"{}\"}} {}\n", name, label, value_of_label, value);
    }
  };
  const auto& batches = counters_.batches;
  const auto files = reloader_ == nullptr ? resources::Reloader::Counters() : reloader_->counters();
  add("weir_telemetry_batches_total", "counter", "result",
      {{"counted", batches.applied},
       {"duplicate", batches.duplicates},
       {"dropped", batches.dropped},
       {"lost", batches.lost}});
  add("weir_telemetry_series_malformed_total", "counter", "", {{"", counters_.series_malformed}});
  add("weir_flag_decisions_dropped_total", "counter", "",
      {{"", engine_->ledger().flags().dropped()}});
  add("weir_flag_samples_left_out_total", "counter", "", {{"", counters_.samples_left_out}});
  add("weir_frames_refused_total", "counter", "", {{"", counters_.frames_refused}});
  add("weir_handshakes_denied_total", "counter", "", {{"", counters_.handshakes_denied}});
  const publish::WireRefusals& wire = counters_.wire;
  add("weir_wire_refused_total", "counter", "reason",
      {{"key", wire.key},
       {"handshake", wire.handshake},
       {"revoked", wire.revoked},
       {"frame", counters_.frames_refused},
       {"multipart", wire.multipart},
       {"unfinished", wire.unfinished},
       {"subscriptions", wire.subscriptions},
       {"crowd", wire.crowd}});
  if (api_ != nullptr && !settings_.tls_cert.empty()) {
    add("weir_tls_handshake_failures_total", "counter", "",
        {{"", api_->counters().handshake_failures}});
  }
  add("weir_resource_files", "gauge", "state",
      {{"applied", files.files_applied}, {"refused", files.files_refused}});
  add("weir_resource_reloads_total", "counter", "result",
      {{"applied", files.applied}, {"refused", files.refused}, {"unchanged", files.unchanged}});
  text += "# TYPE weir_notifications_total counter\n";
  for (const auto& [sink, counts] : notifier_->Counts()) {
    const std::pair<const char*, uint64_t> results[] = {
        {"delivered", counts.delivered}, {"failed", counts.failed}, {"dropped", counts.dropped}};
    for (const auto& [result, count] : results)
      text += fmt::format("weir_notifications_total{{sink=\"{}\",result=\"{}\"}} {}\n", sink,
                          result, count);
  }
  text += engine_->policies().Metrics(clock_.WallMs());
  text += BackupMetrics();
  text += AlertMetrics();
  return text;
}

std::vector<api::Problem> Control::Problems() const {
  std::vector<api::Problem> problems;
  if (reloader_ != nullptr) {
    for (const auto& [file, trouble] : reloader_->troubles()) {
      problems.push_back(
          {"warning", trouble.what, trouble.since_wall_ms, trouble.why, trouble.remedy});
    }
  }
  for (const notify::Trouble& trouble : notifier_->Troubles()) {
    problems.push_back({"warning", fmt::format("sink {} cannot be told", trouble.sink),
                        trouble.since_wall_ms, trouble.why, "weir sink test " + trouble.sink});
  }
  AddAlertProblems(problems);
  if (!engine_->schedule_failure().empty()) {
    problems.push_back({"warning", "a scheduled change is in force, but cannot be written down",
                        engine_->schedule_failed_wall_ms(), engine_->schedule_failure(),
                        "weir flag list"});
  }
  if (!engine_->last_commit().ok()) {
    problems.push_back({"critical", "telemetry cannot be stored", clock_.WallMs(),
                        engine_->last_commit().ToString(), "df " + settings_.data_dir});
  }
  if (const auto trouble = backups_->trouble()) {
    problems.push_back(
        {"warning", trouble->what, trouble->since_wall_ms, trouble->why, "weir backup list"});
  }
  return problems;
}

}  // namespace weir::control
