// SPDX-License-Identifier: Apache-2.0
// What an action would do, worked out without doing it: a rehearsal records exactly this.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "controlplane/remedy/driver.h"
#include "shared/base/clock.h"
#include "shared/domain/entries.h"
#include "shared/domain/limit.h"

namespace weir::control::remedy {
namespace {

using analysis::SloWatch;
using domain::FlagSpec;
using domain::Kind;
using domain::LimitAct;
using domain::LimitSpec;
using domain::RemediationSpec;
using domain::Resource;

constexpr size_t kMaxActs = 64;  // as a Limit may have

bool IsOver(const LimitAct& act, int64_t now_wall_ms) {
  return act.until.ms != 0 && act.until.ms <= now_wall_ms;
}

std::string ForText(int64_t duration_ms) {
  return duration_ms == 0 ? "" : " for " + FormatDurationMs(duration_ms);
}

std::string Plural(double n, const char* what) {
  return fmt::format("{:.6g} {}{}", n, what, n == 1 ? "" : "s");
}

// What a scale may do within the limit's bounds, or why nothing.
void IntendScale(const LimitSpec& spec, const domain::EffectiveLimit& now,
                 const RemediationSpec& remediation, const std::string& model, Intent& intent) {
  if (spec.max_concurrent == 0) {
    intent.failure = fmt::format(
        "the Limit of {} has no max_concurrent, so there is nothing to scale: set it first", model);
    return;
  }
  const bool is_up = intent.action == "scale_up";
  const uint64_t most = spec.most_concurrent == 0 ? 4 * spec.max_concurrent : spec.most_concurrent;
  const uint64_t bound = is_up ? most : spec.min_concurrent;
  if (now.max_concurrent == bound) {
    intent.failure = fmt::format("{} is at its {} of {} slots already", model,
                                 is_up ? "most_concurrent" : "min_concurrent", bound);
    return;
  }
  const double step = remediation.step.value_or(
      std::max(1.0, std::ceil(static_cast<double>(spec.max_concurrent) / 4)));
  const double room =
      std::abs(static_cast<double>(bound) - static_cast<double>(now.max_concurrent));
  intent.value = std::min(step, room);
  intent.direction = is_up ? 1 : -1;
  intent.raises = is_up;
  intent.text = fmt::format("{} the limit of {} by {} from {}", is_up ? "raise" : "lower", model,
                            Plural(intent.value, "slot"), now.max_concurrent);
}

void IntendThrottle(const RemediationSpec& remediation, double rate, const std::string& model,
                    Intent& intent) {
  std::vector<std::string> parts;
  if (remediation.factor) {
    if (rate <= 0) {
      intent.failure = fmt::format("no requests of {} were measured, of which {} could be taken",
                                   model, *remediation.factor);
      return;
    }
    intent.value = rate * *remediation.factor;
    parts.push_back(fmt::format("{:.4g} requests a second on each node ({} of {:.4g})",
                                intent.value, *remediation.factor, rate));
  }
  if (remediation.caller_requests_per_second)
    parts.push_back(fmt::format("{} requests a second of each caller",
                                *remediation.caller_requests_per_second));
  if (remediation.caller_concurrent)
    parts.push_back(fmt::format("{} at once of each caller", *remediation.caller_concurrent));
  intent.text = fmt::format("let in of {} {}", model, fmt::join(parts, ", "));
}

// The rate that the policy's own act in force took a part of; 0 without one. What that act lets in
// is no measure of what comes: acting again does not take more.
double RateBefore(const LimitSpec& spec, const std::string& policy,
                  const RemediationSpec& remediation, int64_t now_wall_ms) {
  double rate = 0;
  for (const LimitAct& act : spec.acts) {
    const bool is_own = act.policy == policy && act.action == "throttle";
    if (is_own && remediation.factor && !IsOver(act, now_wall_ms))
      rate = std::max(rate, act.value / *remediation.factor);
  }
  return rate;
}

// Steps add up; of everything else an act takes the place of its policy's last.
void DropWhatItReplaces(LimitSpec& spec, const LimitAct& act, int64_t now_wall_ms) {
  const bool adds_up = act.action == "scale_up" || act.action == "scale_down";
  std::erase_if(spec.acts, [&](const LimitAct& other) {
    return IsOver(other, now_wall_ms) ||
           (!adds_up && other.policy == act.policy && other.action == act.action &&
            other.version == act.version);
  });
}

}  // namespace

size_t Driver::LiveNodes() const {
  return static_cast<size_t>(
      std::count_if(nodes_.begin(), nodes_.end(), [](const NodeFacts& n) { return n.live; }));
}

double Driver::RateOfNode(const std::string& model) const {
  const auto rate = rates_.find(model);
  if (rate == rates_.end() || rate->second.empty()) return 0;
  uint64_t requests = 0;
  for (const auto& [at_ms, count] : rate->second) requests += count;
  const int64_t window_ms = std::max(kRateWindowMs, world_.replay_step_ms);
  const int64_t span_ms =
      world_.replay_step_ms > 0
          ? window_ms
          : std::clamp<int64_t>(now_ms_ - rate->second.front().first, 1000, window_ms);
  return static_cast<double>(requests) * 1000 / static_cast<double>(span_ms) /
         static_cast<double>(std::max<size_t>(1, LiveNodes()));
}

const Resource* Driver::RolloutOf(const std::string& model) const {
  const Resource* found = nullptr;
  world_.for_each(Kind::kRollout, [&](const Resource& rollout) {
    if (rollout.As<domain::RolloutSpec>().model == model && rollout.status &&
        domain::IsActive(*rollout.status))
      found = &rollout;
  });
  return found;
}

std::string Driver::VersionOf(const SloWatch& watch, const RemediationSpec& remediation,
                              const std::string& model) const {
  if (!remediation.version.empty()) return remediation.version;
  if (!watch.slo().version.empty() && watch.model() == model) return watch.slo().version;
  if (const Resource* rollout = RolloutOf(model))
    return rollout->As<domain::RolloutSpec>().candidate;
  return "";
}

Intent Driver::IntentOf(const Resource& policy, const SloWatch& watch,
                        const RemediationSpec& remediation, int64_t now_wall_ms) const {
  Intent intent;
  intent.action = remediation.action;
  intent.duration_ms = remediation.duration.ms != 0 ? remediation.duration.ms
                                                    : domain::DefaultDurationMs(remediation.action);
  if (intent.action == "alert") {
    intent.target = "alert";
    intent.text = "tell people";
  } else if (intent.action == "rollback") {
    IntendRollback(watch, remediation, intent);
  } else if (intent.action == "set_percentage" || intent.action == "disable_flag") {
    IntendFlag(remediation, intent);
  } else if (intent.action == "restart") {
    IntendRestart(watch, remediation, intent);
  } else {
    IntendLimit(policy, watch, remediation, now_wall_ms, intent);
  }
  return intent;
}

void Driver::IntendRollback(const SloWatch& watch, const RemediationSpec& remediation,
                            Intent& intent) const {
  const Resource* rollout = remediation.target.empty()
                                ? RolloutOf(watch.model())
                                : world_.find(Kind::kRollout, remediation.target);
  intent.target = rollout != nullptr           ? "rollout/" + rollout->name
                  : remediation.target.empty() ? "rollout of " + watch.model()
                                               : "rollout/" + remediation.target;
  intent.direction = -1;
  if (world_.replay_step_ms > 0 && rollout == nullptr) {
    intent.text = fmt::format("take the rollout of {} back, were one under way", watch.model());
    return;
  }
  if (rollout == nullptr || !rollout->status || !domain::IsActive(*rollout->status)) {
    intent.failure = remediation.target.empty()
                         ? fmt::format("no rollout of {} is under way", watch.model())
                         : fmt::format("the rollout {} is not under way", remediation.target);
    return;
  }
  if (rollout->status->state == "rolling_back") {
    intent.failure = fmt::format("{} is rolling back already", rollout->name);
    return;
  }
  intent.rollback = rollout->name;
  intent.text =
      fmt::format("take {} back from {:.6g} %", rollout->name, rollout->status->percentage);
}

void Driver::IntendFlag(const RemediationSpec& remediation, Intent& intent) const {
  intent.target = "flag/" + remediation.target;
  const Resource* flag = world_.find(Kind::kFlag, remediation.target);
  if (remediation.target.empty() || flag == nullptr) {
    if (world_.find(Kind::kRollout, remediation.target) != nullptr) {
      intent.target = "rollout/" + remediation.target;
      intent.failure = fmt::format(
          "{} is for flags: the share of the rollout {} follows its phases "
          "(rollback takes it to 0)",
          intent.action, remediation.target);
    } else {
      intent.failure = fmt::format("{} needs a flag as its target; there is no flag \"{}\"",
                                   intent.action, remediation.target);
    }
    return;
  }
  const auto& spec = flag->As<FlagSpec>();
  Resource after = *flag;
  if (intent.action == "disable_flag") {
    intent.direction = -1;
    if (spec.enabled == false) {
      intent.failure = fmt::format("{} is off already", flag->name);
      return;
    }
    after.As<FlagSpec>().enabled = false;
    intent.text = fmt::format("switch {} off", flag->name);
  } else {
    const double now = spec.rollout_percentage.value_or(100);
    const double wanted = *remediation.percentage;
    if (spec.IsVariant()) {
      intent.failure = fmt::format("{} has variants and no percentage", flag->name);
    } else if (now == wanted) {
      intent.failure = fmt::format("{} is at {:.6g} % already", flag->name, wanted);
    }
    if (!intent.failure.empty()) return;
    intent.direction = wanted > now ? 1 : -1;
    intent.raises = wanted > now;
    intent.value = wanted;
    after.As<FlagSpec>().rollout_percentage = wanted;
    intent.text = fmt::format("set {} from {:.6g} % to {:.6g} %", flag->name, now, wanted);
  }
  intent.text += ForText(intent.duration_ms);
  intent.before = spec;
  intent.after = std::move(after);
}

void Driver::IntendLimit(const Resource& policy, const SloWatch& watch,
                         const RemediationSpec& remediation, int64_t now_wall_ms,
                         Intent& intent) const {
  const std::string model = remediation.target.empty() ? watch.model() : remediation.target;
  intent.target = "limit/" + model;
  if (world_.find(Kind::kModel, model) == nullptr) {
    intent.failure = fmt::format("there is no model \"{}\" to limit", model);
    return;
  }
  Resource after;
  after.kind = Kind::kLimit;
  after.name = model;
  after.spec = LimitSpec{};
  if (const Resource* limit = world_.find(Kind::kLimit, model)) after = *limit;
  auto& spec = after.As<LimitSpec>();
  const domain::EffectiveLimit now =
      domain::EffectiveLimitAt(domain::LimitEntryOf(after), now_wall_ms);
  LimitAct act;
  if (intent.action == "scale_up" || intent.action == "scale_down") {
    IntendScale(spec, now, remediation, model, intent);
  } else if (intent.action == "throttle") {
    intent.direction = 0;
    const double rate =
        std::max(RateOfNode(model), RateBefore(spec, policy.name, remediation, now_wall_ms));
    IntendThrottle(remediation, rate, model, intent);
    act.caller_requests_per_second = remediation.caller_requests_per_second.value_or(0);
    act.caller_concurrent = remediation.caller_concurrent.value_or(0);
  } else if (intent.action == "shed_load") {
    intent.value = remediation.share.value_or(0);
    intent.text = fmt::format("turn {:.6g} % of the callers of {} away", intent.value * 100, model);
  } else {
    act.version = VersionOf(watch, remediation, model);
    if (act.version.empty()) {
      intent.failure =
          fmt::format("no rollout of {} is under way: name the version to break", model);
    } else {
      intent.value = 1;
      intent.text = fmt::format("answer nobody by {} {}", model, act.version);
    }
  }
  if (!intent.failure.empty()) return;
  intent.text += ForText(intent.duration_ms);
  act.policy = policy.name;
  act.action = intent.action;
  act.value = intent.value;
  act.since = {now_wall_ms};
  act.until = {now_wall_ms + intent.duration_ms};
  act.reason = remediation.reason.empty() ? watch.verdict().text : remediation.reason;
  DropWhatItReplaces(spec, act, now_wall_ms);
  if (spec.acts.size() >= kMaxActs) {
    intent.failure = fmt::format("{} acts are laid over the limit of {} already", kMaxActs, model);
    return;
  }
  spec.acts.push_back(std::move(act));
  intent.after = std::move(after);
}

void Driver::IntendRestart(const SloWatch& watch, const RemediationSpec& remediation,
                           Intent& intent) const {
  const std::string model = remediation.target.empty() ? watch.model() : remediation.target;
  intent.target = "limit/" + model;
  const Resource* resource = world_.find(Kind::kModel, model);
  if (resource == nullptr) {
    intent.failure = fmt::format("there is no model \"{}\" to restart", model);
    return;
  }
  std::string version = VersionOf(watch, remediation, model);
  if (version.empty()) version = resource->As<domain::ModelSpec>().stable;
  for (const Campaign& campaign : campaigns_) {
    if (campaign.model == model) {
      intent.failure = fmt::format("{} {} is being restarted already", model, campaign.version);
      return;
    }
  }
  std::string why;
  Campaign campaign;
  campaign.model = model;
  campaign.version = version;
  if (NextOf(campaign, why).empty()) {
    intent.failure = why;
    return;
  }
  intent.value = static_cast<double>(LiveNodes());
  intent.restart = Intent::Restart{model, version};
  intent.text = fmt::format("restart {} {}, one node at a time", model, version);
}

}  // namespace weir::control::remedy
