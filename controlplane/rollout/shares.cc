// SPDX-License-Identifier: Apache-2.0
#include "controlplane/rollout/shares.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "shared/base/text.h"

namespace weir::control::rollout {
namespace {

using telemetry::NodeCount;

constexpr uint64_t kEnough = 100;           // requests that say something of a rate
constexpr double kLeastPoints = 0.005;      // as the sequential trigger's least effect
constexpr double kLeastTimes = 1.5;         // the same
constexpr double kOneInTwoThousand = 3.29;  // standard deviations, one-sided
constexpr size_t kBadNodesNamed = 3;

double RateOf(const NodeCount& count) {
  return count.requests == 0 ? 0
                             : static_cast<double>(count.bad) / static_cast<double>(count.requests);
}

// Of the score interval (Wilson 1927): the rate is hardly below it.
double LeastRate(const NodeCount& count) {
  const auto n = static_cast<double>(count.requests);
  const double p = RateOf(count);
  const double z2 = kOneInTwoThousand * kOneInTwoThousand;
  const double spread = kOneInTwoThousand * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  return (p + z2 / (2 * n) - spread) / (1 + z2 / n);
}

// What a canary may have beside such a stable; absent while stable says nothing.
std::optional<double> AllowedBeside(const NodeCount& stable) {
  if (stable.requests < kEnough) return std::nullopt;
  const double rate = RateOf(stable);
  return std::max(kLeastTimes * rate, rate + kLeastPoints);
}

bool IsWorse(const ArmCounts& counts, std::optional<double> error_rate) {
  if (counts.canary.requests < kEnough) return false;
  const double least = LeastRate(counts.canary);
  const std::optional<double> allowed = AllowedBeside(counts.stable);
  return (allowed && least > *allowed) || (error_rate && least > *error_rate);
}

bool LooksWell(const ArmCounts& counts) {
  if (counts.canary.requests < kEnough) return false;
  return RateOf(counts.canary) <= AllowedBeside(counts.stable).value_or(kLeastPoints);
}

std::string NameOf(const std::string& node) { return node.empty() ? "other nodes" : node; }

std::string Percent(const NodeCount& count) { return fmt::format("{:.3g} %", 100 * RateOf(count)); }

// An explicit number wins, a phase's over the rollout's.
template <class T>
T Either(T phase, T rollout) {
  return phase != T{} ? phase : rollout;
}

bool RestsOnRequests(const domain::Phase& phase) {
  return phase.min_requests > 0 ||
         std::any_of(phase.gates.begin(), phase.gates.end(),
                     [](const domain::Gate& gate) { return gate.type == "metrics_threshold"; });
}

}  // namespace

ArmCounts& ArmCounts::operator+=(const ArmCounts& other) {
  canary += other.canary;
  stable += other.stable;
  return *this;
}

ArmCounts ArmCounts::Without(const ArmCounts& other) const {
  return {{canary.requests - other.canary.requests, canary.bad - other.canary.bad},
          {stable.requests - other.stable.requests, stable.bad - other.stable.bad}};
}

ArmCounts SumOf(const CountsByNode& nodes) {
  ArmCounts sum;
  for (const auto& [node, counts] : nodes) sum += counts;
  return sum;
}

Quorum QuorumOf(const domain::RolloutSpec& spec, const domain::Phase& phase, int selected) {
  constexpr double kHalf = 0.5;
  Quorum quorum;
  const uint64_t wanted = Either(phase.min_nodes, spec.min_nodes);
  const uint64_t usual = RestsOnRequests(phase) && selected >= 2 ? 2 : 1;
  quorum.min_nodes = wanted != 0 ? wanted : usual;
  const double share = Either(phase.max_node_share, spec.max_node_share);
  if (quorum.min_nodes >= 2) quorum.max_node_share = share != 0 ? share : kHalf;
  return quorum;
}

uint64_t CountedRequests(const CountsByNode& nodes, double max_share) {
  std::vector<uint64_t> requests;
  double rest = 0;  // of those that are not cut
  for (const auto& [node, counts] : nodes) {
    requests.push_back(counts.canary.requests);
    rest += static_cast<double>(counts.canary.requests);
  }
  std::sort(requests.rbegin(), requests.rend());
  // With the first `cut` at the cap, the whole is what the rest has beside their shares.
  constexpr double kRounding = 1e-9;
  for (size_t cut = 0; cut < requests.size(); ++cut) {
    const double left = 1 - static_cast<double>(cut) * max_share;
    if (left <= kRounding) break;
    const double whole = rest / left;
    const auto next = static_cast<double>(requests[cut]);
    if (next <= max_share * whole + kRounding) return static_cast<uint64_t>(whole + kRounding);
    rest -= next;
  }
  return 0;
}

std::string MissingNodes(const CountsByNode& nodes, const Quorum& quorum) {
  if (quorum.min_nodes < 2) return "";
  std::vector<std::string> names;
  for (const auto& [node, counts] : nodes) {
    if (counts.canary.requests > 0) names.push_back(NameOf(node));
  }
  if (names.size() >= quorum.min_nodes) return "";
  const std::string wanted = fmt::format("{} nodes: so far ", quorum.min_nodes);
  if (names.empty()) return wanted + "none sent requests of the canary";
  return fmt::format("{}only {} sent requests of the canary (min_nodes: {} lets that do)", wanted,
                     Join(names, ", "), names.size());
}

std::string HiddenBy(const CountsByNode& nodes, std::optional<double> error_rate) {
  const ArmCounts all = SumOf(nodes);
  if (nodes.size() < 2 || IsWorse(all, error_rate)) return "";
  for (const auto& [node, counts] : nodes) {
    const ArmCounts others = all.Without(counts);
    if (!IsWorse(others, error_rate)) continue;
    return fmt::format(
        "without {}, which has {} of the canary's {} requests, {} of {} failed ({}{}): one node's "
        "counts do not outweigh that",
        NameOf(node), counts.canary.requests, all.canary.requests, others.canary.bad,
        others.canary.requests, Percent(others.canary),
        others.stable.requests == 0 ? "" : ", of stable " + Percent(others.stable));
  }
  return "";
}

std::string LoneWitness(const CountsByNode& nodes) {
  const ArmCounts all = SumOf(nodes);
  if (nodes.size() < 2 || LooksWell(all)) return "";
  const auto worst = std::max_element(nodes.begin(), nodes.end(), [](const auto& a, const auto& b) {
    return a.second.canary.bad < b.second.canary.bad;
  });
  if (worst->second.canary.bad == 0 || worst->first.empty()) return "";
  return LooksWell(all.Without(worst->second)) ? worst->first : "";
}

bool IsWellWithout(const CountsByNode& nodes, const std::string& node) {
  const auto found = nodes.find(node);
  const ArmCounts all = SumOf(nodes);
  return LooksWell(found == nodes.end() ? all : all.Without(found->second));
}

std::string AloneOf(const CountsByNode& nodes) {
  std::string alone;
  for (const auto& [node, counts] : nodes) {
    if (counts.canary.requests == 0) continue;
    if (!alone.empty() || node.empty()) return "";
    alone = node;
  }
  return alone;
}

BadNodes WhereBad(const CountsByNode& nodes) {
  std::vector<std::pair<uint64_t, std::string>> bad;
  for (const auto& [node, counts] : nodes) {
    if (counts.canary.bad == 0) continue;
    bad.emplace_back(counts.canary.bad, fmt::format("{} {} of {}", NameOf(node), counts.canary.bad,
                                                    counts.canary.requests));
  }
  std::stable_sort(bad.begin(), bad.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<std::string> named;
  for (size_t i = 0; i < std::min(bad.size(), kBadNodesNamed); ++i) named.push_back(bad[i].second);
  return {bad.size(), Join(named, ", ") + (bad.size() > kBadNodesNamed ? ", …" : "")};
}

namespace {

codec::Json ToJson(const CountsByNode& nodes) {
  codec::Json json = codec::Json::object();
  for (const auto& [node, counts] : nodes) {
    json[node] = {counts.canary.requests, counts.canary.bad, counts.stable.requests,
                  counts.stable.bad};
  }
  return json;
}

std::optional<ArmCounts> CountsFrom(const codec::Json& numbers) {
  const auto is_count = [](const codec::Json& n) { return n.is_number_unsigned(); };
  if (!numbers.is_array() || numbers.size() != 4) return std::nullopt;
  if (!std::all_of(numbers.begin(), numbers.end(), is_count)) return std::nullopt;
  return ArmCounts{{numbers[0].get<uint64_t>(), numbers[1].get<uint64_t>()},
                   {numbers[2].get<uint64_t>(), numbers[3].get<uint64_t>()}};
}

}  // namespace

void Shares::Put(CountsByNode& into, const std::string& node, const ArmCounts& counts) {
  const auto found = into.find(node);
  if (found != into.end()) {
    found->second += counts;
  } else {
    into[into.size() < kMaxNodes ? node : ""] += counts;
  }
}

void Shares::Add(const CountsByNode& nodes, int64_t now_ms) {
  if (now_ms - half_since_ms_ >= kHalfMs) {
    before_ = now_ms - half_since_ms_ >= 2 * kHalfMs ? CountsByNode() : std::move(half_);
    half_.clear();
    half_since_ms_ = now_ms;
  }
  added_ms_ = now_ms;
  for (const auto& [node, counts] : nodes) {
    Put(phase_, node, counts);
    Put(half_, node, counts);
  }
}

CountsByNode Shares::Recent() const {
  CountsByNode recent = before_;
  for (const auto& [node, counts] : half_) Put(recent, node, counts);
  return recent;
}

codec::Json Shares::Save() const {
  return {{"phase", ToJson(phase_)},
          {"half", ToJson(half_)},
          {"before", ToJson(before_)},
          {"half_age_ms", added_ms_ - half_since_ms_}};
}

void Shares::Restore(const codec::Json& saved, bool same_phase, int64_t now_ms) {
  if (!saved.is_object()) return;
  const auto read = [&](const char* name, CountsByNode& into) {
    const auto counts = saved.find(name);
    if (counts == saved.end() || !counts->is_object()) return;
    for (const auto& [node, numbers] : counts->items()) {
      if (const auto known = CountsFrom(numbers)) Put(into, node, *known);
    }
  };
  if (same_phase) read("phase", phase_);
  read("half", half_);
  read("before", before_);
  const auto age = saved.find("half_age_ms");
  added_ms_ = now_ms;
  half_since_ms_ =
      now_ms - (age != saved.end() && age->is_number_integer() ? age->get<int64_t>() : 0);
}

}  // namespace weir::control::rollout
