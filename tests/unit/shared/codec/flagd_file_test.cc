// SPDX-License-Identifier: Apache-2.0
// flagd's definitions in and out, and Unleash's features in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shared/codec/domain_fields.h"
#include "shared/codec/flag_check.h"
#include "shared/codec/flagd_file.h"
#include "shared/codec/unleash_file.h"
#include "tests/unit/shared/codec/read_files.h"

namespace weir::codec {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

FileContent ReadFlagd(const std::string& text) { return ReadResources(text, "f.json"); }

Json SpecOf(const FileContent& content, const std::string& name) {
  for (const ResourceDocument& document : content.documents) {
    if (document.name == name) return document.spec;
  }
  ADD_FAILURE() << "no " << name;
  return Json::object();
}

constexpr char kDefinitions[] = R"({
  "$schema": "https://flagd.dev/schema/v0/flags.json",
  "metadata": {"flagSetId": "shop", "version": "v1"},
  "$evaluators": {
    "isBeta": {"in": [{"var": "tier"}, ["beta", {"$ref": "extra"}]]},
    "extra": "gold"
  },
  "flags": {
    "checkout.new": {
      "state": "ENABLED",
      "variants": {"on": true, "off": false},
      "defaultVariant": "off",
      "targeting": {"if": [{"$ref": "isBeta"}, "on", null]},
      "metadata": {"version": "v2"}
    },
    "banner": {
      "state": "DISABLED",
      "variants": {"empty": "", "long": "Welcome"},
      "defaultVariant": null,
      "source": "file.json",
      "targeting": {}
    },
    "limits": {
      "state": "ENABLED",
      "variants": {"a": {"n": 1}, "b": {}},
      "defaultVariant": "a"
    },
    "mixed": {
      "state": "ENABLED",
      "variants": {"a": 1, "b": "x"},
      "defaultVariant": "a"
    },
    "stateless": {"state": "on", "variants": {"a": 1}, "defaultVariant": "z"},
    "no name": {"state": "ENABLED", "variants": {"a": 1}}
  }
})";

TEST(FlagdFile, DefinitionsBecomeFlags) {
  const FileContent content = ReadFlagd(kDefinitions);
  EXPECT_THAT(TextsWithFiles(content.errors), IsEmpty());
  const Json checkout = SpecOf(content, "checkout.new");
  EXPECT_EQ(checkout["enabled"], true);
  EXPECT_EQ(checkout["variants"], Json::object({{"on", true}, {"off", false}}));
  EXPECT_EQ(checkout["default_variant"], "off");
  EXPECT_EQ(checkout["metadata"], Json::object({{"flagSetId", "shop"}, {"version", "v2"}}));
  EXPECT_EQ(checkout["targeting"],
            Json::parse(R"({"if": [{"in": [{"var": "tier"}, ["beta", "gold"]]}, "on", null]})"));
  const Json banner = SpecOf(content, "banner");
  EXPECT_EQ(banner["enabled"], false);
  EXPECT_EQ(banner["variants"]["empty"], "");
  EXPECT_FALSE(banner.contains("default_variant"));
  EXPECT_FALSE(banner.contains("targeting"));
  EXPECT_THAT(TextsWithFiles(content.warnings), ElementsAre(HasSubstr("flags.banner.source")));
}

TEST(FlagdFile, AMalformedFlagDisablesItselfAndLeavesTheOthers) {
  const FileContent content = ReadFlagd(kDefinitions);
  EXPECT_EQ(SpecOf(content, "mixed"),
            Json::object({{"enabled", true},
                          {"malformed",
                           "variants.b is text, but variant \"a\" is a number; give all one "
                           "type"}}));
  EXPECT_THAT(SpecOf(content, "stateless")["malformed"].get<std::string>(),
              HasSubstr("state \"on\" is text, but ENABLED or DISABLED is expected"));
  const auto disabled = TextsWithFiles(content.disabled);
  EXPECT_EQ(disabled.size(), 3u);
  EXPECT_THAT(disabled, Contains(HasSubstr("f.json:30: flags.mixed.variants.b is text")));
  EXPECT_THAT(disabled, Contains(HasSubstr("\"no name\" is not a name")));
  EXPECT_EQ(SpecOf(content, "limits")["variants"]["b"], Json::object());
  EXPECT_EQ(content.documents.size(), 5u);
}

