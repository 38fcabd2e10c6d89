// SPDX-License-Identifier: Apache-2.0
#include "dataplane/override/episodes.h"

#include <fmt/format.h>

#include <algorithm>

#include "shared/base/clock.h"

namespace weir::node::override {
namespace {

constexpr char kOverride[] = "override";
constexpr char kUnwatched[] = "unwatched";

class Collector {
 public:
  void ByFile(const std::string& subject, const std::string& what) {
    all_.push_back({.kind = kOverride, .subject = subject, .detail = what + " by the file"});
  }
  void Hand(const std::string& subject, const std::string& what, const Mark& mark) {
    all_.push_back({.kind = kOverride,
                    .subject = subject,
                    .from_wall_ms = mark.since.ms,
                    .detail = fmt::format("{} by {}: {}", what, mark.by, mark.reason)});
  }
  void Unwatched(const std::string& rollout, const Watch::Unwatched& unwatched) {
    all_.push_back({.kind = kUnwatched,
                    .subject = rollout,
                    .from_wall_ms = unwatched.since_wall_ms,
                    .detail = fmt::format("the control plane was silent for longer than {}: {}",
                                          FormatDurationMs(unwatched.after_ms),
                                          unwatched.is_flag ? "the flag's own percentage"
                                                            : "canary keys to stable")});
  }
  std::vector<wire::Episode> Take() { return std::move(all_); }

 private:
  std::vector<wire::Episode> all_;
};

}  // namespace

std::vector<wire::Episode> WhatStands(const decision::Overrides& file, const ByHand& hand,
                                      const Watch& watch) {
  Collector all;
  for (const auto& [name, mark] : hand.emergency) all.Hand("emergency/" + name, "on", mark);
  for (const auto& [flag, mark] : hand.flags) all.Hand("flag/" + flag, mark.value, mark);
  // A pin beats a split (decision/decide.cc), and what is by hand both of the file.
  for (const auto& [model, mark] : hand.pins) {
    all.Hand("model/" + model, "pinned to " + mark.value, mark);
  }
  for (const auto& [model, mark] : hand.splits) {
    if (!hand.pins.contains(model)) all.Hand("model/" + model, mark.value, mark);
  }
  for (const auto& [flag, outcome] : file.flags) {
    if (!hand.flags.contains(flag)) all.ByFile("flag/" + flag, outcome);
  }
  const auto is_by_hand = [&](const std::string& model) {
    return hand.splits.contains(model) || hand.pins.contains(model);
  };
  for (const auto& [model, version] : file.pins) {
    if (!is_by_hand(model)) all.ByFile("model/" + model, "pinned to " + version);
  }
  for (const auto& [model, arm] : file.splits) {
    if (!is_by_hand(model) && !file.pins.contains(model)) all.ByFile("model/" + model, arm);
  }
  for (const auto& [rollout, unwatched] : watch.rollouts()) all.Unwatched(rollout, unwatched);
  return all.Take();
}

std::vector<wire::Episode> Episodes::Update(std::vector<wire::Episode> standing,
                                            int64_t now_wall_ms) {
  std::map<std::pair<std::string, std::string>, wire::Episode> now;
  std::vector<wire::Episode> begun;
  for (wire::Episode& episode : standing) {
    const auto key = std::pair(episode.kind, episode.subject);
    const auto before = standing_.find(key);
    const bool goes_on =
        before != standing_.end() && before->second.detail == episode.detail &&
        (episode.from_wall_ms == 0 || episode.from_wall_ms == before->second.from_wall_ms);
    if (goes_on) {
      now[key] = before->second;
      continue;
    }
    if (episode.from_wall_ms == 0) episode.from_wall_ms = now_wall_ms;
    now[key] = episode;
    begun.push_back(std::move(episode));
  }
  std::vector<wire::Episode> changes;
  for (auto& [key, episode] : standing_) {
    const auto found = now.find(key);
    if (found != now.end() && found->second == episode) continue;
    episode.to_wall_ms = std::max(now_wall_ms, episode.from_wall_ms + 1);
    changes.push_back(std::move(episode));
  }
  std::move(begun.begin(), begun.end(), std::back_inserter(changes));
  standing_ = std::move(now);
  return changes;
}

}  // namespace weir::node::override
