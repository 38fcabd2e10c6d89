// SPDX-License-Identifier: Apache-2.0
// Alerts: from those who observe to the desk, from the desk to sinks, events and the API.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "controlplane/control.h"
#include "shared/base/log.h"
#include "shared/base/text.h"
#include "shared/domain/sink.h"

namespace weir::control {
namespace {

using codec::Json;
using domain::Kind;

// Rollouts say what goes on every ten minutes.
constexpr int64_t kRolloutLastsMs = 660'000;
constexpr int64_t kKeepClosedMs = 90LL * 86'400'000;
constexpr size_t kMaxShown = 20;  // on the status page

std::string RolloutPolicy(const std::string& rollout) { return "rollout/" + rollout; }

// What a rollout tells of as an observation; without a policy: it is none.
alert::Observation ObservationOf(const std::string& type, const Json& data,
                                 const domain::Resource* rollout) {
  alert::Observation observation;
  if (rollout == nullptr || (type != "rollout_alert" && type != "rollout_trend" && type != "drift"))
    return observation;
  const auto& spec = rollout->As<domain::RolloutSpec>();
  observation.policy = RolloutPolicy(rollout->name);
  const std::string trigger = notify::Word(data, "trigger");
  observation.slo = type == "drift" ? type : type == "rollout_trend" ? trigger + "_trend" : trigger;
  observation.model = spec.model;
  observation.version = spec.model.empty() ? "" : spec.candidate;
  observation.is_firing = true;
  observation.severity = notify::Word(data, "severity");
  observation.summary = notify::Word(data, type == "rollout_trend" ? "trend" : "detail");
  if (type == "drift") {
    observation.summary = notify::Summary({"", type, 0, data});
    observation.value = data.value("psi", 0.0);
  }
  observation.lasts_ms = kRolloutLastsMs;
  observation.tells = false;
  return observation;
}

// The worst first, then the youngest.
bool IsBefore(const store::AlertRow& a, const store::AlertRow& b) {
  const int rank_a = domain::SeverityRank(a.severity);
  const int rank_b = domain::SeverityRank(b.severity);
  return rank_a != rank_b ? rank_a > rank_b : a.id > b.id;
}

api::Problem ProblemOf(const store::AlertRow& row) {
  const bool is_firing = row.state == alert::kFiring;
  std::string evidence = row.summary;
  if (!row.runbook_url.empty())
    evidence += fmt::format("{}runbook {}", evidence.empty() ? "" : "; ", row.runbook_url);
  return {is_firing ? row.severity : "info",
          fmt::format("alert {}: {}{}", alert::IdText(row.id), alert::SubjectOf(row),
                      is_firing ? "" : ", acknowledged by " + row.acknowledged_by),
          row.started_wall_ms, std::move(evidence),
          is_firing ? "weir alert ack " + alert::IdText(row.id) : "weir alert list"};
}

}  // namespace

alert::Moment Control::Now() const { return {clock_.MonotonicMs(), clock_.WallMs()}; }

Status Control::MakeDesk() {
  desk_ = std::make_unique<alert::Desk>(alert::DeskOptions{
      [this](Kind kind, const auto& visit) { engine_->catalog().ForEach(kind, visit); },
      [this](const std::vector<store::AlertRow>& rows) -> Status {
        // A sink that an alert says was told has its notice stored.
        WEIR_RETURN_IF_ERROR(notifier_->Flush());
        return engine_->store().SaveAlerts(rows);
      },
      [this](const alert::Telling& telling) {
        notifier_->Tell(telling.sink, {telling.id, "alert", clock_.WallMs(), telling.data});
      },
      [this](Json event) { events_->Add("alert", std::move(event)); }});
  WEIR_ASSIGN_OR_RETURN(auto open, engine_->store().OpenAlerts());
  WEIR_ASSIGN_OR_RETURN(const uint64_t last, engine_->store().LastAlert());
  desk_->Load(std::move(open), last, Now());
  return OkStatus();
}

void Control::TellOfRollout(const std::string& type, Json data) {
  const alert::Observation observation = ObservationOf(
      type, data, engine_->catalog().Find(Kind::kRollout, notify::Word(data, "rollout")));
  if (!observation.policy.empty()) {
    const store::AlertRow* row = desk_->Observe(observation, Now());
    data["alert"] = alert::IdText(row->id);
    if (row->state == alert::kSilenced) data["silenced_by"] = row->silenced_by;
    if (row->state == alert::kAcknowledged) data["acknowledged_by"] = row->acknowledged_by;
  }
  events_->Add(type, std::move(data));
}

// Nobody observes what has ended.
void Control::EndAlerts(const catalog::Committed& committed) {
  for (const domain::ResourceKey& key : committed.resources) {
    const domain::Resource* found = engine_->catalog().Find(key.kind, key.name);
    if (key.kind == Kind::kRollout) {
      const bool runs =
          found != nullptr && found->status.has_value() && domain::IsActive(*found->status);
      if (!runs) desk_->EndAll(RolloutPolicy(key.name), Now());
    } else if (key.kind == Kind::kPolicy) {
      const bool runs = found != nullptr && found->As<domain::PolicySpec>().enabled;
      if (!runs) desk_->EndAll(key.name, Now());
    }
  }
}

void Control::PruneAlerts() {
  const Status status = engine_->store().PruneAlerts(clock_.WallMs() - kKeepClosedMs);
  if (!status.ok()) Log("alert").error("old alerts stay: {}", status.ToString());
}

api::AlertActions Control::MakeAlertActions() {
  return {.list = [this](const api::AlertQuery& query) { return ListAlerts(query); },
          .acknowledge = [this](const std::string& id, const std::string& actor,
                                const std::string& reason) -> Result<Json> {
            Result<store::AlertRow> row = desk_->Acknowledge(id, actor, reason, clock_.WallMs());
            if (row.ok()) return alert::ViewOf(*row);
            if (row.status().code() != Code::kNotFound) return row.status();
            const Result<uint64_t> number = alert::ParseId(id);
            if (!number.ok()) return row.status();
            const Result<store::AlertRow> closed = engine_->store().Alert(*number);
            if (!closed.ok() || closed->resolved_wall_ms == 0) return row.status();
            return FailedPrecondition(
                fmt::format("alert {} ended at {}: there is nothing to look after", id,
                            FormatTimeMs(closed->resolved_wall_ms)));
          }};
}

Result<Json> Control::ListAlerts(const api::AlertQuery& query) const {
  Json items = Json::array();
  std::vector<store::AlertRow> rows;
  const bool wants_all = query.state == "all";
  if (query.state != alert::kResolved) {
    for (store::AlertRow& row : desk_->Open()) {
      const bool fits = wants_all || query.state == "open" || query.state == row.state;
      if (!fits || (!query.severity.empty() && query.severity != row.severity) ||
          (!query.policy.empty() && query.policy != row.policy))
        continue;
      rows.push_back(std::move(row));
    }
    std::sort(rows.begin(), rows.end(), IsBefore);
    if (rows.size() > query.limit) rows.resize(query.limit);
  }
  if ((wants_all || query.state == alert::kResolved) && rows.size() < query.limit) {
    WEIR_ASSIGN_OR_RETURN(
        auto closed, engine_->store().ClosedAlerts({query.severity, query.policy,
                                                    static_cast<int>(query.limit - rows.size())}));
    std::move(closed.begin(), closed.end(), std::back_inserter(rows));
  }
  for (const store::AlertRow& row : rows) items.push_back(alert::ViewOf(row));
  return items;
}

void Control::AddAlertProblems(std::vector<api::Problem>& problems) const {
  std::vector<store::AlertRow> rows = desk_->Open();
  std::erase_if(rows, [](const store::AlertRow& row) { return row.state == alert::kSilenced; });
  std::sort(rows.begin(), rows.end(), IsBefore);
  const size_t shown = std::min(rows.size(), kMaxShown);
  for (size_t i = 0; i < shown; ++i) problems.push_back(ProblemOf(rows[i]));
  if (shown < rows.size()) {
    problems.push_back({"warning", fmt::format("and {} more alerts", rows.size() - shown), 0, "",
                        "weir alert list"});
  }
  if (!desk_->last_save().ok()) {
    problems.push_back({"critical", "alerts cannot be stored", clock_.WallMs(),
                        desk_->last_save().ToString(), "df " + settings_.data_dir});
  }
  if (!notifier_->last_save().ok()) {
    problems.push_back({"critical", "notices to sinks cannot be stored", clock_.WallMs(),
                        notifier_->last_save().ToString(), "df " + settings_.data_dir});
  }
}

std::string Control::AlertMetrics() const {
  std::string text = "# TYPE weir_alerts gauge\n";
  const auto counts = desk_->Counts();
  for (const std::string& severity : domain::Severities()) {
    for (const char* state : {alert::kFiring, alert::kAcknowledged, alert::kSilenced}) {
      const auto found = counts.find({severity, state});
      text += fmt::format("weir_alerts{{severity=\"{}\",state=\"{}\"}} {}\n", severity, state,
                          found == counts.end() ? 0 : found->second);
    }
  }
  return text;
}

}  // namespace weir::control
