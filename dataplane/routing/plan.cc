// SPDX-License-Identifier: Apache-2.0
#include "dataplane/routing/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace weir::node::routing {
namespace {

using decision::Overrides;
using decision::Reason;
using decision::Ruleset;

// "" if it may answer as far as its entry goes.
std::string WhyWithheld(const std::string& model, const domain::VersionEntry& entry) {
  if (!entry.blocked.empty()) {
    return fmt::format("{} {} is blocked: {}", model, entry.version, entry.blocked);
  }
  return entry.unloaded ? fmt::format("{} {} is unloaded", model, entry.version) : "";
}

std::string WhyUnready(const runtime::VersionTable* versions, const decision::Model& of,
                       const std::string& version) {
  const std::string& model = of.name;
  if (const domain::VersionEntry* entry = of.FindVersion(version)) {
    if (std::string withheld = WhyWithheld(model, *entry); !withheld.empty()) return withheld;
  }
  const runtime::VersionStatus* status =
      versions == nullptr ? nullptr : versions->FindStatus(model, version);
  const runtime::State state = status == nullptr ? runtime::State::kLoading : status->state;
  std::string why = fmt::format("{} {} is {}", model, version, runtime::StateName(state));
  if (status != nullptr && !status->detail.empty()) why += ": " + status->detail;
  return why;
}

// The version that `arm` of a split asks for, "" if there is no such split.
std::string CandidateOf(const Ruleset& rules, const std::string& model, const std::string& arm) {
  const decision::Split* split = rules.model_splits().Find(model);
  return arm == "canary" && split != nullptr ? split->candidate : "";
}

// The rules without what is forced and cannot be followed here.
std::shared_ptr<const Ruleset> Followable(std::shared_ptr<const Ruleset> rules,
                                          const runtime::VersionTable* versions,
                                          std::vector<std::string>& not_followed) {
  if (rules->overrides == nullptr) return rules;
  Overrides kept = *rules->overrides;
  // Why the version cannot answer, "" if it can or is none of the model's.
  const auto why_unready = [&](const std::string& name, const std::string& version) {
    const decision::Model* model = rules->models().Find(name);
    const auto* entry = model == nullptr ? nullptr : model->FindVersion(version);
    if (entry == nullptr) return std::string();
    const bool is_ready = versions != nullptr && versions->Find(name, version) != nullptr;
    if (is_ready && WhyWithheld(name, *entry).empty()) return std::string();
    return WhyUnready(versions, *model, version);
  };
  std::erase_if(kept.pins, [&](const auto& pin) {
    const std::string why = why_unready(pin.first, pin.second);
    if (why.empty()) return false;
    not_followed.push_back(
        fmt::format("{} is not pinned to {} as forced: {}", pin.first, pin.second, why));
    return true;
  });
  std::erase_if(kept.splits, [&](const auto& split) {
    const std::string candidate = CandidateOf(*rules, split.first, split.second);
    const std::string why = candidate.empty() ? "" : why_unready(split.first, candidate);
    if (why.empty()) return false;
    not_followed.push_back(
        fmt::format("split of {} is not at canary as forced: {}", split.first, why));
    return true;
  });
  if (not_followed.empty()) return rules;
  auto followed = std::make_shared<Ruleset>(*rules);
  followed->overrides = std::make_shared<const Overrides>(std::move(kept));
  return followed;
}

class Builder {
 public:
  Builder(const runtime::VersionTable* versions, Recorders& recorders, breaker::Breakers* breakers,
          const admission::Gates* gates)
      : versions_(versions), recorders_(recorders), breakers_(breakers), gates_(gates) {}

  std::shared_ptr<const ModelPlan> Build(const decision::Ruleset& rules,
                                         const decision::Model& model) {
    auto plan = std::make_shared<ModelPlan>();
    plan->model = &model;
    if (gates_ != nullptr) plan->gate = gates_->Find(model.name);
    const decision::ArmDecision anyone = decision::DecideArm(rules, model, {}, 0);
    if (anyone.reason == Reason::kPinned || anyone.reason == Reason::kOverride) {
      plan->pinned = anyone.version;
    }
    plan->stable = MakeTarget(model, model.stable, telemetry::kArmStable);
    AddSplit(rules, model, *plan);
    for (const domain::VersionEntry& entry : model.versions) {
      plan->by_version.emplace(entry.version,
                               MakeTarget(model, entry.version, telemetry::kArmPinned));
    }
    for (const domain::TensorSpec& input : model.inputs) {
      // The control plane lets no other datatypes in; FP32 then refuses what does not look like it.
      plan->inputs.push_back(
          {input.name, runtime::ParseDataType(input.datatype).value_or(runtime::DataType::kFp32),
           input.shape});
    }
    plan->takes_anything =
        model.inputs.empty() &&
        std::all_of(model.versions.begin(), model.versions.end(),
                    [](const domain::VersionEntry& entry) { return !entry.urls.empty(); });
    for (const std::string& flag : model.flags) AddFlag(rules, flag, *plan);
    return plan;
  }

