// SPDX-License-Identifier: Apache-2.0
#include "dataplane/override/forced.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shared/base/text.h"
#include "tests/fakes/temp_dir.h"

namespace weir::node::override {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

class OverrideFile : public testing::Test {
 protected:
  Result<decision::Overrides> Load(const std::string& text) {
    EXPECT_TRUE(WriteFileAtomic(path, text).ok());
    return LoadFile(path);
  }
  void ExpectRefusal(const std::string& text, const std::string& where, const std::string& why) {
    const auto loaded = Load(text);
    ASSERT_FALSE(loaded.ok()) << text;
    EXPECT_EQ(loaded.status().code(), Code::kInvalidArgument);
    EXPECT_THAT(loaded.status().ToString(), HasSubstr(path + where));
    EXPECT_THAT(loaded.status().ToString(), HasSubstr(why));
  }

  fakes::TempDir dir;
  const std::string path = dir.path() + "/override.yaml";
};

TEST_F(OverrideFile, ForcesFlagsSplitsAndPins) {
  const auto loaded = Load(
      "flags: {ttft_pipeline: off, qos_monitor: true, color: red}\n"
      "splits: {fraud_detection: stable}\n"
      "pins: {ranking: \"1.0.0\"}\n");
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  EXPECT_THAT(loaded->flags, ElementsAre(Pair("color", "red"), Pair("qos_monitor", "on"),
                                         Pair("ttft_pipeline", "off")));
  EXPECT_THAT(loaded->splits, ElementsAre(Pair("fraud_detection", "stable")));
  EXPECT_THAT(loaded->pins, ElementsAre(Pair("ranking", "1.0.0")));
}

TEST_F(OverrideFile, IsReadAsJsonToo) {
  const auto loaded = Load(R"({"flags": {"ttft_pipeline": false}, "pins": {"m": "2"}})");
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  EXPECT_THAT(loaded->flags, ElementsAre(Pair("ttft_pipeline", "off")));
  EXPECT_THAT(loaded->pins, ElementsAre(Pair("m", "2")));
}

TEST_F(OverrideFile, ForcesNothingWhenItIsEmpty) {
  for (const char* text : {"", "# nothing now\n", "{}\n", "flags: {}\n"}) {
    const auto loaded = Load(text);
    ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
    EXPECT_TRUE(loaded->flags.empty());
  }
}

TEST_F(OverrideFile, NamesFileLineAndKeyOfWhatIsWrong) {
  ExpectRefusal("flags: {a: on}\nflag: {b: off}\n", ":2: flag", "did you mean \"flags\"");
  ExpectRefusal("flags:\n  a: on\n  b: 12\n", ":3: flags.b", "on, off or a variant");
  ExpectRefusal("flags:\n  a:\n", ":2: flags.a", "on, off or a variant");
  ExpectRefusal("splits: {m: canry}\n", ":1: splits.m", "did you mean \"canary\"");
  ExpectRefusal("pins:\n  m: 1.0\n", ":2: pins.m", "in quotes");
  ExpectRefusal("flags: [a]\n", ":1: flags", "mapping");
  ExpectRefusal("flags: {a: on}\nflags: {a: off}\n", "", "flags");
  ExpectRefusal("flags: {a: on\n", "", "");
  const auto missing = LoadFile(dir.path() + "/nowhere.yaml");
  ASSERT_FALSE(missing.ok());
  EXPECT_THAT(missing.status().ToString(), HasSubstr("nowhere.yaml"));
}

TEST(OverrideChange, ForcesByHandAndTakesBack) {
  ByHand hand;
  const auto force = ParseChange(R"({"emergency": {"kill_switch": true, "baseline": true},
      "flags": {"a": "on", "b": false}, "splits": {"m": "canary"}, "pins": {"n": "1"},
      "reason": "INC-7"})");
  ASSERT_TRUE(force.ok()) << force.status().ToString();
  Apply(*force, "alice", 1000, hand);
  EXPECT_EQ(hand.emergency.at(kKillSwitch), (Mark{"on", {1000}, "alice", "INC-7"}));
  EXPECT_EQ(hand.flags.at("a").value, "on");
  EXPECT_EQ(hand.flags.at("b").value, "off");
  EXPECT_EQ(hand.splits.at("m").value, "canary");
  EXPECT_EQ(hand.pins.at("n").value, "1");
  const auto back = ParseChange(
      R"({"emergency": {"kill_switch": false}, "flags": {"a": null}, "splits": {"m": null},
          "pins": {"n": "2"}, "reason": "over"})");
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  Apply(*back, "bob", 2000, hand);
  EXPECT_FALSE(hand.emergency.contains(kKillSwitch));
  EXPECT_EQ(hand.emergency.at(kBaseline).by, "alice") << "what is not named stays as it was";
  EXPECT_FALSE(hand.flags.contains("a"));
  EXPECT_TRUE(hand.splits.empty());
  EXPECT_EQ(hand.pins.at("n"), (Mark{"2", {2000}, "bob", "over"}));
}

