// SPDX-License-Identifier: Apache-2.0
#include "controlplane/catalog/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "shared/codec/flag_check.h"
#include "shared/codec/json.h"

namespace weir::control::catalog {
namespace {

using domain::Kind;
using domain::Resource;
using domain::RolloutSpec;
using domain::RolloutStatus;

std::string NameOf(const Resource& resource) {
  return fmt::format("{}/{}", domain::KindName(resource.kind), resource.name);
}

Status Refuse(const Resource& resource, std::string field, const std::string& why) {
  return {Code::kFailedPrecondition, NameOf(resource) + ": " + why, std::move(field)};
}

bool IsRunning(const Resource& rollout) {
  return rollout.status.has_value() && domain::IsActive(*rollout.status);
}

bool SameSubject(const RolloutSpec& a, const RolloutSpec& b) {
  return a.model == b.model && a.flag == b.flag;
}

void KeepSeed(Resource& resource, const Resource& current) {
  if (auto* flag = std::get_if<domain::FlagSpec>(&resource.spec)) {
    if (flag->hash_seed.empty()) flag->hash_seed = current.As<domain::FlagSpec>().hash_seed;
  } else if (auto* experiment = std::get_if<domain::ExperimentSpec>(&resource.spec)) {
    if (!experiment->hash_seed.empty()) return;
    experiment->hash_seed = current.As<domain::ExperimentSpec>().hash_seed;
  } else if (auto* rollout = std::get_if<RolloutSpec>(&resource.spec)) {
    const auto& before = current.As<RolloutSpec>();
    if (rollout->hash_seed.empty() && SameSubject(*rollout, before)) {
      rollout->hash_seed = before.hash_seed;
    }
  }
}

void Begin(Resource& rollout, int64_t now_wall_ms) {
  const auto& spec = rollout.As<RolloutSpec>();
  RolloutStatus& status = rollout.status.emplace();
  status.since.ms = now_wall_ms;
  if (spec.start != "auto" || spec.phases.empty()) return;
  status.state = "progressing";
  status.percentage = spec.phases[0].percentage;
  status.entered.push_back({now_wall_ms});
}

// What users were bucketed by must stand while they are.
Status CheckRunningSpec(const Resource& rollout, const Resource& current) {
  const auto& now = rollout.As<RolloutSpec>();
  const auto& before = current.As<RolloutSpec>();
  const std::pair<const char*, bool> fixed[] = {{"model", now.model == before.model},
                                                {"flag", now.flag == before.flag},
                                                {"candidate", now.candidate == before.candidate},
                                                {"hash_key", now.hash_key == before.hash_key},
                                                {"hash_seed", now.hash_seed == before.hash_seed},
                                                {"strategy", now.strategy == before.strategy}};
  for (const auto& [field, same] : fixed) {
    if (same) continue;
    return Refuse(rollout, fmt::format("spec.{}", field),
                  fmt::format("cannot change while the rollout is {}; abort it first, or make "
                              "another rollout",
                              current.status->state));
  }
  if (IsRunning(rollout) && now.phases.size() <= rollout.status->phase) {
    return Refuse(rollout, "spec.phases",
                  fmt::format("has {} phases, but the rollout is in phase {}", now.phases.size(),
                              rollout.status->phase + 1));
  }
  // Its place is kept as a number: another phase there would be entered past all gates.
  const uint64_t at = current.status->phase;
  if (at < before.phases.size() &&
      (at >= now.phases.size() || now.phases[at].name != before.phases[at].name)) {
    return Refuse(rollout, "spec.phases",
                  fmt::format("is in phase {}; a change that moves another phase to its place{} "
                              "would pass over gates: abort it and start it again, or change only "
                              "what comes after {}",
                              before.phases[at].name,
                              at < now.phases.size() ? " (" + now.phases[at].name + ")" : "",
                              before.phases[at].name));
  }
  return OkStatus();
}

// Another percentage of the phase that a rollout is in holds at once. What the system itself
// commits carries another status.
void FollowPhase(Resource& rollout, const Resource& current, int64_t now_wall_ms) {
  RolloutStatus& status = *rollout.status;
  const bool is_under_way = status.state == "progressing" || status.state == "paused";
  const auto& then = current.As<RolloutSpec>().phases;
  const auto& now = rollout.As<RolloutSpec>().phases;
  if (!is_under_way || status != *current.status || status.phase >= then.size() ||
      status.phase >= now.size() || status.percentage != then[status.phase].percentage ||
      status.percentage == now[status.phase].percentage) {
    return;
  }
  status.percentage = now[status.phase].percentage;
  status.since.ms = now_wall_ms;
  if (status.phase < status.entered.size()) status.entered[status.phase].ms = now_wall_ms;
}

Status PrepareRollout(Resource& rollout, const Resource* current, int64_t now_wall_ms) {
  const bool given = rollout.status.has_value();
  if (current == nullptr) {
    if (!given) Begin(rollout, now_wall_ms);
    return OkStatus();
  }
  if (!given) rollout.status = current->status;
  if (IsRunning(*current)) {
    FollowPhase(rollout, *current, now_wall_ms);
    return CheckRunningSpec(rollout, *current);
  }
  const auto& now = rollout.As<RolloutSpec>();
  const auto& before = current->As<RolloutSpec>();
  const bool another = !SameSubject(now, before) || now.candidate != before.candidate;
  const bool released = current->status->state == "pending" && now.start != before.start;
  if (!given && (another || released)) Begin(rollout, now_wall_ms);
  return OkStatus();
}

// What answers everyone is loaded, and may answer.
Status PrepareModel(Resource& model) {
  auto& spec = model.As<domain::ModelSpec>();
  const std::pair<const char*, const std::string*> wanted[] = {{"stable", &spec.stable},
                                                               {"pinned", &spec.pinned}};
  for (const auto& [field, name] : wanted) {
    const auto version = spec.versions.find(*name);
    if (version == spec.versions.end()) continue;
    if (!version->second.blocked.empty()) {
      return Refuse(model, fmt::format("spec.{}", field),
                    fmt::format("version {} is blocked: {}; nobody would be answered. Name another "
                                "version, or clear versions.{}.blocked first (weir rollout retry "
                                "NAME --force does, and leads to it in steps)",
                                *name, version->second.blocked, *name));
    }
    version->second.unloaded = false;
  }
  return OkStatus();
}

Status CheckRolloutStatus(const Resource& rollout) {
  static const char* const kStates[] = {"pending",  "progressing",  "paused",      "frozen",
                                        "promoted", "rolling_back", "rolled_back", "aborted"};
  const RolloutStatus& status = *rollout.status;
  const auto fail = [&](const char* field, const std::string& why) {
    return InvalidArgument(field, NameOf(rollout) + ": " + why);
  };
  if (std::find(std::begin(kStates), std::end(kStates), status.state) == std::end(kStates)) {
    return fail("status.state", fmt::format("\"{}\" is not a state of a rollout", status.state));
  }
  const auto fine = domain::ToFinePercent(status.percentage);
  if (!fine.ok()) return fail("status.percentage", fine.status().message());
  if (domain::IsActive(status) && status.phase >= rollout.As<RolloutSpec>().phases.size()) {
    return fail("status.phase", fmt::format("{} is not one of the phases", status.phase));
  }
  return OkStatus();
}

// Nobody is led to a version that may answer nobody.
Status CheckBlocked(const Proposal& proposal, const Resource& rollout) {
  const auto& spec = rollout.As<RolloutSpec>();
  const Resource* model = proposal.Find(Kind::kModel, spec.model);
  if (model == nullptr || rollout.status->state != "progressing") return OkStatus();
  const auto& versions = model->As<domain::ModelSpec>().versions;
  const auto candidate = versions.find(spec.candidate);
  if (candidate == versions.end() || candidate->second.blocked.empty()) return OkStatus();
  const std::string& blocked = candidate->second.blocked;
  std::string remedy = fmt::format("clear versions.{}.blocked", spec.candidate);
  proposal.ForEach(Kind::kRollout, [&](const Resource& other) {
    if (blocked.starts_with(fmt::format("emergency rollback of {} by ", other.name)))
      remedy = fmt::format("weir rollout retry {} --force lifts the block", other.name);
  });
  return Refuse(rollout, "spec.candidate",
                fmt::format("version {} of {} is blocked: {} ({})", spec.candidate, spec.model,
                            blocked, remedy));
}

Status Explained(const Resource& resource, codec::Errors violations) {
  for (domain::Violation& violation : violations) {
    violation.message = NameOf(resource) + ": " + violation.message;
  }
  return codec::ToStatus(violations);
}

// Removals
// ------------------------------------------------------------------------------------------------

bool Names(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Flags, models and running rollouts that name a flag: without it they could not be committed.
Status CheckRemovedFlag(const Proposal& proposal, const Resource& gone) {
  Status status;
  proposal.ForEach(Kind::kFlag, [&](const Resource& flag) {
    const auto parents = domain::FlagParents(flag.name, flag.As<domain::FlagSpec>());
    if (Names(parents, gone.name))
      status = Refuse(gone, "", fmt::format("flag \"{}\" requires it", flag.name));
  });
  proposal.ForEach(Kind::kModel, [&](const Resource& model) {
    if (Names(model.As<domain::ModelSpec>().flags, gone.name))
      status = Refuse(gone, "", fmt::format("model \"{}\" lists it in its flags", model.name));
  });
  proposal.ForEach(Kind::kRollout, [&](const Resource& rollout) {
    if (!IsRunning(rollout)) return;
    for (const domain::Phase& phase : rollout.As<RolloutSpec>().phases) {
      if (!Names(phase.flags, gone.name)) continue;
      status = Refuse(gone, "",
                      fmt::format("phase {} of rollout \"{}\", which is {}, switches it",
                                  phase.name, rollout.name, rollout.status->state));
    }
  });
  return status;
}

// Everything that still needs a flag or a model that goes.
Status CheckRemoved(const Proposal& proposal, const Resource& gone) {
  if (gone.kind == Kind::kEmergency) {
    return Refuse(gone, "", "cannot be deleted; switch it off instead");
  }
  Status status = gone.kind == Kind::kFlag ? CheckRemovedFlag(proposal, gone) : OkStatus();
  if (gone.kind != Kind::kFlag && gone.kind != Kind::kModel) return status;
  proposal.ForEach(Kind::kRollout, [&](const Resource& rollout) {
    const auto& spec = rollout.As<RolloutSpec>();
    if ((gone.kind == Kind::kFlag ? spec.flag : spec.model) != gone.name) return;
    if (!IsRunning(rollout)) return;
    status = Refuse(gone, "",
                    fmt::format("rollout \"{}\" is {} on it", rollout.name, rollout.status->state));
  });
  return status;
}

// A flag with variants has no share that a rollout could move.
Status CheckMovedFlag(const Proposal& proposal, const Resource& flag, const Resource* before) {
  const bool was_variant = before != nullptr && before->As<domain::FlagSpec>().IsVariant();
  if (was_variant || !flag.As<domain::FlagSpec>().IsVariant()) return OkStatus();
  Status status;
  proposal.ForEach(Kind::kRollout, [&](const Resource& rollout) {
    if (rollout.As<RolloutSpec>().flag != flag.name || !IsRunning(rollout)) return;
    status = Refuse(flag, "spec.variants",
                    fmt::format("rollout \"{}\" is {} on it, and moves a percentage, which a flag "
                                "with variants has not; abort the rollout first",
                                rollout.name, rollout.status->state));
  });
  return status;
}

std::set<std::string> UrlsOf(const domain::VersionSpec& version) {
  std::set<std::string> urls(version.urls.begin(), version.urls.end());
  if (!version.url.empty()) urls.insert(version.url);
  return urls;
}

// Why `now` is not the version any more that `then` was; "" when it is.
std::string Altered(const domain::VersionSpec& now, const domain::VersionSpec& then) {
  if (now.runtime != then.runtime || now.blob != then.blob ||
      now.remote_model != then.remote_model || now.remote_version != then.remote_version) {
    return "make it another version, or abort the rollout first";
  }
  const std::set<std::string> before = UrlsOf(then);
  const std::set<std::string> after = UrlsOf(now);
  const bool one_stays = std::any_of(before.begin(), before.end(),
                                     [&](const std::string& url) { return after.contains(url); });
  if (before == after || one_stays) return "";
  return "urls may come and go while at least one stays; for another service make another version, "
         "or abort the rollout first";
}

// A version that users are being led to stays what it was; a rehearsed fault may be added, and
// services of the same version may come and go.
Status CheckCandidates(const Proposal& proposal, const Resource& model, const Resource& before) {
  Status status;
  const auto& now = model.As<domain::ModelSpec>().versions;
  const auto& then = before.As<domain::ModelSpec>().versions;
  proposal.ForEach(Kind::kRollout, [&](const Resource& rollout) {
    const auto& spec = rollout.As<RolloutSpec>();
    if (spec.model != model.name || !IsRunning(rollout)) return;
    const auto old = then.find(spec.candidate);
    if (old == then.end()) return;
    const auto kept = now.find(spec.candidate);
    const bool is_removed = kept == now.end();
    const std::string remedy =
        is_removed ? "abort the rollout first" : Altered(kept->second, old->second);
    if (remedy.empty()) return;
    status = Refuse(model, "spec.versions." + spec.candidate,
                    fmt::format("cannot be {} while rollout \"{}\" is {} with it: {}",
                                is_removed ? "removed" : "altered", rollout.name,
                                rollout.status->state, remedy));
  });
  return status;
}

Status CheckMassRemoval(const Proposal& proposal) {
  constexpr size_t kFrom = 10;
  std::map<Kind, size_t> gone;
  for (const auto& [key, resource] : proposal.changed()) gone[key.kind] += resource ? 0 : 1;
  for (const auto& [kind, count] : gone) {
    if (count == 0) continue;
    size_t all = 0;
    for (auto at = proposal.current().lower_bound({kind, ""});
         at != proposal.current().end() && at->first.kind == kind; ++at) {
      ++all;
    }
    if (all < kFrom || count * 2 <= all) continue;
    return FailedPrecondition(
        fmt::format("this would delete {} of {} {}, more than half; force it if that is meant",
                    count, all, domain::KindPlural(kind)));
  }
  return OkStatus();
}

}  // namespace

Status Prepare(Resource& resource, const Resource* current, int64_t now_wall_ms) {
  if (resource.spec.index() != domain::EmptySpec(resource.kind).index()) {
    return Internal(NameOf(resource) + ": the spec is of another kind");
  }
  const bool is_rollout = resource.kind == Kind::kRollout;
  if (!is_rollout) resource.status.reset();
  if (current != nullptr) KeepSeed(resource, *current);
  // FillDefaults would call every rollout without a status pending, so ours is settled around it.
  const std::optional<RolloutStatus> given = resource.status;
  domain::FillDefaults(resource, now_wall_ms);
  resource.status = given;
  if (resource.kind == Kind::kModel) return PrepareModel(resource);
  return is_rollout ? PrepareRollout(resource, current, now_wall_ms) : OkStatus();
}

Status CheckResource(const Resource& resource) {
  codec::Errors violations = domain::Validate(resource);
  if (const auto* flag = std::get_if<domain::FlagSpec>(&resource.spec)) {
    for (domain::Violation& violation : codec::CheckFlag(*flag))
      violations.push_back(std::move(violation));
  }
  WEIR_RETURN_IF_ERROR(Explained(resource, std::move(violations)));
  return resource.kind == Kind::kRollout ? CheckRolloutStatus(resource) : OkStatus();
}

// What stood already may outlive what it speaks of: a policy must be there to be switched off, and
// the acts on a limit to be ended.
bool SpeaksOfTheSame(const Resource* before, const Resource& resource) {
  if (before == nullptr) return false;
  if (resource.kind == Kind::kLimit) return true;
  if (resource.kind != Kind::kPolicy) return false;
  const auto& was = before->As<domain::PolicySpec>();
  const auto& is = resource.As<domain::PolicySpec>();
  return was.slos == is.slos && was.remediations == is.remediations;
}

Status CheckProposal(const Proposal& proposal, bool force_removal) {
  for (const auto& [key, resource] : proposal.changed()) {
    const Resource* before = proposal.Before(key);
    if (!resource) {
      WEIR_RETURN_IF_ERROR(CheckRemoved(proposal, *before));
      continue;
    }
    WEIR_RETURN_IF_ERROR(CheckResource(*resource));
    // A rollout that is over may outlive what it spoke of.
    const bool is_over = key.kind == Kind::kRollout && before != nullptr &&
                         before->spec == resource->spec && !IsRunning(*resource);
    if (!is_over && !SpeaksOfTheSame(before, *resource)) {
      WEIR_RETURN_IF_ERROR(
          Explained(*resource,
                    domain::ValidateReferences(*resource, proposal.lookup(), proposal.for_each())));
    }
    if (key.kind == Kind::kRollout) WEIR_RETURN_IF_ERROR(CheckBlocked(proposal, *resource));
    if (key.kind == Kind::kFlag) WEIR_RETURN_IF_ERROR(CheckMovedFlag(proposal, *resource, before));
    if (key.kind == Kind::kModel && before != nullptr) {
      WEIR_RETURN_IF_ERROR(CheckCandidates(proposal, *resource, *before));
    }
  }
  return force_removal ? OkStatus() : CheckMassRemoval(proposal);
}

}  // namespace weir::control::catalog