 private:
  void AddSplit(const decision::Ruleset& rules, const decision::Model& model, ModelPlan& plan) {
    const decision::Split* split = rules.model_splits().Find(model.name);
    if (split == nullptr) return;
    if (split->applies) plan.split = split;
    if (split->shadow) {
      plan.shadow = MakeTarget(model, split->candidate, telemetry::kArmShadow);
      return;
    }
    plan.canary = MakeTarget(model, split->candidate, telemetry::kArmCanary);
    // A split that sends nothing ends the breaker's episode: the next one begins without it.
    if (breakers_ == nullptr || !split->applies || split->threshold == 0) return;
    plan.canary->breaker = breakers_->Prepare(model.name, split->candidate);
  }

  void AddFlag(const decision::Ruleset& rules, const std::string& name, ModelPlan& plan) {
    FlagPlan flag{.name = name, .hash_key = "user_id", .on = nullptr, .off = nullptr};
    if (plan.split != nullptr) flag.hash_key = plan.split->hash_key;
    const decision::Split* split = rules.flag_splits().Find(name);
    if (split != nullptr && split->applies) {
      flag.hash_key = split->hash_key;
      const std::string subject = telemetry::kSplitSubject + name;
      flag.on = recorders_.Prepare({subject, split->rollout, telemetry::kArmCanary});
      flag.off = recorders_.Prepare({subject, split->rollout, telemetry::kArmStable});
    }
    plan.flags.push_back(std::move(flag));
  }

  Target MakeTarget(const decision::Model& model, const std::string& version, const char* arm) {
    Target target;
    target.version = version;
    target.recorder = recorders_.Prepare(model.name, version, arm);
    const domain::VersionEntry* entry = model.FindVersion(version);
    if (entry != nullptr) {
      target.fault = entry->fault;
      target.is_service = !entry->urls.empty();
      target.is_predict = entry->runtime == "predict";
    }
    const bool is_withheld = entry != nullptr && !WhyWithheld(model.name, *entry).empty();
    if (versions_ != nullptr && !is_withheld) {
      target.handle = versions_->Find(model.name, version);
    }
    if (target.handle == nullptr) target.unready = WhyUnready(versions_, model, version);
    return target;
  }

  const runtime::VersionTable* versions_;
  Recorders& recorders_;
  breaker::Breakers* const breakers_;    // may be null
  const admission::Gates* const gates_;  // may be null
};

}  // namespace

const char* ArmName(Arm arm) {
  switch (arm) {
    case Arm::kStable:
      return telemetry::kArmStable;
    case Arm::kCanary:
      return telemetry::kArmCanary;
    case Arm::kPinned:
      return telemetry::kArmPinned;
    case Arm::kDiverted:
      return "diverted";
  }
  return "?";
}

const Target& ModelPlan::Serving() const {
  const auto found = by_version.find(pinned);
  return found == by_version.end() ? stable : found->second;
}

std::shared_ptr<const Plan> Plan::Build(std::shared_ptr<const decision::Ruleset> rules,
                                        const runtime::VersionTable* versions, Recorders& recorders,
                                        breaker::Breakers* breakers,
                                        const admission::Gates* gates) {
  auto plan = std::make_shared<Plan>();
  rules = Followable(std::move(rules), versions, plan->not_followed_);
  Builder builder(versions, recorders, breakers, gates);
  rules->models().ForEach(
      [&](const decision::Model& model) { plan->models_.Set(builder.Build(*rules, model)); });
  plan->snapshot_ = fmt::format("{}.{}", rules->epoch, rules->version);
  plan->rules_ = std::move(rules);
  return plan;
}

Route Plan::Decide(const ModelPlan& model, const decision::Keys& keys, uint64_t random) const {
  Route route;
  route.decision = decision::DecideArm(*rules_, *model.model, keys, random);
  const Reason reason = route.decision.reason;
  if (reason == Reason::kPinned || reason == Reason::kOverride) {
    route.arm = Arm::kPinned;
    route.target = &model.Serving();
  } else if (!route.decision.is_canary) {
    route.target = &model.stable;
  } else if (model.canary->handle != nullptr) {
    route.arm = Arm::kCanary;
    route.target = &*model.canary;
  } else {
    Divert(model, route);
  }
  return route;
}

void Plan::Divert(const ModelPlan& model, Route& route) {
  route.arm = Arm::kDiverted;
  route.target = &model.stable;
}

}  // namespace weir::node::routing
