// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/operator.h"

#include <utility>

namespace weir::sim {
namespace {

using control::catalog::Change;
using domain::Kind;

constexpr int kVersions = 4;

}  // namespace

Change Put(Kind kind, const std::string& name, domain::Spec spec) {
  Change change;
  change.resource.kind = kind;
  change.resource.name = name;
  change.resource.spec = std::move(spec);
  return change;
}

void Operator::Commit(ControlProcess& control, control::Engine& engine, Changes changes,
                      const std::string& what) {
  control::catalog::CommitRequest request;
  request.changes = std::move(changes);
  request.actor = "cli:alice";
  request.reason = fmt::format("change {}", ++asked_);
  request.force_removal = true;
  timeline_.Tell("{} asks for {}", request.reason, what);
  control.Commit(engine, std::move(request));
}

Change Operator::Flag(const std::string& name) {
  domain::FlagSpec spec;
  spec.enabled = random_.Chance(0.9);
  spec.rollout_percentage = static_cast<double>(random_.Between(0, 100));
  spec.description = fmt::format("{}", random_.Between(0, 9));
  return Put(Kind::kFlag, name, std::move(spec));
}

Change Operator::Model(control::Engine& engine) {
  const domain::Resource* model = engine.catalog().Find(Kind::kModel, "m");
  domain::ModelSpec spec;
  if (model != nullptr) spec = model->As<domain::ModelSpec>();
  if (spec.stable.empty()) spec.stable = "1";
  for (int i = 1; i <= kVersions; ++i) {
    const std::string digit(1, static_cast<char>('0' + i));
    domain::VersionSpec& version = spec.versions[digit];
    version.runtime = "xgboost";
    version.blob = "sha256:" + std::string(63, '0') + digit;
    if (model != nullptr) version.unloaded = false;
  }
  return Put(Kind::kModel, "m", std::move(spec));
}

Change Operator::Rollout() {
  domain::RolloutSpec spec;
  spec.model = "m";
  spec.candidate = std::string(1, static_cast<char>('0' + random_.Between(1, kVersions)));
  const auto share = static_cast<double>(random_.Between(10, 60));
  spec.phases = {{.name = "some", .percentage = share, .duration = {random_.Between(500, 3000)}},
                 {.name = "all", .percentage = 100, .duration = {random_.Between(500, 1500)}}};
  spec.phases[0].min_requests = static_cast<uint64_t>(random_.Between(0, 50));
  spec.rollback.cooldown = {0};
  return Put(Kind::kRollout, fmt::format("r{}", ++rollouts_), std::move(spec));
}

Change Operator::Emergency(bool is_calm) {
  domain::EmergencySpec spec;
  if (!is_calm) {
    spec.kill_switch = random_.Chance(0.5);
    spec.rollback_to_baseline = random_.Chance(0.3);
    spec.freeze = random_.Chance(0.3);
  }
  return Put(Kind::kEmergency, "default", spec);
}

void Operator::Found(ControlProcess& control, control::Engine& engine) {
  Changes changes = {Model(engine)};
  for (const char* name : {"f0", "f1", "odd0"}) changes.push_back(Flag(name));
  Commit(control, engine, std::move(changes), "the beginning");
}

void Operator::CalmDown(ControlProcess& control, control::Engine& engine) {
  Commit(control, engine, {Emergency(true)}, "calm");
}

void Operator::Act(ControlProcess& control, control::Engine& engine) {
  if (engine.catalog().Find(Kind::kModel, "m") == nullptr) return Found(control, engine);
  const int64_t choice = random_.Between(0, 99);
  if (choice < 40) {
    const bool is_odd = random_.Chance(0.4);
    const std::string name = fmt::format("{}{}", is_odd ? "odd" : "f", random_.Between(0, 3));
    return Commit(control, engine, {Flag(name)}, "flag " + name);
  }
  if (choice < 48) {
    Change change;
    change.resource.kind = Kind::kFlag;
    change.resource.name =
        fmt::format("{}{}", random_.Chance(0.5) ? "odd" : "f", random_.Between(0, 3));
    change.remove = true;
    return Commit(control, engine, {change}, "no flag " + change.resource.name);
  }
  if (choice < 56) {
    Changes changes;
    for (int i = 0; i < 12; ++i) changes.push_back(Flag(fmt::format("batch{}", i)));
    return Commit(control, engine, std::move(changes), "many flags");
  }
  if (choice < 66) return Commit(control, engine, {Emergency(false)}, "an emergency");
  if (choice < 72) return Commit(control, engine, {Model(engine)}, "the model");
  if (choice < 90) return Commit(control, engine, {Rollout()}, "a rollout");
  Order(control, engine);
}

void Operator::Order(ControlProcess& control, control::Engine& engine) {
  using control::rollout::Verb;
  constexpr Verb kVerbs[] = {Verb::kPause, Verb::kResume, Verb::kPromote,
                             Verb::kAbort, Verb::kRetry,  Verb::kRollback};
  std::vector<std::string> names;
  engine.catalog().ForEach(Kind::kRollout,
                           [&](const domain::Resource& rollout) { names.push_back(rollout.name); });
  if (names.empty()) return;
  const auto last = static_cast<int64_t>(names.size()) - 1;
  const std::string name = names[static_cast<size_t>(random_.Between(0, last))];
  control::rollout::Command command;
  command.verb = kVerbs[random_.Between(0, 5)];
  command.actor = "cli:bob";
  command.reason = fmt::format("order {}", ++asked_);
  command.emergency = command.verb == Verb::kRollback && random_.Chance(0.3);
  timeline_.Tell("{}: {} for {}", command.reason, static_cast<int>(command.verb), name);
  control.Order(engine, name, command);
}

}  // namespace weir::sim
