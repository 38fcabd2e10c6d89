// SPDX-License-Identifier: Apache-2.0
// What is kept over a restart, and what people and Prometheus see.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>

#include "controlplane/remedy/driver.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/domain/entries.h"
#include "shared/domain/limit.h"

namespace weir::control::remedy {
namespace {

using analysis::SloState;
using codec::Json;
using domain::Kind;
using domain::PolicySpec;
using domain::Resource;

// In the saved state, beside the policies; no policy is called so.
constexpr char kCommon[] = "";

std::string Label(const char* name, const std::string& value) {
  std::string escaped;
  for (const char c : value) {
    if (c == '\\' || c == '"') escaped += '\\';
    escaped += c == '\n' ? ' ' : c;
  }
  return fmt::format("{}=\"{}\"", name, escaped);
}

// Of all objectives together: the worst that is known.
SloState Worst(SloState a, SloState b) {
  const auto rank = [](SloState s) { return static_cast<int>(s); };
  return rank(a) > rank(b) ? a : b;
}

}  // namespace

Json Driver::SaveState() const {
  Json state = Json::object();
  for (const auto& [name, run] : runs_) {
    Json& saved = state[name];
    saved = {{"live", run.live.Save()},
             {"dry", run.dry.Save()},
             {"violations", run.violations},
             {"remediations", run.remediations},
             {"dry_run_actions", run.dry_run_actions},
             {"suppressed", run.suppressed},
             {"said", run.said}};
    for (const Record& r : run.last) {
      saved["last"].push_back(
          {r.at_wall_ms, r.action, r.target, r.slo, r.result, r.reason, r.revision});
    }
    for (const auto& [key, watch] : run.watches) {
      Json one = watch.Save();
      one["slo"] = key.first;
      one["model"] = key.second;
      saved["watches"].push_back(std::move(one));
    }
  }
  Json common = {{"live_moves", live_moves_.Save()},
                 {"dry_moves", dry_moves_.Save()},
                 {"restart_numbers", restart_numbers_},
                 {"serving", hearing_.Save()}};
  for (const Undo& undo : undos_) {
    common["undos"].push_back(
        {undo.policy, undo.flag, undo.field, undo.before, undo.set, undo.until_wall_ms});
  }
  for (const Campaign& c : campaigns_) {
    common["campaigns"].push_back(
        {c.policy, c.model, c.version, c.done, c.node, c.revision, c.asked_wall_ms, c.was_away});
  }
  for (const auto& [key, count] : actions_)
    common["actions"].push_back({key.first, key.second, count});
  if (!runs_.empty() || !undos_.empty() || !actions_.empty()) state[kCommon] = std::move(common);
  return state;
}

void Driver::LoadState(const Json& state, int64_t now_ms, int64_t now_wall_ms) try {
  const Moment now{now_ms, now_wall_ms};
  loaded_ = Json::object();
  for (const auto& [name, saved] : state.items()) {
    if (name == kCommon) continue;
    Run& run = runs_[name];
    run.live.Load(saved.at("live"), now);
    run.dry.Load(saved.at("dry"), now);
    run.violations = saved.at("violations").get<uint64_t>();
    run.remediations = saved.at("remediations").get<uint64_t>();
    run.dry_run_actions = saved.at("dry_run_actions").get<uint64_t>();
    run.suppressed = saved.at("suppressed").get<std::map<std::string, uint64_t>>();
    run.said = saved.at("said").get<std::map<std::string, std::string>>();
    for (const Json& r : saved.value("last", Json::array())) {
      run.last.push_back({r.at(0).get<int64_t>(), r.at(1), r.at(2), r.at(3), r.at(4), r.at(5),
                          r.at(6).get<uint64_t>()});
    }
    loaded_[name] = saved.value("watches", Json::array());
  }
  if (!state.contains(kCommon)) return;
  const Json& common = state[kCommon];
  live_moves_.Load(common.at("live_moves"), now);
  dry_moves_.Load(common.at("dry_moves"), now);
  restart_numbers_ = common.at("restart_numbers").get<std::map<std::string, uint64_t>>();
  hearing_.Load(common.value("serving", Json::object()), now_ms);
  for (const Json& u : common.value("undos", Json::array())) {
    Undo undo{u.at(0), u.at(1), u.at(2), u.at(3), u.at(4), u.at(5).get<int64_t>()};
    if (!undo.set.is_null() && (undo.before.is_null() || undo.before.type() == undo.set.type() ||
                                (undo.before.is_number() && undo.set.is_number())))
      undos_.push_back(std::move(undo));
  }
  for (const Json& c : common.value("campaigns", Json::array())) {
    campaigns_.push_back({c.at(0), c.at(1), c.at(2), c.at(3).get<std::vector<std::string>>(),
                          c.at(4), c.at(5).get<uint64_t>(), c.at(6).get<int64_t>(),
                          c.at(7).get<bool>()});
  }
  for (const Json& a : common.value("actions", Json::array()))
    actions_[{a.at(0).get<std::string>(), a.at(1).get<bool>()}] = a.at(2).get<uint64_t>();
} catch (const std::exception& e) {
  Log("remedy").error("what was known of policies is partly lost: {}", e.what());
}

Status Driver::Reset(const std::string& policy, const std::string& actor) {
  const auto run = runs_.find(policy);
  if (world_.find(Kind::kPolicy, policy) == nullptr)
    return NotFound(fmt::format("there is no policy \"{}\"", policy));
  const bool was_open = run != runs_.end() && (run->second.live.Reset() | run->second.dry.Reset());
  if (!was_open)
    return FailedPrecondition(fmt::format("the executor of {} is ready: nothing to reset", policy));
  run->second.said.clear();
  Log("remedy").info("{}: executor reset by {}", policy, actor);
  if (world_.notify) {
    world_.notify("remediation", "info",
                  {{"policy", policy}, {"state", "closed"}, {"reason", "reset by " + actor}});
  }
  return OkStatus();
}

Json Driver::View(const std::string& policy) const {
  const Resource* resource = world_.find(Kind::kPolicy, policy);
  if (resource == nullptr) return {};
  const auto& spec = resource->As<PolicySpec>();
  static const Run kNone;
  const auto found = runs_.find(policy);
  const Run& run = found == runs_.end() ? kNone : found->second;
  const bool is_dry = spec.dry_run || IsOn(kGateDryRun, false);
  const Executor& executor = is_dry ? run.dry : run.live;
  SloState state = SloState::kNoData;
  Json slos = Json::array();
  for (const auto& [key, watch] : run.watches) {
    const analysis::SloVerdict& verdict = watch.verdict();
    state = Worst(state, verdict.state);
    Json slo = {{"name", key.first},
                {"model", key.second},
                {"version", watch.slo().version},
                {"state", analysis::SloStateName(verdict.state)},
                {"severity", verdict.severity},
                {"value", verdict.value ? Json(*verdict.value) : Json()},
                {"comparison", watch.slo().comparison},
                {"threshold", verdict.threshold},
                {"samples", watch.reading().samples},
                {"text", verdict.text}};
    if (watch.since_wall_ms() != 0) slo["since"] = FormatTimeMs(watch.since_wall_ms());
    slos.push_back(std::move(slo));
  }
  Json executor_view = {{"state", executor.IsOpen() ? "open" : "ready"},
                        {"executions", executor.Executions(now_ms_, spec.budget_window.ms)},
                        {"max_executions", spec.max_executions}};
  if (executor.IsOpen()) {
    executor_view["reason"] = executor.open_reason();
    executor_view["since"] = FormatTimeMs(executor.open_since_wall_ms());
  }
  Json last = Json::array();
  for (auto r = run.last.rbegin(); r != run.last.rend(); ++r) {
    Json record = {{"at", FormatTimeMs(r->at_wall_ms)},
                   {"action", r->action},
                   {"target", r->target},
                   {"slo", r->slo},
                   {"result", r->result},
                   {"reason", r->reason}};
    if (r->revision != 0) record["revision"] = r->revision;
    last.push_back(std::move(record));
  }
  const std::string why_off = WhyOff(*resource);
  Json view = {{"state", why_off.empty() ? analysis::SloStateName(state) : "disabled"},
               {"dry_run", is_dry},
               {"slos", std::move(slos)},
               {"executor", std::move(executor_view)},
               {"violations", run.violations},
               {"remediations", run.remediations},
               {"dry_run_actions", run.dry_run_actions},
               {"suppressed", run.suppressed},
               {"last", std::move(last)}};
  if (!why_off.empty()) view["reason"] = why_off;
  return view;
}

std::map<std::string, int64_t> Driver::RecommendedReplicas(int64_t now_wall_ms) const {
  std::map<std::string, int64_t> replicas;
  world_.for_each(Kind::kLimit, [&](const Resource& limit) {
    const auto& spec = limit.As<domain::LimitSpec>();
    if (spec.max_concurrent == 0) return;
    const domain::EffectiveLimit now =
        domain::EffectiveLimitAt(domain::LimitEntryOf(limit), now_wall_ms);
    const double wanted = static_cast<double>(spec.replicas) *
                          static_cast<double>(now.max_concurrent) /
                          static_cast<double>(spec.max_concurrent);
    replicas[limit.name] = static_cast<int64_t>(std::ceil(wanted - 1e-9));
  });
  return replicas;
}

std::string Driver::Metrics(int64_t now_wall_ms) const {
  std::string text =
      "# HELP weir_qos_slo_violations_total Objectives that came to be violated.\n"
      "# TYPE weir_qos_slo_violations_total counter\n";
  for (const auto& [name, run] : runs_) {
    text += fmt::format("weir_qos_slo_violations_total{{{}}} {}\n", Label("policy", name),
                        run.violations);
  }
  text +=
      "# HELP weir_qos_remediation_actions_total What policies did, or rehearsed.\n"
      "# TYPE weir_qos_remediation_actions_total counter\n";
  for (const auto& [key, count] : actions_) {
    text += fmt::format("weir_qos_remediation_actions_total{{{},dry_run=\"{}\"}} {}\n",
                        Label("action", key.first), key.second, count);
  }
  text +=
      "# HELP weir_qos_slo_value The measured value of an objective; of an error budget its burn "
      "rate.\n"
      "# TYPE weir_qos_slo_value gauge\n";
  for (const auto& [name, run] : runs_) {
    for (const auto& [key, watch] : run.watches) {
      if (!watch.verdict().value) continue;
      text +=
          fmt::format("weir_qos_slo_value{{{},{},{}}} {}\n", Label("policy", name),
                      Label("slo", key.first), Label("model", key.second), *watch.verdict().value);
    }
  }
  text +=
      "# HELP weir_replicas_recommended Nodes that a model's limit, with what policies laid over "
      "it, asks for.\n"
      "# TYPE weir_replicas_recommended gauge\n";
  for (const auto& [model, count] : RecommendedReplicas(now_wall_ms))
    text += fmt::format("weir_replicas_recommended{{{}}} {}\n", Label("model", model), count);
  return text;
}

}  // namespace weir::control::remedy