TEST(FlagdFile, YamlAndListsAreTheSame) {
  const FileContent content = ReadFlagd(
      "flags:\n  - key: a\n    state: ENABLED\n    variants: {x: 1, y: 2}\n    defaultVariant: x\n"
      "  - state: ENABLED\n");
  EXPECT_EQ(SpecOf(content, "a")["variants"], Json::object({{"x", 1}, {"y", 2}}));
  EXPECT_THAT(TextsWithFiles(content.disabled), ElementsAre("f.json:6: flags[1] has no key; left out"));
}

std::string WithRule(const std::string& rule, const std::string& evaluators = "{}") {
  return R"({"$evaluators": )" + evaluators +
         R"(, "flags": {"a": {"state": "ENABLED", "variants": {"x": "y"}, "targeting": )" + rule +
         "}}}";
}

TEST(FlagdFile, ReferencesThatDoNotEndAreRefused) {
  const FileContent loop = ReadFlagd(
      WithRule(R"({"$ref": "p"})", R"({"p": {"!": {"$ref": "q"}}, "q": {"!": {"$ref": "p"}}})"));
  EXPECT_THAT(TextsWithFiles(loop.disabled), ElementsAre(HasSubstr("leads back to itself (p -> q)")));
  const FileContent none = ReadFlagd(WithRule(R"({"$ref": "isBeat"})", R"({"isBeta": true})"));
  EXPECT_THAT(TextsWithFiles(none.disabled), ElementsAre(HasSubstr("(did you mean \"isBeta\"?)")));
  std::string evaluators = R"({"e0": ["x","x","x","x","x","x","x","x"])";
  for (int i = 1; i < 12; ++i) {
    evaluators += fmt::format(R"(, "e{}": [)", i);
    for (int j = 0; j < 8; ++j)
      evaluators += fmt::format(R"({}{{"$ref": "e{}"}})", j == 0 ? "" : ",", i - 1);
    evaluators += "]";
  }
  const FileContent bomb = ReadFlagd(WithRule(R"({"in": ["x", {"$ref": "e11"}]})", evaluators + "}"));
  EXPECT_THAT(TextsWithFiles(bomb.disabled), ElementsAre(HasSubstr("more than 65536 bytes")));
}

