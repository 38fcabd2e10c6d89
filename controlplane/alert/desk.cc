// SPDX-License-Identifier: Apache-2.0
#include "controlplane/alert/desk.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "shared/base/printable.h"
#include "shared/base/text.h"
#include "shared/domain/sink.h"

namespace weir::control::alert {
namespace {

using codec::Json;
using domain::SeverityRank;
using domain::SinkSpec;

constexpr char kType[] = "alert";
constexpr size_t kMaxText = 1000;  // bytes

const char* StateOf(const store::AlertRow& row) {
  if (row.resolved_wall_ms != 0) return kResolved;
  if (!row.silenced_by.empty()) return kSilenced;
  return row.acknowledged_wall_ms != 0 ? kAcknowledged : kFiring;
}

// NaN and infinities are no numbers to a database or to JSON.
double Finite(double value) { return std::isfinite(value) ? value : 0; }

std::string SeverityFor(const std::string& text) {
  const std::string severity = domain::CanonicalSeverity(text);
  return SeverityRank(severity) >= 0 ? severity : "warning";
}

bool Takes(const SinkSpec& sink, const std::string& severity) {
  if (sink.on_call && severity == "critical") return true;
  if (SeverityRank(severity) < SeverityRank(sink.min_severity)) return false;
  return sink.events.empty() ||
         std::find(sink.events.begin(), sink.events.end(), kType) != sink.events.end();
}

bool IsRepeatDue(const SinkSpec& sink, const Told& told, int64_t now_wall_ms) {
  const int64_t every_ms = domain::RepeatEveryMs(sink);
  return every_ms > 0 && now_wall_ms - told.at_wall_ms >= every_ms;
}

std::string WhyToldOfFiring(const SinkSpec& sink, const Alert& alert, const Told& told,
                            int64_t now_wall_ms) {
  const store::AlertRow& row = alert.row;
  if (!Takes(sink, row.severity)) return "";
  if (now_wall_ms - row.unattended_wall_ms < sink.escalate_after.ms) return "";
  if (told.rank < 0) return sink.escalate_after.ms > 0 ? "escalated" : kFiring;
  if (told.rank < SeverityRank(row.severity)) return "worse";
  return IsRepeatDue(sink, told, now_wall_ms) ? "repeated" : "";
}

// Why the sink is to be told now; "" when it is not. `told` is null when it never was.
std::string WhyTold(const SinkSpec& sink, const Alert& alert, const Told* told,
                    int64_t now_wall_ms) {
  const std::string& state = alert.row.state;
  const bool knows = told != nullptr && told->count > 0 && told->state != kResolved;
  if (state == kResolved) return knows ? kResolved : "";
  if (state == kFiring)
    return WhyToldOfFiring(sink, alert, told == nullptr ? Told() : *told, now_wall_ms);
  if (state != kAcknowledged || !knows) return "";
  if (told->state == kFiring) return kAcknowledged;
  const bool forgets = sink.format == "alertmanager";
  return forgets && IsRepeatDue(sink, *told, now_wall_ms) ? "repeated" : "";
}

// Of several alerts in one notice.
std::string CommonState(const std::vector<const store::AlertRow*>& rows) {
  for (const char* state : {kFiring, kAcknowledged}) {
    for (const store::AlertRow* row : rows) {
      if (row->state == state) return state;
    }
  }
  return kResolved;
}

std::string WorstOf(const std::vector<const store::AlertRow*>& rows, const std::string& state) {
  std::string worst = "info";
  for (const store::AlertRow* row : rows) {
    if (row->state == state && SeverityRank(row->severity) > SeverityRank(worst))
      worst = row->severity;
  }
  return worst;
}

}  // namespace

void Desk::Load(std::vector<store::AlertRow> open, uint64_t last_id, const Moment& now) {
  last_id_ = last_id;
  for (store::AlertRow& row : open) {
    Alert alert = FromRow(std::move(row));
    alert.seen_ms = now.ms;
    if (alert.lasts_ms <= 0) alert.lasts_ms = kLastsMs;
    last_id_ = std::max(last_id_, alert.row.id);
    open_[KeyOf(alert.row)] = alert.row.id;
    alerts_[alert.row.id] = std::move(alert);
  }
}

const store::AlertRow* Desk::Observe(const Observation& observation, const Moment& now) {
  const auto found = open_.find(KeyOf(observation));
  if (!observation.is_firing) {
    if (found != open_.end()) End(alerts_.at(found->second), now);
    return nullptr;
  }
  if (found == open_.end()) return &Begin(observation, now).row;
  Alert& alert = alerts_.at(found->second);
  Take(observation, alert, now);
  return &alert.row;
}

Alert& Desk::Begin(const Observation& observation, const Moment& now) {
  Alert& alert = alerts_[++last_id_];
  store::AlertRow& row = alert.row;
  row.id = last_id_;
  row.policy = observation.policy;
  row.slo = observation.slo;
  row.model = observation.model;
  row.version = observation.version;
  row.severity = SeverityFor(observation.severity);
  row.worst = row.severity;
  row.started_wall_ms = now.wall_ms;
  row.unattended_wall_ms = now.wall_ms;
  open_[KeyOf(row)] = row.id;
  Take(observation, alert, now);
  ApplySilence(alert, now.wall_ms);
  Changed(alert, "");
  return alert;
}

void Desk::Take(const Observation& observation, Alert& alert, const Moment& now) {
  store::AlertRow& row = alert.row;
  alert.seen_ms = now.ms;
  alert.lasts_ms = observation.lasts_ms > 0 ? observation.lasts_ms : kLastsMs;
  alert.tells = observation.tells;
  row.summary = PrintableBegin(observation.summary, kMaxText);
  row.runbook_url = observation.runbook_url;
  row.value = Finite(observation.value);
  row.threshold = Finite(observation.threshold);
  const std::string severity = SeverityFor(observation.severity);
  if (row.severity == severity) return;
  const std::string before = row.state;
  row.severity = severity;
  if (SeverityRank(severity) > SeverityRank(row.worst)) {
    // What was acknowledged was milder.
    row.worst = severity;
    row.acknowledged_wall_ms = 0;
    row.acknowledged_by.clear();
    row.reason.clear();
    if (before == kAcknowledged) row.unattended_wall_ms = now.wall_ms;
  }
  ApplySilence(alert, now.wall_ms);
  Changed(alert, before);
}

void Desk::End(Alert& alert, const Moment& now) {
  const std::string before = alert.row.state;
  alert.row.resolved_wall_ms = std::max(now.wall_ms, alert.row.started_wall_ms);
  open_.erase(KeyOf(alert.row));
  Changed(alert, before);
}

void Desk::EndAll(const std::string& policy, const Moment& now) {
  for (auto& [id, alert] : alerts_) {
    if (alert.IsOpen() && alert.row.policy == policy) End(alert, now);
  }
}

bool Desk::IsInForce(const std::string& name, int64_t now_wall_ms) const {
  bool is_in_force = false;
  options_.for_each(domain::Kind::kSilence, [&](const domain::Resource& silence) {
    const auto& spec = silence.As<domain::SilenceSpec>();
    if (silence.name == name)
      is_in_force = spec.starts.ms <= now_wall_ms && now_wall_ms < spec.until.ms;
  });
  return is_in_force;
}

bool Desk::ApplySilence(Alert& alert, int64_t now_wall_ms) {
  std::string by;
  options_.for_each(domain::Kind::kSilence, [&](const domain::Resource& silence) {
    if (by.empty() && Silences(silence.As<domain::SilenceSpec>(), alert.row, now_wall_ms))
      by = silence.name;
  });
  if (by == alert.row.silenced_by) return false;
  // A severity that left its silence, and may come back to it, is no end of the silence.
  const bool is_over = by.empty() && !IsInForce(alert.row.silenced_by, now_wall_ms);
  alert.row.silenced_by = std::move(by);
  if (is_over) {
    alert.row.unattended_wall_ms = now_wall_ms;
    for (auto& [sink, told] : alert.told) told.rank = -1;
  }
  return true;
}

void Desk::Changed(Alert& alert, const std::string& from) {
  alert.row.state = StateOf(alert.row);
  unsaved_.insert(alert.row.id);
  Json event = ViewOf(alert.row);
  event["from"] = from;
  event["to"] = alert.row.state;
  options_.show(std::move(event));
}

void Desk::Tick(const Moment& now) {
  std::vector<uint64_t> ids;
  for (const auto& [id, alert] : alerts_) {
    if (alert.IsOpen()) ids.push_back(id);
  }
  for (const uint64_t id : ids) {
    Alert& alert = alerts_.at(id);
    const std::string before = alert.row.state;
    if (now.ms - alert.seen_ms >= alert.lasts_ms) {
      End(alert, now);
    } else if (ApplySilence(alert, now.wall_ms)) {
      Changed(alert, before);
    }
  }
  TellSinks(now);
  Save();
}

void Desk::TellSinks(const Moment& now) {
  if (alerts_.empty()) return;
  std::vector<Sink> sinks;
  options_.for_each(domain::Kind::kSink, [&](const domain::Resource& sink) {
    const auto& spec = sink.As<SinkSpec>();
    if (spec.enabled) sinks.push_back({sink.name, &spec});
  });
  for (const Sink& sink : sinks) {
    std::map<std::string, std::vector<Part>> by_policy;
    for (auto& [id, alert] : alerts_) {
      if (!alert.tells) continue;
      const auto told = alert.told.find(sink.name);
      std::string why = WhyTold(*sink.spec, alert,
                                told == alert.told.end() ? nullptr : &told->second, now.wall_ms);
      if (why.empty()) continue;
      std::vector<Part>& parts = by_policy[alert.row.policy];
      parts.push_back({&alert, std::move(why)});
      if (parts.size() == kMaxInNotice) TellGroup(sink, std::exchange(parts, {}), now);
    }
    for (const auto& [policy, parts] : by_policy) {
      if (!parts.empty()) TellGroup(sink, parts, now);
    }
  }
}

void Desk::TellGroup(const Sink& sink, const std::vector<Part>& parts, const Moment& now) {
  Json views = Json::array();
  std::vector<const store::AlertRow*> rows;
  for (const Part& part : parts) {
    Alert& alert = *part.alert;
    Told& told = alert.told[sink.name];
    told.at_wall_ms = now.wall_ms;
    told.state = alert.row.state;
    if (told.state == kFiring) told.rank = std::max(told.rank, SeverityRank(alert.row.severity));
    ++told.count;
    ++alert.row.told_count;
    unsaved_.insert(alert.row.id);
    Json view = ViewOf(alert.row);
    view["why"] = part.why;
    views.push_back(std::move(view));
    rows.push_back(&alert.row);
  }
  const std::string status = CommonState(rows);
  Telling telling{sink.name,
                  fmt::format("alert-{}-{}.{}", rows[0]->started_wall_ms, IdText(rows[0]->id),
                              rows[0]->told_count),
                  {{"policy", rows[0]->policy},
                   {"status", status},
                   {"severity", WorstOf(rows, status)},
                   {"alerts", std::move(views)}}};
  if (!sink.spec->team.empty()) telling.data["team"] = sink.spec->team;
  if (sink.spec->on_call) telling.data["on_call"] = true;
  options_.tell(telling);
}

void Desk::Save() {
  if (unsaved_.empty()) return;
  std::vector<store::AlertRow> rows;
  for (const uint64_t id : unsaved_) rows.push_back(ToRow(alerts_.at(id)));
  last_save_ = options_.save(rows);
  if (!last_save_.ok()) return;
  for (const uint64_t id : std::exchange(unsaved_, {})) {
    if (!alerts_.at(id).IsOpen()) alerts_.erase(id);
  }
}

Result<store::AlertRow> Desk::Acknowledge(const std::string& id, const std::string& by,
                                          const std::string& reason, int64_t now_wall_ms) {
  const Result<uint64_t> number = ParseId(id);
  const auto found = number.ok() ? alerts_.find(*number) : alerts_.end();
  if (found == alerts_.end() || !found->second.IsOpen()) {
    std::vector<std::string> ids;
    for (const auto& [key, open] : open_) ids.push_back(IdText(open));
    return NotFound(
        fmt::format("there is no open alert \"{}\"{}", Printable(id), DidYouMean(id, ids)));
  }
  Alert& alert = found->second;
  if (alert.row.acknowledged_wall_ms != 0) return alert.row;
  const Alert before = alert;
  alert.row.acknowledged_wall_ms = now_wall_ms;
  alert.row.acknowledged_by = by;
  alert.row.reason = PrintableBegin(reason, kMaxText);
  alert.row.state = StateOf(alert.row);
  if (Status saved = options_.save({ToRow(alert)}); !saved.ok()) {
    alert = before;
    return saved;
  }
  Changed(alert, before.row.state);
  return alert.row;
}

std::vector<store::AlertRow> Desk::Open() const {
  std::vector<store::AlertRow> rows;
  for (const auto& [id, alert] : alerts_) {
    if (alert.IsOpen()) rows.push_back(alert.row);
  }
  return rows;
}

std::map<std::pair<std::string, std::string>, uint64_t> Desk::Counts() const {
  std::map<std::pair<std::string, std::string>, uint64_t> counts;
  for (const auto& [id, alert] : alerts_) {
    if (alert.IsOpen()) ++counts[{alert.row.severity, alert.row.state}];
  }
  return counts;
}

}  // namespace weir::control::alert
