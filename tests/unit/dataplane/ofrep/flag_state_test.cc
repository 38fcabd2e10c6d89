// SPDX-License-Identifier: Apache-2.0
#include "dataplane/ofrep/flag_state.h"

#include <gtest/gtest.h>

#include <functional>

namespace weir::node::ofrep {
namespace {

using decision::Ruleset;

domain::FlagEntry Flag(const std::string& name, domain::FinePercent threshold = 10'000) {
  domain::FlagEntry flag;
  flag.name = name;
  flag.enabled = true;
  flag.threshold = threshold;
  flag.seed = name;
  return flag;
}

domain::SplitEntry Split(const std::string& flag) {
  domain::SplitEntry split;
  split.rollout = "rollout-" + flag;
  split.flag = flag;
  split.threshold = 5'000;
  return split;
}

std::shared_ptr<Ruleset> Rules() {
  auto rules = std::make_shared<Ruleset>();
  rules->epoch = 1;
  for (const char* name : {"a", "b", "c"}) rules->Set(Flag(name));
  return rules;
}

// The rules after a change, sharing what did not change.
std::shared_ptr<Ruleset> After(const Ruleset& before, const std::function<void(Ruleset&)>& change) {
  auto rules = std::make_shared<Ruleset>(before);
  ++rules->version;
  change(*rules);
  return rules;
}

std::string IdOf(std::shared_ptr<const Ruleset> rules) {
  FlagState state;
  state.Update(std::move(rules), 0);
  return state.id();
}

TEST(OfrepFlagState, ChangesWithWhateverChangesAnAnswer) {
  const std::pair<const char*, std::function<void(Ruleset&)>> changes[] = {
      {"a percentage", [](Ruleset& rules) { rules.Set(Flag("b", 20'000)); }},
      {"a new flag", [](Ruleset& rules) { rules.Set(Flag("d")); }},
      {"a flag less", [](Ruleset& rules) { rules.Remove(domain::EntryKind::kFlag, "b"); }},
      {"another flag",
       [](Ruleset& rules) {
         rules.Remove(domain::EntryKind::kFlag, "b");
         rules.Set(Flag("d"));
       }},
      {"a rollout", [](Ruleset& rules) { rules.Set(Split("a")); }},
      {"the kill switch", [](Ruleset& rules) { rules.emergency.kill_switch = true; }},
      {"the baseline", [](Ruleset& rules) { rules.emergency.baseline = true; }},
      {"an override",
       [](Ruleset& rules) {
         auto overrides = std::make_shared<decision::Overrides>();
         overrides->flags["a"] = "off";
         rules.overrides = overrides;
       }},
  };
  for (const auto& [what, change] : changes) {
    const auto before = Rules();
    FlagState state;
    EXPECT_TRUE(state.Update(before, 0));
    const std::string id = state.id();
    const auto after = After(*before, change);
    EXPECT_TRUE(state.Update(after, 0)) << what;
    EXPECT_NE(state.id(), id) << what;
    EXPECT_EQ(state.id(), IdOf(after)) << what << ": another node that starts there says the same";
    EXPECT_TRUE(state.Update(After(*before, [](Ruleset&) {}), 0)) << what;
    EXPECT_EQ(state.id(), id) << what << ": and back";
  }
}

TEST(OfrepFlagState, StaysWhenNoAnswerChanges) {
  const auto before = Rules();
  FlagState state;
  state.Update(before, 0);
  EXPECT_FALSE(state.Update(After(*before,
                                  [](Ruleset& rules) {
                                    rules.epoch = 7;
                                    rules.emergency.freeze = true;
                                    domain::ModelEntry model;
                                    model.name = "fraud_detection";
                                    rules.Set(model);
                                    domain::SplitEntry split = Split("");
                                    split.model = "fraud_detection";
                                    rules.Set(split);
                                  }),
                            0));
  EXPECT_FALSE(state.Update(Rules(), 0)) << "the same flags, sent again";
}

TEST(OfrepFlagState, ASplitForOtherNodesIsNotOurs) {
  const auto rules = std::make_shared<Ruleset>(domain::Labels{{"zone", "b"}});
  rules->Set(Flag("a"));
  const std::string id = IdOf(rules);
  domain::SplitEntry split = Split("a");
  split.nodes = {{"zone", "a"}};
  EXPECT_EQ(IdOf(After(*rules, [&](Ruleset& r) { r.Set(split); })), id);
  split.nodes = {{"zone", "b"}};
  EXPECT_NE(IdOf(After(*rules, [&](Ruleset& r) { r.Set(split); })), id);
}

TEST(OfrepFlagState, AnUnwatchedRolloutIsNone) {
  auto rules = std::make_shared<Ruleset>();
  rules->Set(Flag("a"));
  const std::string without = IdOf(rules);
  domain::SplitEntry split = Split("a");
  split.unwatched_after_ms = 1000;
  rules->Set(split);
  EXPECT_NE(IdOf(rules), without);
  EXPECT_EQ(IdOf(After(*rules, [](Ruleset& r) { r.unwatched_ms = 1000; })), without);
}

TEST(OfrepFlagState, APhasesFlagsChangeWithTheirSplitAndWithWhatHoldsItBack) {
  auto rules = std::make_shared<Ruleset>();
  rules->Set(Flag("a"));
  domain::SplitEntry split = Split("");
  split.model = "m";
  split.flags = {"a"};
  const std::string without = IdOf(rules);
  rules->Set(split);
  const std::string with = IdOf(rules);
  EXPECT_NE(with, without);
  split.threshold = 7;
  EXPECT_NE(IdOf(After(*rules, [&](Ruleset& r) { r.Set(split); })), with);
  domain::ModelEntry model;
  model.name = "m";
  EXPECT_EQ(IdOf(After(*rules, [&](Ruleset& r) { r.Set(model); })), with);
  model.pinned = "1";
  EXPECT_NE(IdOf(After(*rules, [&](Ruleset& r) { r.Set(model); })), with);
  auto overrides = std::make_shared<decision::Overrides>();
  overrides->splits["m"] = "stable";
  EXPECT_NE(IdOf(After(*rules, [&](Ruleset& r) { r.overrides = overrides; })), with);
}

TEST(OfrepFlagState, ScheduledChangesCountWhenTheyAreDue) {
  auto rules = std::make_shared<Ruleset>();
  domain::FlagEntry flag = Flag("a");
  flag.schedule.resize(2);
  flag.schedule[0].at_wall_ms = 1000;
  flag.schedule[1].at_wall_ms = 2000;
  rules->Set(flag);
  FlagState state;
  EXPECT_FALSE(state.Advance(0)) << "nothing is known yet";
  state.Update(rules, 500);
  EXPECT_EQ(state.next_due_wall_ms(), 1000);
  EXPECT_FALSE(state.Advance(999));
  const std::string before = state.id();
  EXPECT_TRUE(state.Advance(1000));
  EXPECT_NE(state.id(), before);
  EXPECT_EQ(state.next_due_wall_ms(), 2000);
  EXPECT_TRUE(state.Advance(60'000));
  EXPECT_EQ(state.next_due_wall_ms(), FlagState::kNever);
  FlagState other;
  other.Update(rules, 90'000);
  EXPECT_EQ(other.id(), state.id());
}

}  // namespace
}  // namespace weir::node::ofrep
