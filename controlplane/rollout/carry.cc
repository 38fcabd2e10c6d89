// SPDX-License-Identifier: Apache-2.0
// From a step to a commit: the rollout's status, and in the same revision what becomes of its model
// or flag.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "controlplane/rollout/driver.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/text.h"
#include "shared/codec/domain_fields.h"

namespace weir::control::rollout {
namespace {

using codec::Json;
using domain::Kind;
using domain::ModelSpec;
using domain::Resource;
using domain::RolloutSpec;
using domain::RolloutStatus;

// Of a step that takes the rollout back, or of its end: history shows it.
Json EvidenceOf(const Step& step, const Evidence& nodes) {
  const RolloutStatus& status = step.next;
  const bool is_end = step.kind == Step::Kind::kComplete;
  if (!is_end && step.kind != Step::Kind::kRollback && step.kind != Step::Kind::kBack &&
      !step.blocks) {
    return {};
  }
  Json evidence = status.last_verdict ? codec::ToJson(*status.last_verdict) : Json::object();
  evidence["kind"] = status.rollback_kind;
  evidence["by"] = status.rollback_by;
  evidence["percentage_before"] = status.percentage_before;
  evidence["percentage"] = status.percentage;
  if (!is_end) return evidence;
  evidence["status"] = "complete";
  evidence["started_at"] = FormatTimeMs(status.rollback_started_at.ms);
  evidence["completed_at"] = FormatTimeMs(status.completed_at.ms);
  evidence["duration_ms"] = status.completed_at.ms - status.rollback_started_at.ms;
  evidence["nodes"] = nodes.live_nodes;
  return evidence;
}

// Back to the flag's percentage before the promotion, unless somebody has set another one since.
void FlagAfter(domain::FlagSpec& flag, const Step& step, const RolloutStatus& before) {
  if (step.kind == Step::Kind::kPromote) flag.rollout_percentage = 100;
  if (step.restores_stable && flag.rollout_percentage == 100.0)
    flag.rollout_percentage = before.percentage_before;
}

bool IsLeading(const Step& step) {
  return step.kind == Step::Kind::kPromote || step.next.state == "progressing";
}

}  // namespace

Result<uint64_t> Driver::Carry(const Resource& rollout, const Step& step, const std::string& actor,
                               const std::string& reason, int64_t now_wall_ms,
                               const Json& evidence) {
  const RolloutSpec& spec = rollout.As<RolloutSpec>();
  Step full = step;
  RolloutStatus& next = full.next;
  const bool goes_back = step.kind == Step::Kind::kRollback || step.kind == Step::Kind::kBack;
  if (goes_back && next.rollback_by.empty()) next.rollback_by = actor;
  CommitPlan plan{.resources = {rollout}, .actor = actor, .reason = reason, .evidence = {}};
  if (const Resource* model = world_.find(Kind::kModel, spec.model);
      !spec.model.empty() && model != nullptr) {
    if (step.kind == Step::Kind::kPromote ||
        (step.kind == Step::Kind::kRollback && !step.restores_stable)) {
      next.previous_stable = model->As<ModelSpec>().stable;
    }
    WEIR_ASSIGN_OR_RETURN(Resource after, ModelAfter(*model, rollout, full, actor, reason));
    const bool is_graceful_end =
        step.kind == Step::Kind::kComplete && next.rollback_kind == "graceful";
    auto& versions = after.As<ModelSpec>().versions;
    if (is_graceful_end && versions.contains(spec.candidate) &&
        !IsWanted(*model, spec.candidate, rollout.name, now_wall_ms)) {
      versions[spec.candidate].unloaded = true;
    }
    if (after.spec != model->spec) plan.resources.push_back(std::move(after));
  } else if (const Resource* flag = world_.find(Kind::kFlag, spec.flag);
             !spec.flag.empty() && flag != nullptr) {
    Resource after = *flag;
    if (step.kind == Step::Kind::kPromote)
      next.percentage_before = flag->As<domain::FlagSpec>().rollout_percentage.value_or(100);
    FlagAfter(after.As<domain::FlagSpec>(), step, *rollout.status);
    if (after.spec != flag->spec) plan.resources.push_back(std::move(after));
  }
  if (step.kind == Step::Kind::kComplete) {
    const auto run = runs_.find(rollout.name);
    next.rollback_revision = run != runs_.end() && run->second.rollback_revision != 0
                                 ? run->second.rollback_revision
                                 : rollout.revision;
  }
  Evidence nodes;
  if (step.kind == Step::Kind::kComplete) GatherNodes(rollout, nullptr, nodes);
  plan.evidence = EvidenceOf(full, nodes);
  if (!evidence.is_null()) plan.evidence["policy"] = evidence;
  plan.resources[0].status = next;
  // An emergency on what was promoted is not held up by the rollout that came after it.
  if (step.restores_stable && step.blocks) {
    world_.for_each(Kind::kRollout, [&](const Resource& other) {
      const RolloutSpec& theirs = other.As<RolloutSpec>();
      if (other.name == rollout.name || !other.status || !domain::IsActive(*other.status)) return;
      if (theirs.model != spec.model || theirs.flag != spec.flag) return;
      Resource ended = other;
      ended.status->state = "aborted";
      ended.status->percentage = 0;
      ended.status->since = {now_wall_ms};
      domain::VerdictRecord why;
      why.trigger = "emergency";
      why.action = "abort";
      why.evidence = fmt::format("aborted: {} was rolled back in an emergency", rollout.name);
      why.detected_at = {now_wall_ms};
      plan.reason +=
          fmt::format("{}{} {}", plan.reason.empty() ? "" : "; ", other.name, why.evidence);
      ended.status->last_verdict = std::move(why);
      plan.resources.push_back(std::move(ended));
    });
  }
  return world_.commit(plan);
}

Result<Resource> Driver::ModelAfter(const Resource& model, const Resource& rollout,
                                    const Step& step, const std::string& actor,
                                    const std::string& reason) const {
  const RolloutSpec& spec = rollout.As<RolloutSpec>();
  Resource after = model;
  auto& now = after.As<ModelSpec>();
  const auto candidate = now.versions.find(spec.candidate);
  if (candidate == now.versions.end()) return after;
  if (step.unblocks) candidate->second.blocked.clear();
  if (IsLeading(step)) {
    if (!candidate->second.blocked.empty()) {
      return FailedPrecondition(fmt::format("version {} of {} is blocked: {} (--force lifts it)",
                                            spec.candidate, model.name, candidate->second.blocked));
    }
    candidate->second.unloaded = false;
    if (now.versions.contains(now.stable)) now.versions[now.stable].unloaded = false;
  }
  if (step.kind == Step::Kind::kPromote) now.stable = spec.candidate;
  if (step.restores_stable) {
    const std::string& previous = rollout.status->previous_stable;
    const auto kept = now.versions.find(previous);
    if (now.stable != spec.candidate) {
      return FailedPrecondition(
          fmt::format("stable of {} is {} by now, not {}", model.name, now.stable, spec.candidate));
    }
    if (kept == now.versions.end() || !kept->second.blocked.empty()) {
      return FailedPrecondition(fmt::format(
          "version {} of {}, which was stable before, {}", previous, model.name,
          kept == now.versions.end() ? "is gone" : "is blocked: " + kept->second.blocked));
    }
    kept->second.unloaded = false;
    now.stable = previous;
  }
  if (!step.blocks) return after;
  if (now.stable == spec.candidate) {
    return FailedPrecondition(
        fmt::format("version {} is stable of {} by now: blocking it would leave nobody to answer; "
                    "roll back the rollout that promoted it",
                    spec.candidate, model.name));
  }
  candidate->second.blocked = fmt::format("emergency rollback of {} by {}{}", rollout.name, actor,
                                          reason.empty() ? "" : ": " + reason);
  if (now.pinned == spec.candidate) now.pinned.clear();
  return after;
}

bool Driver::IsWanted(const Resource& model, const std::string& version, const std::string& besides,
                      int64_t now_wall_ms) const {
  const auto& spec = model.As<ModelSpec>();
  bool is_wanted = spec.stable == version || spec.pinned == version;
  world_.for_each(Kind::kRollout, [&](const Resource& other) {
    const RolloutSpec& theirs = other.As<RolloutSpec>();
    if (other.name == besides || theirs.model != model.name || !other.status) return;
    const RolloutStatus& status = *other.status;
    const bool leads = domain::IsActive(status) || status.state == "pending";
    const bool keeps = status.state == "promoted" && !status.unloaded_previous &&
                       now_wall_ms < status.promoted_at.ms + theirs.rollback.keep_previous.ms;
    is_wanted |=
        (leads && theirs.candidate == version) || (keeps && status.previous_stable == version);
  });
  return is_wanted;
}

// A rollout leads to versions that are loaded: what was let go is wanted again.
bool Driver::LoadWanted(const Resource& rollout) {
  const RolloutSpec& spec = rollout.As<RolloutSpec>();
  const Resource* model = spec.model.empty() ? nullptr : world_.find(Kind::kModel, spec.model);
  if (model == nullptr) return false;
  const std::string stable = model->As<ModelSpec>().stable;
  const auto is_unloaded = [&](const std::string& version) {
    const auto& versions = model->As<ModelSpec>().versions;
    const auto found = versions.find(version);
    return found != versions.end() && found->second.unloaded;
  };
  if (!is_unloaded(stable) && !is_unloaded(spec.candidate)) return false;
  CommitPlan plan{.resources = {*model},
                  .actor = "rollout/" + rollout.name,
                  .reason = fmt::format("{} and {} are wanted again", stable, spec.candidate),
                  .evidence = {}};
  for (auto& [name, version] : plan.resources[0].As<ModelSpec>().versions) {
    if (name == stable || name == spec.candidate) version.unloaded = false;
  }
  return world_.commit(plan).ok();
}

// keep_previous has passed: nodes may let go of what a promotion replaced.
bool Driver::UnloadPrevious(int64_t now_wall_ms) {
  std::vector<std::string> due;
  world_.for_each(Kind::kRollout, [&](const Resource& rollout) {
    const RolloutSpec& spec = rollout.As<RolloutSpec>();
    if (spec.model.empty() || !rollout.status || rollout.status->state != "promoted") return;
    const RolloutStatus& status = *rollout.status;
    if (status.unloaded_previous || status.promoted_at.ms == 0) return;
    if (now_wall_ms >= status.promoted_at.ms + spec.rollback.keep_previous.ms)
      due.push_back(rollout.name);
  });
  bool committed = false;
  for (const std::string& name : due) {
    const Resource& rollout = *world_.find(Kind::kRollout, name);
    const std::string previous = rollout.status->previous_stable;
    const Resource* model = world_.find(Kind::kModel, rollout.As<RolloutSpec>().model);
    if (model != nullptr && IsWanted(*model, previous, name, now_wall_ms)) continue;
    CommitPlan plan{.resources = {rollout},
                    .actor = "rollout/" + name,
                    .reason = fmt::format(
                        "{} was kept for {} after the promotion", previous,
                        FormatDurationMs(rollout.As<RolloutSpec>().rollback.keep_previous.ms)),
                    .evidence = {}};
    plan.resources[0].status->unloaded_previous = true;
    if (model != nullptr && model->As<ModelSpec>().versions.contains(previous)) {
      plan.resources.push_back(*model);
      plan.resources.back().As<ModelSpec>().versions[previous].unloaded = true;
    }
    const Result<uint64_t> revision = world_.commit(plan);
    committed |= revision.ok();
    std::string& told = not_unloaded_[name];
    const std::string why = revision.ok() ? "" : revision.status().ToString();
    if (std::exchange(told, why) != why && !why.empty())
      Log("rollout").error("{}: {} stays loaded: {}", name, previous, why);
  }
  return committed;
}

// Everyone must be able to answer with stable before the candidate may go.
Status Driver::CheckGraceful(const Resource& rollout) const {
  const RolloutSpec& spec = rollout.As<RolloutSpec>();
  const Resource* model = spec.model.empty() ? nullptr : world_.find(Kind::kModel, spec.model);
  if (model == nullptr) return OkStatus();
  const bool was_promoted = rollout.status && rollout.status->state == "promoted";
  const std::string& stable =
      was_promoted ? rollout.status->previous_stable : model->As<ModelSpec>().stable;
  std::vector<std::string> missing;
  for (const NodeFacts& node : nodes_) {
    if (!node.live) continue;
    std::string state = "LOADING";
    for (const NodeFacts::Version& version : node.versions) {
      if (version.model == spec.model && version.version == stable) state = version.state;
    }
    if (state != "READY") missing.push_back(node.id + ": " + state);
  }
  if (missing.empty()) return OkStatus();
  return FailedPrecondition(
      fmt::format("stable {} of {} is not READY on {}; a graceful rollback would leave requests "
                  "without an answer (rollback without --graceful does not wait for it)",
                  stable, spec.model, Join(missing, ", ")));
}

Result<uint64_t> Driver::Obey(const std::string& name, Command command, int64_t now_wall_ms) {
  const Resource* rollout = world_.find(Kind::kRollout, name);
  if (rollout == nullptr) return NotFound(fmt::format("rollout \"{}\" does not exist", name));
  const RolloutStatus status = rollout->status.value_or(RolloutStatus{});
  const bool promotes = command.verb == Verb::kPromote || command.verb == Verb::kPromoteFull;
  if (promotes || command.verb == Verb::kApprove)
    command.spec = DigestOf(rollout->As<RolloutSpec>());
  if (const auto run = runs_.find(name); promotes && run != runs_.end()) {
    for (const GateMemory& gate : run->second.gates) {
      if (run->second.phase == status.phase)
        command.gates.push_back({gate.state == "passed", gate.state == "failed", gate.reason});
    }
  }
  WEIR_ASSIGN_OR_RETURN(const Step step,
                        rollout::Obey(rollout->As<RolloutSpec>(), status, command, now_wall_ms));
  if (command.graceful) WEIR_RETURN_IF_ERROR(CheckGraceful(*rollout));
  WEIR_ASSIGN_OR_RETURN(const uint64_t revision, Carry(*rollout, step, command.actor, step.reason,
                                                       now_wall_ms, command.evidence));
  if (command.emergency) {
    Notify("emergency_rollback", "critical",
           {{"rollout", name}, {"actor", command.actor}, {"reason", command.reason}});
  }
  const auto found = runs_.find(name);
  if (found == runs_.end()) return revision;
  Run& run = found->second;
  AfterCommit(run, step, revision);
  if (command.verb == Verb::kResume) {
    // A person has looked: only what happens from now on stops it again.
    JudgeAnew(run);
    for (GateMemory& gate : run.gates) gate.is_excused = gate.state == "failed";
  }
  return revision;
}

}  // namespace weir::control::rollout
