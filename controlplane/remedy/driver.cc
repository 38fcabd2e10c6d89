// SPDX-License-Identifier: Apache-2.0
#include "controlplane/remedy/driver.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/domain/sink.h"

namespace weir::control::remedy {
namespace {

using analysis::SloState;
using analysis::SloWatch;
using codec::Json;
using domain::Kind;
using domain::PolicySpec;
using domain::RemediationSpec;
using domain::Resource;

constexpr char kModelSubject[] = "model/";

bool IsFor(const RemediationSpec& remediation, const SloWatch& watch) {
  const auto& slos = remediation.slos;
  if (!slos.empty() && std::find(slos.begin(), slos.end(), watch.slo().name) == slos.end())
    return false;
  return domain::SeverityRank(watch.verdict().severity) >=
         domain::SeverityRank(remediation.min_severity);
}

const char* EdgeName(SloWatch::Edge edge) {
  switch (edge) {
    case SloWatch::Edge::kViolated:
      return "violated";
    case SloWatch::Edge::kWarned:
      return "warning";
    case SloWatch::Edge::kRecovered:
      return "recovered";
    case SloWatch::Edge::kChanged:
    case SloWatch::Edge::kNone:
      break;
  }
  return "";
}

}  // namespace

Driver::Driver(World world) : world_(std::move(world)) {}

bool Driver::IsOn(const char* gate, bool fallback) const {
  return world_.is_on ? world_.is_on(gate, fallback) : fallback;
}

void Driver::OnTelemetry(const telemetry::Window& delta, int64_t now_ms) {
  for (const auto& [key, series] : delta) {
    if (key.subject.starts_with(kModelSubject) && key.arm != telemetry::kArmShadow) {
      const uint64_t requests = series.Counter(telemetry::kRequests);
      auto& rate = rates_[key.subject.substr(std::size(kModelSubject) - 1)];
      if (requests > 0) rate.emplace_back(now_ms, requests);
    }
    const auto windows = windows_.find(key.subject);
    if (windows == windows_.end()) continue;
    for (const auto& [name, window] : windows->second) window->Add(now_ms, key, series);
  }
}

void Driver::OnBatches(const std::set<std::string>& nodes, int64_t now_ms) {
  hearing_.OnBatches(nodes, now_ms);
}

void Driver::OnNodes(std::vector<NodeFacts> nodes, uint64_t published) {
  nodes_ = std::move(nodes);
  published_ = published;
}

analysis::NodeReadings Driver::ReadNodes(int64_t now_ms) {
  analysis::NodeReadings readings;
  std::map<std::string, int64_t> behind;
  for (const NodeFacts& node : nodes_) {
    if (!node.live) continue;
    ++readings.nodes;
    int64_t since_ms = now_ms;
    if (node.applied_version < published_) {
      const auto known = behind_since_ms_.find(node.id);
      if (known != behind_since_ms_.end()) since_ms = known->second;
      behind[node.id] = since_ms;
    }
    const double seconds = static_cast<double>(now_ms - since_ms) / 1000;
    readings.staleness_s = std::max(readings.staleness_s.value_or(0), seconds);
    if (node.memory_bytes > 0)
      readings.memory_bytes = std::max(readings.memory_bytes.value_or(0), node.memory_bytes);
  }
  behind_since_ms_ = std::move(behind);
  return readings;
}

void Driver::ForEachWatch(const std::string& policy,
                          const std::function<void(const SloWatch&)>& visit) const {
  const auto run = runs_.find(policy);
  if (run == runs_.end()) return;
  for (const auto& [key, watch] : run->second.watches) visit(watch);
}

bool Driver::Tick(int64_t now_ms, int64_t now_wall_ms) {
  now_ms_ = now_ms;
  for (auto& [model, rate] : rates_) {
    while (!rate.empty() &&
           now_ms - rate.front().first >= std::max(kRateWindowMs, world_.replay_step_ms))
      rate.pop_front();
  }
  Follow(now_ms, now_wall_ms);
  bool committed = EndActs(now_wall_ms);
  committed |= EndUndos(now_wall_ms);
  committed |= FollowRestarts(now_wall_ms);
  const analysis::NodeReadings nodes = ReadNodes(now_ms);
  hearing_.Look(nodes_, now_ms);
  const Moment now{now_ms, now_wall_ms};
  std::vector<Candidate> candidates;
  for (auto& [name, run] : runs_) {
    const Resource* policy = world_.find(Kind::kPolicy, name);
    if (policy == nullptr || !WhyOff(*policy).empty()) continue;
    for (auto& [key, watch] : run.watches) {
      const SloWatch::Edge edge = watch.Evaluate(
          nodes, now_ms, now_wall_ms,
          watch.model().empty() ? analysis::SloHearing() : hearing_.Of(watch.model()));
      if (edge == SloWatch::Edge::kViolated) ++run.violations;
      if (*EdgeName(edge) != '\0' && !IsReplay())
        Log("remedy").info("{} {}: {}", name, EdgeName(edge), watch.verdict().text);
      int64_t& reminded_ms = run.reminded_ms[key];
      const bool is_due = watch.IsFiring() && now_ms - reminded_ms >= kRemindMs;
      if (edge == SloWatch::Edge::kNone && !is_due) continue;
      reminded_ms = now_ms;
      Observe(*policy, watch, watch.IsFiring());
    }
    Propose(*policy, run, now, candidates);
  }
  Outrank(candidates);
  for (Candidate& candidate : candidates) committed |= Conclude(candidate, now);
  return committed;
}

void Driver::Observe(const Resource& policy, const SloWatch& watch, bool is_firing) {
  if (!world_.observe) return;
  const analysis::SloVerdict& verdict = watch.verdict();
  alert::Observation seen;
  seen.policy = policy.name;
  seen.slo = watch.slo().name;
  seen.model = watch.model();
  seen.version = watch.slo().version;
  seen.is_firing = is_firing;
  seen.severity = verdict.severity.empty() ? watch.told_severity() : verdict.severity;
  if (seen.severity.empty()) seen.severity = "info";
  seen.summary =
      watch.model().empty() ? verdict.text : fmt::format("{}: {}", watch.model(), verdict.text);
  if (is_firing && verdict.state == SloState::kOk) {
    seen.summary += fmt::format("; ends when it has been so for {}",
                                FormatDurationMs(analysis::HoldMsOf(watch.slo())));
  }
  seen.runbook_url = policy.As<PolicySpec>().runbook_url;
  seen.value = verdict.value.value_or(0);
  seen.threshold = verdict.threshold;
  world_.observe(seen);
}

void Driver::Propose(const Resource& policy, Run& run, Moment now,
                     std::vector<Candidate>& candidates) {
  const bool is_any = std::any_of(run.watches.begin(), run.watches.end(), [](const auto& watch) {
    return watch.second.verdict().state == SloState::kViolated;
  });
  if (!is_any) return run.said.clear();
  const auto shared = std::make_shared<const Resource>(policy);
  const auto& spec = shared->As<PolicySpec>();
  const bool is_dry = spec.dry_run || IsOn(kGateDryRun, false);
  std::set<std::string> proposed;
  for (const auto& [key, watch] : run.watches) {
    if (watch.verdict().state != SloState::kViolated) continue;
    for (size_t i = 0; i < spec.remediations.size(); ++i) {
      if (!IsFor(spec.remediations[i], watch)) continue;
      Candidate candidate{shared, &run,         &watch, &spec.remediations[i], {}, {},
                          is_dry, Ruling::kAct, ""};
      candidate.intent = IntentOf(*shared, watch, spec.remediations[i], now.wall_ms);
      const Intent& intent = candidate.intent;
      candidate.proposal = {fmt::format("{} {}", i, intent.target), intent.target, intent.direction,
                            intent.action == "alert"};
      if (candidate.proposal.is_free) candidate.proposal.key += " " + key.first + " " + key.second;
      // Two objectives that ask for the same thing ask once.
      if (!proposed.insert(candidate.proposal.key).second) continue;
      Executor& executor = is_dry ? run.dry : run.live;
      candidate.ruling =
          IsOn(kGateExecutor, true)
              ? executor.Check(spec, candidate.proposal, is_dry ? dry_moves_ : live_moves_, now)
              : Ruling::kDisabled;
      if (candidate.ruling != Ruling::kAct) candidate.stopped = RulingName(candidate.ruling);
      if (candidate.ruling == Ruling::kAct && intent.raises && IsFrozen())
        candidate.stopped = "frozen";
      candidates.push_back(std::move(candidate));
    }
  }
  std::erase_if(run.said, [&](const auto& said) { return !proposed.contains(said.first); });
}

void Driver::Outrank(std::vector<Candidate>& candidates) const {
  const auto contends = [](const Candidate& c) {
    return !c.proposal.is_free && c.intent.failure.empty() &&
           (c.stopped.empty() || c.ruling == Ruling::kCooldown);
  };
  const auto above = [](const Candidate& a, const Candidate& b) {
    const int64_t first = a.policy->As<PolicySpec>().priority;
    const int64_t second = b.policy->As<PolicySpec>().priority;
    return first != second ? first > second : a.policy->name < b.policy->name;
  };
  std::vector<std::pair<Candidate*, std::string>> outranked;
  for (Candidate& candidate : candidates) {
    if (!contends(candidate) || !candidate.stopped.empty()) continue;
    for (const Candidate& other : candidates) {
      if (other.policy->name == candidate.policy->name || !contends(other)) continue;
      if (other.intent.target != candidate.intent.target) continue;
      if (!above(other, candidate) || other.is_dry != candidate.is_dry) continue;
      outranked.emplace_back(&candidate, other.policy->name);
      break;
    }
  }
  for (const auto& [candidate, by] : outranked) candidate->stopped = "outranked by " + by;
}

bool Driver::Conclude(Candidate& candidate, Moment now) {
  Run& run = *candidate.run;
  Executor& executor = candidate.is_dry ? run.dry : run.live;
  Moves& moves = candidate.is_dry ? dry_moves_ : live_moves_;
  // Acts of this look may have spent the budget, or changed what it would change.
  if (candidate.stopped.empty()) {
    candidate.ruling =
        executor.Check(candidate.policy->As<PolicySpec>(), candidate.proposal, moves, now);
    if (candidate.ruling != Ruling::kAct) candidate.stopped = RulingName(candidate.ruling);
  }
  if (candidate.ruling == Ruling::kLoop) {
    if (!IsReplay())
      Log("remedy").warn("{}: executor opened: {}", candidate.policy->name, executor.open_reason());
    if (world_.notify) {
      world_.notify("remediation", "warning",
                    {{"policy", candidate.policy->name},
                     {"state", "open"},
                     {"reason", executor.open_reason()}});
    }
  }
  if (!candidate.stopped.empty()) {
    Note(candidate, "suppressed", candidate.stopped, 0, now);
    return false;
  }
  if (!candidate.is_dry && candidate.intent.failure.empty()) {
    candidate.intent =
        IntentOf(*candidate.policy, *candidate.watch, *candidate.remediation, now.wall_ms);
  }
  if (!candidate.intent.failure.empty()) {
    executor.Failed(candidate.proposal, now);
    Note(candidate, "failed", candidate.intent.failure, 0, now);
    return false;
  }
  if (candidate.is_dry) {
    executor.Acted(candidate.proposal, now);
    moves.Note(candidate.intent.target, candidate.intent.direction, now);
    Note(candidate, "dry_run", "would " + candidate.intent.text, 0, now);
    return false;
  }
  const Result<uint64_t> revision = Carry(candidate, now.wall_ms);
  if (!revision.ok()) {
    executor.Failed(candidate.proposal, now);
    Note(candidate, "failed", revision.status().ToString(), 0, now);
    return false;
  }
  executor.Acted(candidate.proposal, now);
  moves.Note(candidate.intent.target, candidate.intent.direction, now);
  Note(candidate, "done", candidate.intent.text, *revision, now);
  return *revision != 0;
}

// What repeats is recorded once a spell; what was done or rehearsed every time.
void Driver::Note(Candidate& candidate, const std::string& result, const std::string& reason,
                  uint64_t revision, Moment now) {
  Run& run = *candidate.run;
  const bool is_act = result == "done" || result == "dry_run";
  const std::string says = result + ": " + reason;
  if (std::exchange(run.said[candidate.proposal.key], says) == says && !is_act) return;
  if (result == "done") ++run.remediations;
  if (result == "dry_run") ++run.dry_run_actions;
  if (result == "suppressed") ++run.suppressed[reason.substr(0, reason.find(' '))];
  if (is_act) ++actions_[{candidate.intent.action, candidate.is_dry}];
  run.last.push_back({now.wall_ms, candidate.intent.action, candidate.intent.target,
                      candidate.watch->slo().name, result, reason, revision});
  if (run.last.size() > kRecordsKept) run.last.pop_front();
  if (result == "suppressed") return;
  if (!IsReplay())
    Log("remedy").info("{}: {} {}: {} ({})", candidate.policy->name, candidate.intent.action,
                       candidate.intent.target, result, reason);
  // Of `alert` the alert itself tells people, and knows who is not to be told.
  if (!world_.notify || candidate.intent.action == "alert") return;
  Json data = {{"policy", candidate.policy->name},
               {"slo", candidate.watch->slo().name},
               {"model", candidate.watch->model()},
               {"action", candidate.intent.action},
               {"target", candidate.intent.target},
               {"result", result},
               {"reason", reason},
               {"value", candidate.intent.value},
               {"dry_run", candidate.is_dry}};
  if (revision != 0) data["revision"] = revision;
  world_.notify("remediation", candidate.watch->verdict().severity, std::move(data));
}

}  // namespace weir::control::remedy