// 150 KB that would be 38 MB.
TEST(FlagdFile, WhatAFileRepeatsUnderItsFlagsHasALimit) {
  Json file = {{"metadata", {{"long", std::string(16'000, 'x')}}}};
  file["$evaluators"]["long"]["in"] = {"x", Json::array({std::string(60'000, 'x')})};
  const Json flag = {{"state", "ENABLED"}, {"variants", {{"on", true}}}};
  for (int i = 0; i < 500; ++i) {
    Json& ruled = file["flags"][fmt::format("f{:03}", i)] = flag;
    ruled["targeting"]["$ref"] = "long";
  }
  file["flags"]["plain"] = flag;
  const FileContent content = ReadFlagd(file.dump());
  EXPECT_FALSE(SpecOf(content, "f000").contains("malformed"));
  EXPECT_THAT(SpecOf(content, "f499").value("malformed", ""),
              HasSubstr("targeting makes the file larger than 33554432 bytes"));
  EXPECT_THAT(SpecOf(content, "plain").value("malformed", ""),
              HasSubstr("metadata makes the file larger"));
  EXPECT_EQ(content.documents.size(), 501u);
}

TEST(FlagdFile, ReasonsDoNotRepeatLongNames) {
  const std::string name(5000, 'n');
  const FileContent content = ReadFlagd(WithRule(R"({"$ref": ")" + name + R"("})", R"({"b": true})"));
  ASSERT_EQ(content.disabled.size(), 1u);
  EXPECT_LT(content.disabled[0].message.size(), 300u);
}

TEST(FlagdFile, AVariantsNameHasLimitsToo) {
  for (const std::string& name : {std::string(), std::string(257, 'n'), std::string("a\nb")}) {
    Json file;
    file["flags"]["a"] = {{"state", "ENABLED"}, {"variants", {{name, true}}}};
    const FileContent content = ReadFlagd(file.dump());
    EXPECT_THAT(SpecOf(content, "a").value("malformed", ""), HasSubstr("variants has "));
  }
}

TEST(FlagdFile, ARuleThatDoesNotCompileDisablesItsFlag) {
  const FileContent content = ReadFlagd(WithRule(R"({"fractoinal": [["x", 1]]})"));
  ASSERT_EQ(content.disabled.size(), 1u);
  EXPECT_THAT(content.disabled[0].path, HasSubstr("flags.a.targeting"));
  EXPECT_TRUE(SpecOf(content, "a").contains("malformed"));
}

TEST(FlagdFile, AFeatureNamedFlagsIsAFeature) {
  const FileContent content =
      ReadResources("flags: {enabled: true, rollout_percentage: 5, hash_seed: s}\n", "f.yaml");
  EXPECT_EQ(SpecOf(content, "flags")["rollout_percentage"], 5);
}

std::vector<domain::Resource> ResourcesOf(const FileContent& content) {
  std::vector<domain::Resource> resources;
  for (const ResourceDocument& document : content.documents) {
    Errors errors;
    domain::Resource& resource = resources.emplace_back();
    resource.kind = document.kind;
    resource.name = document.name;
    resource.spec = SpecFromJson(document.kind, document.spec, errors);
    EXPECT_THAT(errors, IsEmpty());
    domain::FillDefaults(resource, 0);
  }
  return resources;
}

TEST(FlagdFile, VariantFlagsComeBackAsTheyWent) {
  std::vector<domain::Resource> sent;
  for (domain::Resource& resource : ResourcesOf(ReadFlagd(kDefinitions))) {
    if (resource.As<domain::FlagSpec>().malformed.empty()) sent.push_back(std::move(resource));
  }
  ASSERT_EQ(sent.size(), 3u);
  std::vector<std::string> notes;
  const FileContent back = ReadFlagd(ToFlagd(sent, notes).dump(2));
  EXPECT_THAT(TextsWithFiles(back.disabled), IsEmpty());
  EXPECT_THAT(notes, IsEmpty());
  const auto by_name = [](const auto& a, const auto& b) { return a.name < b.name; };
  std::vector<domain::Resource> got = ResourcesOf(back);
  std::sort(got.begin(), got.end(), by_name);
  std::sort(sent.begin(), sent.end(), by_name);
  EXPECT_EQ(got, sent);
}

TEST(FlagdFile, RolloutFlagsBecomeBooleanOnesWithANote) {
  const FileContent content = ReadResources(
      "a: {enabled: true, rollout_percentage: 10, hash_seed: s, allowlist: [u1], b: {enabled: "
      "true}}\nc: {enabled: true, allowlist_only: true, allowlist: [u2]}\n",
      "f.yaml");
  std::vector<std::string> notes;
  const Json file = ToFlagd(ResourcesOf(content), notes);
  const Json& a = file["flags"]["a"];
  EXPECT_EQ(a["defaultVariant"], "off");
  EXPECT_EQ(a["targeting"], Json::parse(R"({"if": [{"in": [{"var": "targetingKey"}, ["u1"]]}, "on",
                                   {"fractional": [["on", 1], ["off", 9]]}]})"));
  EXPECT_EQ(file["flags"]["c"]["targeting"],
            Json::parse(R"({"if": [{"in": [{"var": "targetingKey"}, ["u2"]]}, "on", "off"]})"));
  EXPECT_EQ(file["flags"]["a.b"]["defaultVariant"], "off") << "nobody gets in who was out";
  EXPECT_THAT(notes, Contains(HasSubstr("a: 10 % stays, but flagd hashes otherwise")));
  EXPECT_THAT(notes, Contains(HasSubstr("a.b: also needs a here, which flagd cannot say: it comes off")));
  EXPECT_THAT(TextsWithFiles(ReadFlagd(file.dump()).disabled), IsEmpty());
}

TEST(FlagCheck, FindsWhatDomainCannotSee) {
  domain::FlagSpec spec;
  spec.variants = {{"a", {"1"}}, {"b", {"[1]"}}, {"c", {"{"}}, {"d", {"\"x\""}}};
  spec.metadata.text = R"({"ok": 1, "list": []})";
  std::vector<std::string> paths;
  for (const domain::Violation& violation : CheckFlag(spec)) paths.push_back(violation.path);
  EXPECT_THAT(paths, ElementsAre("spec.metadata.list", "spec.variants.b", "spec.variants.c",
                                 "spec.variants.d"));
}

TEST(Unleash, FeaturesBecomeFlags) {
  const FileContent content = ReadUnleash(R"({"version": 2, "features": [
    {"name": "new_ui", "enabled": true, "description": "d", "strategies": [
      {"name": "flexibleRollout", "parameters": {"rollout": "25", "stickiness": "default", "groupId": "ui"}},
      {"name": "userWithId", "parameters": {"userIds": "u1, u2"}}]},
    {"name": "all", "enabled": true, "strategies": [{"name": "default"}]},
    {"name": "few", "enabled": true, "strategies": [{"name": "userWithId", "parameters": {"userIds": "u3"}}]},
    {"name": "old", "enabled": false, "strategies": []},
    {"name": "child", "enabled": true, "dependencies": [{"feature": "all"}], "strategies": []}]})",
                                          "u.json");
  EXPECT_THAT(TextsWithFiles(content.errors), IsEmpty());
  const Json ui = SpecOf(content, "new_ui");
  EXPECT_EQ(ui["rollout_percentage"], 25.0);
  EXPECT_EQ(ui["hash_seed"], "ui");
  EXPECT_EQ(ui["allowlist"], Json({"u1", "u2"}));
  EXPECT_FALSE(ui.contains("allowlist_only"));
  EXPECT_EQ(SpecOf(content, "all")["rollout_percentage"], 100.0);
  EXPECT_EQ(SpecOf(content, "few")["allowlist_only"], true);
  EXPECT_EQ(SpecOf(content, "old")["enabled"], false);
  EXPECT_EQ(SpecOf(content, "child")["requires"], Json({"all"}));
  EXPECT_THAT(TextsWithFiles(content.warnings),
              ElementsAre(HasSubstr("flag \"new_ui\" strategy \"flexibleRollout\" keeps its "
                                    "percentage, but Weir hashes otherwise")));
}

TEST(Unleash, NothingIsWidened) {
  const FileContent content = ReadUnleash(R"({"features": [
    {"name": "a", "enabled": true, "strategies": [{"name": "ourOwn"}, {"name": "default"}]},
    {"name": "b", "enabled": true, "strategies": [{"name": "default", "constraints": [{"contextName": "x"}]}]},
    {"name": "c", "enabled": true, "strategies": [{"name": "default", "disabled": true}]},
    {"name": "d", "enabled": true, "strategies": [{"name": "flexibleRollout", "parameters": {"rollout": "lots"}}]},
    {"name": "e", "enabled": true, "dependencies": [{"feature": "a", "enabled": false}]},
    {"name": "f.g", "enabled": true, "variants": [{"name": "v"}]}]})",
                                          "u.json");
  EXPECT_THAT(TextsWithFiles(content.errors), IsEmpty());
  for (const char* name : {"a", "c", "d", "e"})
    EXPECT_EQ(SpecOf(content, name)["enabled"], false) << name;
  EXPECT_EQ(SpecOf(content, "b")["rollout_percentage"], 0.0);
  EXPECT_EQ(SpecOf(content, "f_g")["enabled"], true);
  const auto warnings = TextsWithFiles(content.warnings);
  EXPECT_THAT(warnings, Contains(HasSubstr("flag \"a\" strategy \"ourOwn\" is not known")));
  EXPECT_THAT(warnings, Contains(HasSubstr("flag \"b\" strategy \"default\" has constraints")));
  EXPECT_THAT(warnings, Contains(HasSubstr("flag \"f.g\" is named \"f_g\" in Weir")));
  EXPECT_THAT(warnings, Contains(HasSubstr("flag \"f.g\" has variants")));
  EXPECT_EQ(warnings.size(), 7u);
}

TEST(Unleash, AnExportHoldsOneEnvironment) {
  const std::string one = R"({"features": [{"name": "a"}],
    "featureStrategies": [{"featureName": "a", "environment": "dev", "name": "gradualRolloutRandom",
                           "parameters": {"percentage": 10}}],
    "featureEnvironments": [{"featureName": "a", "environment": "dev", "enabled": true}]})";
  const Json spec = SpecOf(ReadUnleash(one, "u.json"), "a");
  EXPECT_EQ(spec["enabled"], true);
  EXPECT_EQ(spec["rollout_percentage"], 10.0);
  EXPECT_EQ(spec["strategy"], "random");
  Json two = Json::parse(one);
  two["featureEnvironments"].push_back(
      {{"featureName", "a"}, {"environment", "prod"}, {"enabled", false}});
  EXPECT_THAT(TextsWithFiles(ReadUnleash(two.dump(), "u.json").errors),
              ElementsAre(HasSubstr("holds the environments dev, prod; export one")));
}

}  // namespace
}  // namespace weir::codec
