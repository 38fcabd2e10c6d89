// SPDX-License-Identifier: Apache-2.0
#include "dataplane/override/layer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "shared/base/log.h"

namespace weir::node::override {
namespace {

using decision::Ruleset;

constexpr int64_t kTickMs = 100;
constexpr int64_t kStallMs = 1000;    // of this process; what was missed comes first
constexpr int64_t kBeaconsMs = 1500;  // a beacon comes each second: no silence yet

const char* SwitchName(const std::string& name) {
  return name == kKillSwitch ? "kill switch" : "rollback to baseline";
}

bool IsOn(const domain::EmergencyOverlay& emergency, const std::string& name) {
  return name == kKillSwitch ? emergency.kill_switch : emergency.baseline;
}

// What makes an override other than it reads, "" if nothing does.
std::string FlagNote(const Ruleset& rules, const std::string& name, const std::string& outcome) {
  const decision::Flag* flag = rules.flags().Find(name);
  if (flag == nullptr) return " (there is no such flag)";
  const bool is_known = flag->IsVariant() ? flag->FindVariant(outcome) != nullptr
                                          : outcome == "on" || outcome == "off";
  return is_known || outcome == "off" ? "" : " (it has no such variant, so it is off)";
}

std::string SplitNote(const Ruleset& rules, const std::string& model, const std::string& arm) {
  if (rules.models().Find(model) == nullptr) return " (there is no such model)";
  const bool is_rolling = rules.model_splits().Find(model) != nullptr;
  return arm == "canary" && !is_rolling ? " (nothing is rolling out, so stable answers)" : "";
}

void LogChange(const Standing& before, const Standing& now) {
  if (now.sentences != before.sentences) {
    for (const std::string& sentence : now.sentences) Log("override").warn("{}", sentence);
  }
  if (before.is_active && !now.is_active) {
    Log("override").warn("nothing is forced on this node any more");
  }
  if (now.unwatched == before.unwatched) return;
  for (const std::string& sentence : now.unwatched) Log("override").warn("{}", sentence);
  if (now.unwatched.empty()) Log("override").warn("every rollout is watched again");
}

std::string PinNote(const Ruleset& rules, const std::string& name, const std::string& version) {
  const decision::Model* model = rules.models().Find(name);
  if (model == nullptr) return " (there is no such model)";
  return model->FindVersion(version) == nullptr ? " (it has no such version, so nothing changes)"
                                                : "";
}

}  // namespace

Layer::Layer(LayerOptions options, LayerHooks hooks, const Clock& clock)
    : options_(std::move(options)),
      hooks_(std::move(hooks)),
      clock_(clock),
      loop_("override", clock) {}

Layer::~Layer() { Stop(); }

Status Layer::Load() {
  if (!options_.file.empty()) {
    WEIR_ASSIGN_OR_RETURN(file_, LoadFile(options_.file));
  }
  if (!options_.kept.empty()) {
    WEIR_ASSIGN_OR_RETURN(hand_, LoadByHand(options_.kept));
  }
  Rebuild();
  return OkStatus();
}

void Layer::Start() {
  loop_.Post([this] {
    started_ms_ = last_tick_ms_ = clock_.MonotonicMs();
    if (forced_ != nullptr || !hand_.emergency.empty()) Publish({});
    Tell();
    loop_.Every(kTickMs, [this] { EveryTick(); });
  });
  loop_.Start();
}

void Layer::Stop() { loop_.Stop(); }

void Layer::SetRules(std::shared_ptr<const Ruleset> rules, std::function<void()> taken) {
  loop_.Post([this, rules = std::move(rules), taken = std::move(taken)]() mutable {
    rules_ = std::move(rules);
    const bool is_dropped = Reconcile();
    Look();
    Publish(std::move(taken));
    Tell();
    if (is_dropped) static_cast<void>(Keep());  // logged
  });
}

void Layer::SetContact(bool in_reach) {
  loop_.Post([this, in_reach] {
    if (in_reach_ == in_reach) return;
    in_reach_ = in_reach;
    if (Reconcile()) {
      Publish({});
      static_cast<void>(Keep());  // logged
    }
    Tell();
  });
}

void Layer::ReloadFile() {
  loop_.Post([this] {
    if (options_.file.empty()) return;
    auto read = LoadFile(options_.file);
    file_error_ = read.status().ToString();
    if (read.ok()) {
      file_error_.clear();
      file_ = *std::move(read);
      Log("override").warn("{} is read again", options_.file);
      Rebuild();
      Publish({});
    } else {
      Log("override").error("{}; what it said before stands", file_error_);
    }
    Tell();
  });
}

void Layer::Force(Change change, std::string by, std::function<void(const Done&)> done) {
  const int64_t start_ns = clock_.MonotonicNs();
  loop_.Post([this, start_ns, change = std::move(change), by = std::move(by),
              done = std::move(done)]() mutable {
    Log("override").warn("changed by hand by {}: {}", by, change.reason);
    Apply(change, by, clock_.WallMs(), hand_);
    Finish(start_ns, std::move(done));
  });
}

void Layer::Clear(std::string by, std::function<void(const Done&)> done) {
  const int64_t start_ns = clock_.MonotonicNs();
  loop_.Post([this, start_ns, by = std::move(by), done = std::move(done)]() mutable {
    Log("override").warn("all that was forced by hand is taken back by {}", by);
    hand_ = {};
    Finish(start_ns, std::move(done));
  });
}

// The workers first, then the disk, then the answer.
void Layer::Finish(int64_t start_ns, std::function<void(const Done&)> done) {
  Rebuild();
  Reconcile();
  auto result = std::make_shared<Done>();
  Publish([this, result, start_ns, done = std::move(done)]() mutable {
    result->took_us = (clock_.MonotonicNs() - start_ns) / 1000;
    loop_.Post([result, done = std::move(done)] { done(*result); });
  });
  Tell();
  result->standing = standing_;
  result->kept = Keep();
}

void Layer::Show(std::function<void(const codec::Json&)> done) {
  loop_.Post([this, done = std::move(done)] {
    codec::Json shown = {{"active", standing_->is_active},
                         {"overrides", standing_->sentences},
                         {"unwatched", standing_->unwatched},
                         {"by_hand", codec::ToJson(hand_)}};
    if (!options_.file.empty()) {
      shown["file"] = {{"path", options_.file},
                       {"flags", file_.flags},
                       {"splits", file_.splits},
                       {"pins", file_.pins}};
      if (!file_error_.empty()) shown["file"]["error"] = file_error_;
    }
    shown["control"] = {{"in_reach", in_reach_},
                        {"kill_switch", rules_ != nullptr && rules_->emergency.kill_switch},
                        {"baseline", rules_ != nullptr && rules_->emergency.baseline}};
    done(shown);
  });
}

void Layer::Rebuild() {
  decision::Overrides merged = Merge(file_, hand_);
  const bool is_empty = merged.flags.empty() && merged.splits.empty() && merged.pins.empty();
  forced_ = is_empty ? nullptr : std::make_shared<const decision::Overrides>(std::move(merged));
}

// True if an emergency by hand has ended, since the control plane's own holds.
bool Layer::Reconcile() {
  if (!in_reach_ || rules_ == nullptr) return false;
  const size_t ended = std::erase_if(hand_.emergency, [this](const auto& item) {
    const auto& [name, mark] = item;
    if (!IsOn(rules_->emergency, name)) return false;
    Log("override")
        .warn("{}: the control plane has it on; what was forced by hand since {} ends",
              SwitchName(name), FormatTimeMs(mark.since.ms));
    return true;
  });
  return ended > 0;
}

void Layer::EveryTick() {
  const int64_t now_ms = clock_.MonotonicMs();
  const bool is_late = now_ms - std::exchange(last_tick_ms_, now_ms) > kStallMs;
  if (is_late || !Look()) return;
  Publish({});
  Tell();
}

// True if other rollouts than before are unwatched.
bool Layer::Look() {
  const int64_t heard_ms = std::max(hooks_.current_at_ms(), started_ms_);
  const int64_t silence_ms = clock_.MonotonicMs() - heard_ms;
  return watch_.Look(rules_.get(), silence_ms < kBeaconsMs ? 0 : silence_ms, clock_.WallMs());
}

void Layer::Publish(std::function<void()> taken) {
  const bool was_watched = watch_.unwatched_ms() == 0 && watch_.watched_since_wall_ms() == 0;
  const bool is_bare = forced_ == nullptr && hand_.emergency.empty() && was_watched;
  if (is_bare && rules_ != nullptr) return hooks_.publish_rules(rules_, std::move(taken));
  auto laid = std::make_shared<Ruleset>(rules_ != nullptr ? *rules_ : Ruleset());
  laid->overrides = forced_;
  laid->unwatched_ms = watch_.unwatched_ms();
  laid->watched_since_wall_ms = watch_.watched_since_wall_ms();
  laid->emergency.kill_switch |= hand_.emergency.contains(kKillSwitch);
  laid->emergency.baseline |= hand_.emergency.contains(kBaseline);
  hooks_.publish_rules(std::move(laid), std::move(taken));
}

// If it has changed; what is new goes to the log.
void Layer::Tell() {
  auto now = std::make_shared<Standing>();
  now->is_active = forced_ != nullptr || !hand_.emergency.empty();
  now->sentences = Sentences();
  now->unwatched = watch_.Sentences();
  const auto changes = episodes_.Update(WhatStands(file_, hand_, watch_), clock_.WallMs());
  for (const wire::Episode& episode : changes) hooks_.publish_episode(episode);
  if (*now == *standing_) return;
  LogChange(*standing_, *now);
  standing_ = std::move(now);
  hooks_.publish_standing(standing_);
}

Status Layer::Keep() const {
  if (options_.kept.empty()) {
    return FailedPrecondition("without cache_dir a restart forgets what is forced by hand");
  }
  const Status saved = SaveByHand(options_.kept, hand_);
  if (!saved.ok())
    Log("override").error("what is forced by hand is not kept: {}", saved.ToString());
  return saved;
}

std::string Layer::SourceOf(const std::map<std::string, Mark>& marks,
                            const std::string& name) const {
  const auto mark = marks.find(name);
  if (mark == marks.end()) return "by " + options_.file;
  return fmt::format("by hand since {}: {}", FormatTimeMs(mark->second.since.ms),
                     mark->second.reason);
}

std::vector<std::string> Layer::Sentences() const {
  std::vector<std::string> all;
  for (const auto& [name, mark] : hand_.emergency) {
    const bool differs = in_reach_ && rules_ != nullptr && !IsOn(rules_->emergency, name);
    all.push_back(fmt::format("{} on {}{}", SwitchName(name), SourceOf(hand_.emergency, name),
                              differs ? " (the control plane has it off)" : ""));
  }
  if (forced_ != nullptr) {
    const bool has_rules = rules_ != nullptr;
    for (const auto& [flag, outcome] : forced_->flags) {
      all.push_back(fmt::format(
          "flag {} is forced {}{} {}{}", flag, outcome == "on" || outcome == "off" ? "" : "to ",
          outcome, SourceOf(hand_.flags, flag), has_rules ? FlagNote(*rules_, flag, outcome) : ""));
    }
    for (const auto& [model, arm] : forced_->splits) {
      all.push_back(fmt::format("split of {} is forced to {} {}{}", model, arm,
                                SourceOf(hand_.splits, model),
                                has_rules ? SplitNote(*rules_, model, arm) : ""));
    }
    for (const auto& [model, version] : forced_->pins) {
      all.push_back(fmt::format("{} is pinned to {} {}{}", model, version,
                                SourceOf(hand_.pins, model),
                                has_rules ? PinNote(*rules_, model, version) : ""));
    }
  }
  if (!file_error_.empty()) {
    all.push_back(file_error_ + "; what " + options_.file + " said before stands");
  }
  return all;
}

}  // namespace weir::node::override
