// SPDX-License-Identifier: Apache-2.0
#include "dataplane/override/layer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <optional>

#include "shared/base/text.h"
#include "shared/decision/decide.h"
#include "tests/fakes/temp_dir.h"

namespace weir::node::override {
namespace {

using decision::Reason;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class LayerTest : public testing::Test {
 protected:
  // What the hooks gave last is read after Settle(), on the test's thread.
  void Start(const std::string& file_text = "") {
    LayerOptions options;
    options.kept = dir.path() + "/override.json";
    if (!file_text.empty()) {
      options.file = path;
      ASSERT_TRUE(WriteFileAtomic(path, file_text).ok());
    }
    LayerHooks hooks;
    hooks.publish_rules = [this](std::shared_ptr<const decision::Ruleset> laid,
                                 std::function<void()> taken) {
      rules = std::move(laid);
      ++published;
      if (taken) taken();
    };
    hooks.publish_standing = [this](std::shared_ptr<const Standing> now) { standing = *now; };
    layer.emplace(options, hooks, clock);
    const Status loaded = layer->Load();
    ASSERT_TRUE(loaded.ok()) << loaded.ToString();
    layer->Start();
    Settle();
  }
  // Everything asked of the layer so far is done.
  codec::Json Settle() {
    std::promise<codec::Json> shown;
    layer->Show([&](const codec::Json& json) { shown.set_value(json); });
    return shown.get_future().get();
  }
  void Give(bool kill_switch = false, bool baseline = false) {
    auto given = std::make_shared<decision::Ruleset>();
    given->epoch = 3;
    given->version = ++version;
    given->emergency.kill_switch = kill_switch;
    given->emergency.baseline = baseline;
    domain::FlagEntry flag;
    flag.name = "ttft_pipeline";
    flag.enabled = true;
    flag.threshold = domain::kFineAll;
    given->Set(flag);
    layer->SetRules(given, [this] { ++taken; });
    Settle();
  }
  Layer::Done Force(const std::string& body) {
    auto change = ParseChange(body);
    EXPECT_TRUE(change.ok()) << change.status().ToString();
    std::promise<Layer::Done> done;
    layer->Force(*std::move(change), "alice", [&](const Layer::Done& d) { done.set_value(d); });
    return done.get_future().get();
  }
  Layer::Done Clear() {
    std::promise<Layer::Done> done;
    layer->Clear("alice", [&](const Layer::Done& d) { done.set_value(d); });
    return done.get_future().get();
  }
  Reason ReasonOf(const std::string& flag) const {
    return decision::DecideFlag(*rules, flag, "user-2", 0).reason;
  }

  static constexpr char kKill[] = R"({"emergency": {"kill_switch": true}, "reason": "INC-7"})";
  fakes::TempDir dir;
  const std::string path = dir.path() + "/override.yaml";
  ManualClock clock;
  uint64_t version = 0;
  std::shared_ptr<const decision::Ruleset> rules;
  Standing standing;
  int published = 0;
  int taken = 0;
  std::optional<Layer> layer;
};

TEST_F(LayerTest, PassesRulesOnAsTheyAreWhileNothingIsForced) {
  Start();
  EXPECT_EQ(published, 0);
  Give();
  EXPECT_EQ(published, 1);
  EXPECT_EQ(taken, 1);
  EXPECT_EQ(rules->overrides, nullptr);
  EXPECT_FALSE(standing.is_active);
}

TEST_F(LayerTest, LaysTheFileOverEveryRuleset) {
  Start("flags: {ttft_pipeline: off}\n");
  Give();
  EXPECT_EQ(ReasonOf("ttft_pipeline"), Reason::kOverride);
  EXPECT_EQ(rules->version, version);
  Give();
  EXPECT_EQ(ReasonOf("ttft_pipeline"), Reason::kOverride);
  EXPECT_TRUE(standing.is_active);
  EXPECT_THAT(standing.sentences, ElementsAre("flag ttft_pipeline is forced off by " + path));
  Give(true);
  EXPECT_EQ(ReasonOf("ttft_pipeline"), Reason::kKillSwitch) << "an emergency goes over it";
  Give();
  EXPECT_EQ(ReasonOf("ttft_pipeline"), Reason::kOverride);
}

TEST_F(LayerTest, SaysWhatCannotBeMeant) {
  Start("flags: {tftt: on, ttft_pipeline: red}\nsplits: {m: canary}\npins: {m: \"1\"}\n");
  Give();
  EXPECT_THAT(standing.sentences,
              ElementsAre("flag tftt is forced on by " + path + " (there is no such flag)",
                          "flag ttft_pipeline is forced to red by " + path +
                              " (it has no such variant, so it is off)",
                          "split of m is forced to canary by " + path + " (there is no such model)",
                          "m is pinned to 1 by " + path + " (there is no such model)"));
}

TEST_F(LayerTest, ReadsTheFileAgainAndKeepsWhatStandsWhenItIsBad) {
  Start("flags: {ttft_pipeline: off}\n");
  Give();
  ASSERT_TRUE(WriteFileAtomic(path, "flags: {ttft_pipeline: 1}\n").ok());
  layer->ReloadFile();
  Settle();
  EXPECT_EQ(ReasonOf("ttft_pipeline"), Reason::kOverride);
  ASSERT_EQ(standing.sentences.size(), 2u);
  EXPECT_THAT(standing.sentences[1], HasSubstr(path + ":1: flags.ttft_pipeline"));
  EXPECT_THAT(standing.sentences[1], HasSubstr("stands"));
  ASSERT_TRUE(WriteFileAtomic(path, "\n").ok());
  layer->ReloadFile();
  Settle();
  EXPECT_EQ(ReasonOf("ttft_pipeline"), Reason::kStatic);
  EXPECT_FALSE(standing.is_active);
  EXPECT_THAT(standing.sentences, IsEmpty());
}

TEST_F(LayerTest, AnEmergencyByHandWorksWithoutASnapshotAndOverTheNextOnes) {
  Start();
  const Layer::Done done = Force(kKill);
  EXPECT_TRUE(done.kept.ok()) << done.kept.ToString();
  EXPECT_THAT(done.standing->sentences, ElementsAre(HasSubstr("kill switch on by hand since 20")));
  EXPECT_THAT(done.standing->sentences[0], HasSubstr(": INC-7"));
  ASSERT_NE(rules, nullptr);
  EXPECT_EQ(rules->epoch, 0u);
  EXPECT_EQ(ReasonOf("ttft_pipeline"), Reason::kKillSwitch);
  Give();
  EXPECT_EQ(ReasonOf("ttft_pipeline"), Reason::kKillSwitch);
  Clear();
  EXPECT_EQ(ReasonOf("ttft_pipeline"), Reason::kStatic) << "what was stored is what is back";
  EXPECT_FALSE(standing.is_active);
}

TEST_F(LayerTest, CannotTakeBackWhatTheControlPlaneWants) {
  Start();
  Give(true);
  Force(R"({"emergency": {"kill_switch": false}, "reason": "no"})");
  EXPECT_EQ(ReasonOf("ttft_pipeline"), Reason::kKillSwitch);
}

TEST_F(LayerTest, AnEmergencyByHandEndsWhenTheControlPlaneInReachHasItOn) {
  Start();
  Give();
  Force(R"({"emergency": {"kill_switch": true, "baseline": true}, "reason": "INC-7"})");
  Give(true, false);
  ASSERT_EQ(standing.sentences.size(), 2u) << "nobody knows whether what it said still holds";
  layer->SetContact(true);
  Settle();
  ASSERT_EQ(standing.sentences.size(), 1u);
  EXPECT_THAT(standing.sentences[0], HasSubstr("rollback to baseline on by hand"));
  EXPECT_THAT(standing.sentences[0], HasSubstr("(the control plane has it off)"));
  EXPECT_TRUE(rules->emergency.kill_switch) << "the control plane's own";
  Give(false, false);
  EXPECT_FALSE(rules->emergency.kill_switch) << "it ended with the control plane's";
  EXPECT_TRUE(rules->emergency.baseline) << "this still differs";
  Give(false, true);
  EXPECT_THAT(standing.sentences, IsEmpty());
  const auto kept = LoadByHand(dir.path() + "/override.json");
  ASSERT_TRUE(kept.ok());
  EXPECT_TRUE(kept->IsEmpty());
}

TEST_F(LayerTest, WhatIsForcedByHandOutlivesARestart) {
  Start();
  Give();
  Force(R"({"emergency": {"baseline": true}, "flags": {"ttft_pipeline": "off"}, "reason": "r"})");
  const std::vector<std::string> before = standing.sentences;
  ASSERT_EQ(before.size(), 2u);
  layer->Stop();
  rules = nullptr;
  standing = {};
  Start();
  ASSERT_NE(rules, nullptr) << "before there is a snapshot";
  EXPECT_TRUE(rules->emergency.baseline);
  Give();
  EXPECT_EQ(standing.sentences, before);
}

TEST_F(LayerTest, RefusesToStartFromABadFile) {
  ASSERT_TRUE(WriteFileAtomic(path, "flag: {}\n").ok());
  Layer bad({path, ""}, {}, clock);
  EXPECT_THAT(bad.Load().ToString(), HasSubstr(path + ":1: flag"));
  ASSERT_TRUE(WriteFileAtomic(dir.path() + "/override.json", "?").ok());
  Layer damaged({"", dir.path() + "/override.json"}, {}, clock);
  EXPECT_EQ(damaged.Load().code(), Code::kDataLoss);
}

TEST_F(LayerTest, ShowsWhereEverythingComesFrom) {
  Start("flags: {ttft_pipeline: off}\n");
  Give(true);
  layer->SetContact(true);
  Force(R"({"pins": {"m": "1"}, "reason": "INC-8"})");
  const codec::Json shown = Settle();
  EXPECT_EQ(shown["active"], true);
  EXPECT_EQ(shown["file"]["path"], path);
  EXPECT_EQ(shown["file"]["flags"]["ttft_pipeline"], "off");
  EXPECT_EQ(shown["by_hand"]["pins"]["m"]["value"], "1");
  EXPECT_EQ(shown["by_hand"]["pins"]["m"]["by"], "alice");
  EXPECT_EQ(shown["by_hand"]["pins"]["m"]["reason"], "INC-8");
  EXPECT_EQ(shown["control"],
            codec::Json({{"in_reach", true}, {"kill_switch", true}, {"baseline", false}}));
  EXPECT_EQ(shown["overrides"].size(), 2u);
}

}  // namespace
}  // namespace weir::node::override
