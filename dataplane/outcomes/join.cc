// SPDX-License-Identifier: Apache-2.0
#include "dataplane/outcomes/join.h"

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "dataplane/outcomes/token.h"
#include "shared/base/clock.h"
#include "shared/decision/decide.h"

namespace weir::node::outcomes {
namespace {

using decision::Reason;
using decision::Split;

int64_t WindowMs(const Split* split) {
  const bool has = split != nullptr && split->attribution_ms > 0;
  return has ? split->attribution_ms : domain::RolloutSpec().attribution_window.ms;
}

std::string_view JudgedArm(std::string_view arm) {
  for (const char* judged : {telemetry::kArmStable, telemetry::kArmCanary}) {
    if (arm == judged) return judged;
  }
  return telemetry::kArmPinned;
}

telemetry::SeriesKey OfModel(const routing::ModelPlan& model, std::string_view version,
                             std::string_view arm) {
  return {"model/" + model.model->name, std::string(version), std::string(JudgedArm(arm))};
}

Result<const routing::ModelPlan*> FindModel(const routing::Plan& plan, std::string_view name) {
  const routing::ModelPlan* model = plan.Find(name);
  if (model == nullptr) return NotFound(fmt::format("model \"{}\" is unknown", name));
  return model;
}

Result<Joined> ByToken(const routing::Plan& plan, const Outcome& outcome) {
  std::string bytes;
  WEIR_ASSIGN_OR_RETURN(const Token token, DecodeToken(outcome.decision, bytes));
  if (!outcome.model.empty() && outcome.model != token.model) {
    return InvalidArgument(
        "model", fmt::format("\"{}\", but the decision is of \"{}\"", outcome.model, token.model));
  }
  WEIR_ASSIGN_OR_RETURN(const routing::ModelPlan* model, FindModel(plan, token.model));
  if (!model->by_version.contains(token.version)) {
    return NotFound(fmt::format("{} has no version \"{}\" (any more)", token.model, token.version));
  }
  const Split* split = plan.rules().model_splits().Find(token.model);
  // A canary of another rollout has nothing to say about this one.
  const bool is_of_this = split != nullptr && split->rollout == token.rollout;
  const bool is_other = token.arm == telemetry::kArmCanary && !is_of_this;
  return Joined{OfModel(*model, token.version, is_other ? telemetry::kArmPinned : token.arm),
                outcome.at_wall_ms - token.served_wall_ms > WindowMs(split)};
}

// Why the present split need not be what the key's answer came from; OK if it is.
Status CheckSplit(const Split& split, const Outcome& outcome) {
  const char* remedy = split.flag.empty() ? "; send the answer's header x-weir-decision as decision"
                                          : "; send outcomes soon after what they are of";
  if (split.random) {
    return FailedPrecondition(fmt::format(
        "rollout {} draws for each request, so a key has no arm{}", split.rollout, remedy));
  }
  if (outcome.at_wall_ms < split.since_wall_ms) {
    return FailedPrecondition(
        fmt::format("timestamp {} is before the share of rollout {} as it stands (since {}), so "
                    "the key may have had another arm{}",
                    FormatTimeMs(outcome.at_wall_ms), split.rollout,
                    FormatTimeMs(split.since_wall_ms), remedy));
  }
  return OkStatus();
}

Status TakenAway(const Split& split, std::string_view why) {
  return FailedPrecondition(
      fmt::format("{} has taken the key's arm of rollout {} away, and since when is not known here",
                  why, split.rollout));
}

bool WasUnwatched(const decision::Ruleset& rules, const Split& split, const Outcome& outcome) {
  return split.unwatched_after_ms > 0 && outcome.at_wall_ms < rules.watched_since_wall_ms;
}

// Why a key in the share need not have had its answer from the canary; OK if it must have.
Status CheckCanary(const decision::Ruleset& rules, const Split& split, const routing::Route& route,
                   const Outcome& outcome) {
  std::string_view why;
  const Reason reason = route.decision.reason;
  if (reason == Reason::kRollbackToBaseline) {
    why = "the rollback to baseline has taken the key's arm away";
  } else if (reason == Reason::kUnwatched) {
    why = "the control plane's silence has taken the key's arm away";
  } else if (WasUnwatched(rules, split, outcome)) {
    why = "nobody watched the rollout at the time, which may have taken the key's arm away";
  } else if (split.fallback) {
    why = "stable stands in for a canary that fails";
  } else if (route.arm == routing::Arm::kDiverted) {
    why = "the candidate is not READY here";
  } else if (route.target->breaker != nullptr &&
             route.target->breaker->state() != breaker::State::kClosed) {
    why = "the candidate's breaker is not closed here";
  } else {
    return OkStatus();
  }
  return FailedPrecondition(
      fmt::format("rollout {}: {}, so the canary need not have answered; send the answer's header "
                  "x-weir-decision as decision",
                  split.rollout, why));
}

Result<Joined> ModelByKey(const routing::Plan& plan, const Outcome& outcome, int64_t now_wall_ms) {
  WEIR_ASSIGN_OR_RETURN(const routing::ModelPlan* model, FindModel(plan, outcome.model));
  const Split* split = plan.rules().model_splits().Find(outcome.model);
  if (split != nullptr && !split->applies) split = nullptr;
  const bool is_late = now_wall_ms - outcome.at_wall_ms > WindowMs(split);
  if (split != nullptr && !is_late) WEIR_RETURN_IF_ERROR(CheckSplit(*split, outcome));
  const routing::Route route = plan.Decide(*model, {outcome.key, outcome.key, outcome.key}, 0);
  const bool is_canarys = split != nullptr && !split->shadow && !is_late &&
                          route.arm != routing::Arm::kPinned &&
                          decision::IsInShare(*split, outcome.key);
  if (is_canarys) WEIR_RETURN_IF_ERROR(CheckCanary(plan.rules(), *split, route, outcome));
  return Joined{OfModel(*model, route.target->version, routing::ArmName(route.arm)), is_late};
}

Result<Joined> FlagByKey(const routing::Plan& plan, const Outcome& outcome, int64_t now_wall_ms) {
  const decision::Ruleset& rules = plan.rules();
  if (rules.flags().Find(outcome.flag) == nullptr) {
    return NotFound(fmt::format("flag \"{}\" is unknown", outcome.flag));
  }
  const std::string subject = telemetry::kSplitSubject + outcome.flag;
  const Split* split = rules.flag_splits().Find(outcome.flag);
  const bool is_late = now_wall_ms - outcome.at_wall_ms > WindowMs(split);
  if (split == nullptr) return Joined{{subject, "", telemetry::kArmStable}, is_late};
  if (!is_late) WEIR_RETURN_IF_ERROR(CheckSplit(*split, outcome));
  const auto decision = decision::DecideFlag(
      rules, outcome.flag,
      {.key = outcome.key, .random = 0, .now_wall_ms = outcome.at_wall_ms, .context = {}});
  // A rollout may have that for its name.
  const bool is_unwatched =
      (decision.split == nullptr && decision.detail == decision::kUnwatchedDetail) ||
      WasUnwatched(rules, *split, outcome);
  if ((rules.IsEmergency() || is_unwatched) && !is_late) {
    if (decision::IsInShare(*split, outcome.key)) {
      return TakenAway(*split, is_unwatched ? "the control plane's silence" : "an emergency");
    }
    return Joined{{subject, split->rollout, telemetry::kArmStable}, false};
  }
  const char* arm = decision.enabled ? telemetry::kArmCanary : telemetry::kArmStable;
  if (decision.split == nullptr) arm = telemetry::kArmPinned;
  return Joined{{subject, split->rollout, arm}, is_late};
}

}  // namespace

Result<Joined> Join(const routing::Plan& plan, const Outcome& outcome, int64_t now_wall_ms) {
  if (!outcome.decision.empty()) return ByToken(plan, outcome);
  if (!outcome.flag.empty()) return FlagByKey(plan, outcome, now_wall_ms);
  return ModelByKey(plan, outcome, now_wall_ms);
}

}  // namespace weir::node::outcomes
