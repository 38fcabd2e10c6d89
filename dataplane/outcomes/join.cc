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
  return Joined{OfModel(*model, token.version, token.arm),
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

Result<Joined> ModelByKey(const routing::Plan& plan, const Outcome& outcome, int64_t now_wall_ms) {
  WEIR_ASSIGN_OR_RETURN(const routing::ModelPlan* model, FindModel(plan, outcome.model));
  const Split* split = plan.rules().model_splits().Find(outcome.model);
  if (split != nullptr && !split->applies) split = nullptr;
  const bool is_late = now_wall_ms - outcome.at_wall_ms > WindowMs(split);
  if (split != nullptr && !is_late) WEIR_RETURN_IF_ERROR(CheckSplit(*split, outcome));
  const routing::Route route = plan.Decide(*model, {outcome.key, outcome.key, outcome.key}, 0);
  const Reason reason = route.decision.reason;
  const bool is_held_back = reason == Reason::kRollbackToBaseline || reason == Reason::kUnwatched;
  if (is_held_back && split != nullptr && !split->shadow && !is_late &&
      decision::IsInShare(*split, outcome.key)) {
    return TakenAway(*split, reason == Reason::kUnwatched ? "the control plane's silence"
                                                          : "the rollback to baseline");
  }
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
  const bool is_unwatched = decision.detail == decision::kUnwatchedDetail;
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