TEST(OverrideChange, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> wrong[] = {
      {R"({"emergency": {"kill_switch": true}})", "reason: is missing"},
      {R"({"emergency": {"kill_switch": true}, "reason": ""})", "reason: is empty"},
      {R"({"emergency": {"kill_swich": true}, "reason": "r"})", "did you mean \"kill_switch\""},
      {R"({"emergency": {"kill_switch": "yes"}, "reason": "r"})", "emergency.kill_switch"},
      {R"({"emergency": {"freeze": true}, "reason": "r"})", "emergency.freeze"},
      {R"({"flags": {"a": 1}, "reason": "r"})", "flags.a"},
      {R"({"reason": "r"})", "nothing is forced"},
      {R"({"flags": {}, "reason": "r"})", "nothing is forced"},
      {R"([])", "a mapping"},
      {R"({)", ""},
      {R"({"flags": {"a": "on", "a": "off"}, "reason": "r"})", "given twice"},
  };
  for (const auto& [text, why] : wrong) {
    const auto change = ParseChange(text);
    ASSERT_FALSE(change.ok()) << text;
    EXPECT_THAT(change.status().ToString(), HasSubstr(why)) << text;
  }
}

TEST(OverrideChange, IsBoundedAndHasNamesOfTheCatalog) {
  const std::string long_reason(1025, 'r');
  std::string many;
  for (int i = 0; i <= 1000; ++i) many += fmt::format(R"({}"f{}": "on")", i == 0 ? "" : ",", i);
  const std::pair<std::string, const char*> wrong[] = {
      {R"({"flags": {"a": "on"}, "reason": ")" + long_reason + "\"}", "reason: has 1025 bytes"},
      {R"({"flags": {)" + many + R"(}, "reason": "r"})", "forces 1001 things"},
      {R"({"flags": {"a\n2026 E weir-node: b": "on"}, "reason": "r"})", "flags: "},
      {R"({"flags": {"a": "x\ny"}, "reason": "r"})", "flags.a: a variant has at most 256 bytes"},
      {R"({"splits": {"m n": "stable"}, "reason": "r"})", "splits: \"m n\" is text, but a name"},
      {R"({"pins": {"m": "1\u007f"}, "reason": "r"})", "pins.m: is not a version name"},
  };
  for (const auto& [text, why] : wrong) {
    const auto change = ParseChange(text);
    ASSERT_FALSE(change.ok()) << text;
    EXPECT_THAT(change.status().ToString(), HasSubstr(why));
  }
  EXPECT_TRUE(ParseChange(R"({"flags": {"a": "dunkel grün"}, "reason": "line\nline"})").ok());
}

TEST(OverrideMerge, WhatIsForcedByHandGoesOverTheFile) {
  decision::Overrides file;
  file.flags = {{"a", "on"}, {"b", "on"}};
  file.pins = {{"m", "1"}, {"n", "1"}};
  file.splits = {{"o", "canary"}};
  ByHand hand;
  hand.flags["a"].value = "off";
  hand.splits["m"].value = "stable";
  hand.pins["o"].value = "2";
  const decision::Overrides merged = Merge(file, hand);
  EXPECT_THAT(merged.flags, ElementsAre(Pair("a", "off"), Pair("b", "on")));
  EXPECT_THAT(merged.splits, ElementsAre(Pair("m", "stable")));
  EXPECT_THAT(merged.pins, ElementsAre(Pair("n", "1"), Pair("o", "2")))
      << "a pin of the file would beat the split";
}

TEST(OverrideKept, IsFoundAgainAndNotWhenItIsDamaged) {
  const fakes::TempDir dir;
  const std::string path = dir.path() + "/override.json";
  const auto none = LoadByHand(path);
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->IsEmpty());
  ByHand hand;
  hand.emergency[kKillSwitch] = {"on", {1'763'683'200'000}, "alice", "INC-7: \"smoke\""};
  hand.pins["m"] = {"1", {1'763'683'200'123}, "bob", "why"};
  ASSERT_TRUE(SaveByHand(path, hand).ok());
  const auto found = LoadByHand(path);
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  EXPECT_EQ(*found, hand);
  ASSERT_TRUE(WriteFileAtomic(path, "{\"emergency\": 1").ok());
  const auto damaged = LoadByHand(path);
  EXPECT_EQ(damaged.status().code(), Code::kDataLoss);
  EXPECT_THAT(damaged.status().ToString(), HasSubstr(path));
}

}  // namespace
}  // namespace weir::node::override
