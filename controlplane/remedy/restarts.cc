// SPDX-License-Identifier: Apache-2.0
// A version is drained and loaded again on one node after the other. A node is done when it reports
// the version READY again; never are fewer than half of the nodes that have it READY meanwhile.
// What is not READY anyway goes first.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "controlplane/remedy/driver.h"
#include "shared/base/log.h"
#include "shared/codec/domain_fields.h"

namespace weir::control::remedy {
namespace {

using domain::Kind;
using domain::LimitAct;
using domain::LimitSpec;
using domain::Resource;

// A node that reloads faster than it reports is taken for done after this.
constexpr int64_t kUnseenMs = 3'000;

std::string StateOf(const NodeFacts& node, const std::string& model, const std::string& version) {
  for (const auto& v : node.versions) {
    if (v.model == model && v.version == version) return v.state;
  }
  return "";
}

bool IsDone(const std::vector<std::string>& done, const std::string& node) {
  return std::find(done.begin(), done.end(), node) != done.end();
}

}  // namespace

std::string Driver::NextOf(const Campaign& campaign, std::string& why) const {
  size_t have = 0;
  size_t ready = 0;
  std::string loading;
  std::vector<std::pair<bool, std::string>> left;  // whether it is READY, node
  for (const NodeFacts& node : nodes_) {
    const std::string state = node.live ? StateOf(node, campaign.model, campaign.version) : "";
    if (state.empty()) continue;
    ++have;
    const bool is_ready = state == "READY";
    ready += is_ready ? 1 : 0;
    if (state == "LOADING") loading = node.id;
    if (!IsDone(campaign.done, node.id)) left.emplace_back(is_ready, node.id);
  }
  if (left.empty()) {
    why = have == 0 ? fmt::format("no live node has {} {}", campaign.model, campaign.version) : "";
    return "";
  }
  std::sort(left.begin(), left.end());
  const size_t quorum = (have + 1) / 2;
  if (!left.front().first && loading != left.front().second) return left.front().second;
  if (!loading.empty()) {
    why = fmt::format("{} is still loading {} {}", loading, campaign.model, campaign.version);
    return "";
  }
  if (ready < quorum + 1) {
    why = fmt::format("{} of {} nodes have {} {} ready; without one of them fewer than {} would be",
                      ready, have, campaign.model, campaign.version, quorum);
    return "";
  }
  return left.front().second;
}

Result<uint64_t> Driver::AskRestart(Campaign& campaign, const std::string& node,
                                    const codec::Json& evidence, int64_t now_wall_ms) {
  Resource after;
  after.kind = Kind::kLimit;
  after.name = campaign.model;
  after.spec = LimitSpec{};
  if (const Resource* limit = world_.find(Kind::kLimit, campaign.model)) after = *limit;
  auto& acts = after.As<LimitSpec>().acts;
  std::erase_if(acts, [](const LimitAct& act) { return act.action == "restart"; });
  std::string reason = fmt::format("{} has restarted {} {} everywhere", campaign.policy,
                                   campaign.model, campaign.version);
  if (!node.empty()) {
    LimitAct act;
    act.policy = campaign.policy;
    act.action = "restart";
    act.version = campaign.version;
    act.node = node;
    act.value = static_cast<double>(++restart_numbers_[campaign.model]);
    act.since = {now_wall_ms};
    reason = act.reason =
        fmt::format("restart {} {} on {}", campaign.model, campaign.version, node);
    acts.push_back(std::move(act));
  }
  WEIR_ASSIGN_OR_RETURN(const uint64_t revision,
                        world_.commit({.resources = {after},
                                       .actor = "policy/" + campaign.policy,
                                       .reason = reason,
                                       .evidence = evidence}));
  campaign.node = node;
  campaign.revision = revision;
  campaign.asked_wall_ms = now_wall_ms;
  campaign.was_away = false;
  return revision;
}

Result<uint64_t> Driver::BeginRestart(const Candidate& candidate, int64_t now_wall_ms) {
  Campaign campaign;
  campaign.policy = candidate.policy->name;
  campaign.model = candidate.intent.restart->model;
  campaign.version = candidate.intent.restart->version;
  std::string why;
  const std::string node = NextOf(campaign, why);
  if (node.empty()) return FailedPrecondition(why);
  WEIR_ASSIGN_OR_RETURN(
      const uint64_t revision,
      AskRestart(campaign, node, EvidenceOf(campaign.policy, *candidate.watch, candidate.intent),
                 now_wall_ms));
  campaigns_.push_back(std::move(campaign));
  return revision;
}

void Driver::EndRestart(const Campaign& campaign, const std::string& why) {
  Log("remedy").warn("{}: restart of {} {} ends after {} nodes: {}", campaign.policy,
                     campaign.model, campaign.version, campaign.done.size(), why);
  if (!world_.notify) return;
  world_.notify("remediation", "warning",
                {{"policy", campaign.policy},
                 {"action", "restart"},
                 {"target", "limit/" + campaign.model},
                 {"result", "failed"},
                 {"reason", why}});
}

bool Driver::MayAct(const std::string& policy) const {
  const domain::Resource* resource = world_.find(domain::Kind::kPolicy, policy);
  return resource != nullptr && WhyOff(*resource).empty() && IsOn(kGateExecutor, true) &&
         !resource->As<domain::PolicySpec>().dry_run && !IsOn(kGateDryRun, false) && !IsFrozen();
}

bool Driver::FollowRestarts(int64_t now_wall_ms) {
  bool committed = false;
  std::erase_if(campaigns_, [&](Campaign& campaign) {
    if (!MayAct(campaign.policy)) {
      EndRestart(campaign, "its policy may not act any more");
      return true;
    }
    const auto node = std::find_if(nodes_.begin(), nodes_.end(), [&](const NodeFacts& n) {
      return n.live && n.id == campaign.node;
    });
    if (node != nodes_.end()) {
      const std::string state = StateOf(*node, campaign.model, campaign.version);
      const bool has_heard = node->applied_version >= campaign.revision;
      if (has_heard && state != "READY") campaign.was_away = true;
      const bool is_back = has_heard && state == "READY" &&
                           (campaign.was_away || now_wall_ms - campaign.asked_wall_ms >= kUnseenMs);
      if (!is_back) {
        if (now_wall_ms - campaign.asked_wall_ms < kRestartTimeoutMs) return false;
        EndRestart(campaign, fmt::format("{} is not READY again: {}", campaign.node, state));
        return true;  // EndActs removes its act
      }
    }
    if (!campaign.node.empty()) campaign.done.push_back(std::exchange(campaign.node, ""));
    std::string why;
    const std::string next = NextOf(campaign, why);
    if (next.empty() && !why.empty()) {
      if (now_wall_ms - campaign.asked_wall_ms < kRestartTimeoutMs) return false;
      EndRestart(campaign, why);
      return true;
    }
    const Result<uint64_t> revision = AskRestart(campaign, next, {}, now_wall_ms);
    committed |= revision.ok();
    if (revision.ok()) return next.empty();
    if (now_wall_ms - campaign.asked_wall_ms < kRestartTimeoutMs) return false;
    EndRestart(campaign, revision.status().ToString());
    return true;
  });
  return committed;
}

}  // namespace weir::control::remedy
