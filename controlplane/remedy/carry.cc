// SPDX-License-Identifier: Apache-2.0
// From an intent to a revision, and the revision that ends what was for a while.
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "controlplane/remedy/driver.h"
#include "shared/base/log.h"
#include "shared/codec/domain_fields.h"

namespace weir::control::remedy {
namespace {

using analysis::SloWatch;
using codec::Json;
using domain::FlagSpec;
using domain::Kind;
using domain::LimitAct;
using domain::LimitSpec;
using domain::Resource;

constexpr char kEnabled[] = "enabled";
constexpr char kPercentage[] = "rollout_percentage";

template <class T>
Json OrNull(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json FieldOf(const FlagSpec& flag, const std::string& field) {
  return field == kEnabled ? OrNull(flag.enabled) : OrNull(flag.rollout_percentage);
}

void SetField(FlagSpec& flag, const std::string& field, const Json& value) {
  if (field == kEnabled) {
    flag.enabled = value.is_null() ? std::nullopt : std::optional(value.get<bool>());
  } else {
    flag.rollout_percentage = value.is_null() ? std::nullopt : std::optional(value.get<double>());
  }
}

// Whether putting `before` back lets more keys in than `set` does.
bool Raises(const std::string& field, const Json& before, const Json& set) {
  if (field == kEnabled) return true;
  return (before.is_null() ? 100.0 : before.get<double>()) > set.get<double>();
}

std::string Actor(const std::string& policy) { return "policy/" + policy; }

}  // namespace

Json EvidenceOf(const std::string& policy, const SloWatch& watch, const Intent& intent) {
  const analysis::SloVerdict& verdict = watch.verdict();
  Json evidence = {{"policy", policy},
                   {"slo", watch.slo().name},
                   {"spec", codec::ToJson(watch.slo())},
                   {"model", watch.model()},
                   {"action", intent.action},
                   {"target", intent.target},
                   {"reading", analysis::ToJson(watch.reading())},
                   {"verdict",
                    {{"state", analysis::SloStateName(verdict.state)},
                     {"severity", verdict.severity},
                     {"threshold", verdict.threshold},
                     {"text", verdict.text}}}};
  if (verdict.value) evidence["verdict"]["value"] = *verdict.value;
  return evidence;
}

Result<analysis::SloVerdict> Replay(const Json& evidence) {
  if (!evidence.is_object() || !evidence.contains("spec") || !evidence.contains("reading"))
    return DataLoss("not the evidence of a policy's act: it has no spec and no reading");
  WEIR_ASSIGN_OR_RETURN(const auto slo, codec::FromJson<domain::SloSpec>(evidence["spec"]));
  WEIR_ASSIGN_OR_RETURN(const auto reading, analysis::SloReadingFromJson(evidence["reading"]));
  return analysis::JudgeSlo(slo, reading);
}

bool Driver::IsFrozen() const {
  const Resource* emergency = world_.find(Kind::kEmergency, "default");
  return emergency != nullptr && emergency->As<domain::EmergencySpec>().freeze;
}

Result<uint64_t> Driver::Carry(const Candidate& candidate, int64_t now_wall_ms) {
  const Intent& intent = candidate.intent;
  const std::string& policy = candidate.policy->name;
  if (intent.action == "alert") {
    Observe(*candidate.policy, *candidate.watch, true);
    return uint64_t{0};
  }
  if (intent.restart) return BeginRestart(candidate, now_wall_ms);
  const Json evidence = EvidenceOf(policy, *candidate.watch, intent);
  const std::string reason = fmt::format(
      "{}: {}{}", intent.text, candidate.watch->verdict().text,
      candidate.remediation->reason.empty() ? "" : " (" + candidate.remediation->reason + ")");
  if (!intent.rollback.empty()) {
    rollout::Command command;
    command.verb = rollout::Verb::kRollback;
    command.actor = Actor(policy);
    command.reason = reason;
    command.evidence = evidence;
    domain::VerdictRecord verdict;
    verdict.trigger = Actor(policy);
    verdict.action = "rollback";
    verdict.evidence = candidate.watch->verdict().text;
    verdict.canary_requests = candidate.watch->reading().requests;
    verdict.canary_bad = candidate.watch->reading().bad;
    verdict.detected_at = {now_wall_ms};
    verdict.first_bad_at = {candidate.watch->since_wall_ms()};
    command.verdict = std::move(verdict);
    return world_.obey(intent.rollback, command);
  }
  WEIR_ASSIGN_OR_RETURN(const uint64_t revision, world_.commit({.resources = {*intent.after},
                                                                .actor = Actor(policy),
                                                                .reason = reason,
                                                                .evidence = evidence}));
  if (!intent.before || intent.duration_ms == 0) return revision;
  const char* field = intent.action == "disable_flag" ? kEnabled : kPercentage;
  Undo undo{policy,
            intent.after->name,
            field,
            FieldOf(*intent.before, field),
            FieldOf(intent.after->As<FlagSpec>(), field),
            now_wall_ms + intent.duration_ms};
  // What a policy set a while ago is not what shall stand afterwards.
  std::erase_if(undos_, [&](const Undo& other) {
    if (other.flag != undo.flag || other.field != undo.field || other.set != undo.before)
      return false;
    undo.before = other.before;
    return true;
  });
  undos_.push_back(std::move(undo));
  return revision;
}

bool Driver::EndActs(int64_t now_wall_ms) {
  std::vector<Resource> due;
  std::vector<std::string> texts;
  std::vector<std::string> actors;
  world_.for_each(Kind::kLimit, [&](const Resource& limit) {
    Resource after = limit;
    std::string text;
    std::string actor;
    std::erase_if(after.As<LimitSpec>().acts, [&](const LimitAct& act) {
      const bool is_left = act.action == "restart" &&
                           std::none_of(campaigns_.begin(), campaigns_.end(),
                                        [&](const Campaign& c) { return c.model == limit.name; });
      if (act.policy.empty() || (!is_left && (act.until.ms == 0 || act.until.ms > now_wall_ms)))
        return false;
      text += fmt::format("{}{} of {}", text.empty() ? "" : ", ", act.action, act.policy);
      actor = Actor(act.policy);
      return true;
    });
    if (text.empty()) return;
    due.push_back(std::move(after));
    texts.push_back(std::move(text));
    actors.push_back(std::move(actor));
  });
  bool committed = false;
  for (size_t i = 0; i < due.size(); ++i) {
    const std::string what = "limit/" + due[i].name;
    const auto revision = world_.commit({.resources = {due[i]},
                                         .actor = actors[i],
                                         .reason = texts[i] + " has ended",
                                         .evidence = {}});
    if (revision.ok()) {
      committed = true;
      end_failures_.erase(what);
      Log("remedy").info("{}: {} has ended (revision {})", what, texts[i], *revision);
    } else if (const std::string why = revision.status().ToString();
               std::exchange(end_failures_[what], why) != why) {
      Log("remedy").error("{}: {} cannot be removed, though it has ended: {}", what, texts[i], why);
    }
  }
  return committed;
}

bool Driver::EndUndos(int64_t now_wall_ms) {
  bool committed = false;
  std::erase_if(undos_, [&](const Undo& undo) {
    if (undo.until_wall_ms > now_wall_ms) return false;
    const Resource* flag = world_.find(Kind::kFlag, undo.flag);
    if (flag == nullptr || FieldOf(flag->As<FlagSpec>(), undo.field) != undo.set) {
      Log("remedy").info("{}: {} of {} was changed since and stays", undo.policy, undo.field,
                         undo.flag);
      return true;
    }
    if (IsFrozen() && Raises(undo.field, undo.before, undo.set)) return false;
    Resource after = *flag;
    SetField(after.As<FlagSpec>(), undo.field, undo.before);
    const auto revision = world_.commit(
        {.resources = {after},
         .actor = Actor(undo.policy),
         .reason =
             fmt::format("its time is over: {} of {} is what it was before", undo.field, undo.flag),
         .evidence = {{"policy", undo.policy}, {"before", undo.set}, {"after", undo.before}}});
    const std::string what = "flag/" + undo.flag;
    if (revision.ok()) {
      committed = true;
      end_failures_.erase(what);
      return true;
    }
    if (const std::string why = revision.status().ToString();
        std::exchange(end_failures_[what], why) != why)
      Log("remedy").error("{}: {} cannot be put back: {}", what, undo.field, why);
    return false;
  });
  return committed;
}

}  // namespace weir::control::remedy
