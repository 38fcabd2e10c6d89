// SPDX-License-Identifier: Apache-2.0
// The documents' flag files: every block of theirs, partial blocks, and what validation says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "shared/base/text.h"
#include "shared/codec/file_check.h"
#include "shared/codec/resource.h"
#include "tests/unit/shared/codec/read_files.h"

namespace weir::codec {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const char kSeedBlocks[] = WEIR_SOURCE_DIR "/tests/golden/seed_blocks";

FileContent ReadFlags(const std::string& text) { return ReadResources(text, "f.yaml"); }

const ResourceDocument* Find(const FileContent& content, const std::string& name) {
  for (const ResourceDocument& document : content.documents) {
    if (document.name == name) return &document;
  }
  return nullptr;
}

bool Ok(const std::vector<FileCheck>& checks, const std::string& name) {
  for (const FileCheck& check : checks) {
    if (check.name == name) return check.ok;
  }
  ADD_FAILURE() << "no check " << name;
  return false;
}

TEST(FlagsFile, EveryBlockOfTheDocumentsIsReadAsItDeserves) {
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kSeedBlocks))
    files += entry.path().extension() == ".yaml" ? 1 : 0;
  size_t rows = 0;
  for (const std::string& row : Split(*ReadFile(std::string(kSeedBlocks) + "/expected.tsv"), '\n')) {
    if (row.empty() || row[0] == '#') continue;
    ++rows;
    const auto cells = Split(row, '\t');
    SCOPED_TRACE(cells[0]);
    FileContent content = ReadFlags(*ReadFile(fmt::format("{}/{}.yaml", kSeedBlocks, cells[0])));
    EXPECT_EQ(content.errors.empty(), cells[1] != "refused");
    if (cells[1] != "refused") CheckWhole(content);
    EXPECT_EQ(content.errors.empty(), cells[1] == "loads");
    EXPECT_EQ(ChecksOf(content)[0].ok, cells[1] == "loads");
    if (cells[1] == "loads" || content.errors.empty()) continue;
    EXPECT_EQ(content.errors[0].line, std::stoi(cells[2])) << content.errors[0].message;
    EXPECT_THAT(content.errors[0].message, HasSubstr(cells[3]));
  }
  EXPECT_EQ(rows, files);
  EXPECT_EQ(rows, 37u);
}

TEST(FlagsFile, ABlockThatDoesNotSayAllOfAFlagIsAnEdit) {
  const FileContent content = ReadFlags(
      "a: {rollout_percentage: 50}\nb: {enabled: false, rollout_percentage: 0}\n"
      "c: {hash_seed: s}\nd: {enabled: true}\ne: {enabled: true, allowlist_only: true}\n"
      "f: {enabled: true, rollout_percentage: 5, hash_seed: s5}\n");
  EXPECT_THAT(TextsWithFiles(content.errors), IsEmpty());
  EXPECT_TRUE(Find(content, "a")->is_partial);
  EXPECT_EQ(Find(content, "a")->when_new.size(), 1u);
  EXPECT_TRUE(Find(content, "b")->is_partial);
  EXPECT_THAT(Find(content, "b")->when_new, IsEmpty()) << "it can stand alone as well";
  EXPECT_EQ(Find(content, "c")->when_new[0].path, "c.enabled");
  EXPECT_FALSE(Find(content, "d")->is_partial);
  EXPECT_EQ(Find(content, "e")->when_new[0].path, "e.allowlist");
  EXPECT_FALSE(Find(content, "f")->is_partial);
}

TEST(FlagsFile, AnEditIsStillCheckedForWhatItSays) {
  EXPECT_THAT(TextsWithFiles(ReadFlags("a:\n  rollout_percentage: 140\n").errors),
              ElementsAre("f.yaml:2: a.rollout_percentage 140 is not in 0..100"));
  EXPECT_THAT(TextsWithFiles(ReadFlags("a: {rollout_percentage: 0.0001}\n").errors),
              ElementsAre(HasSubstr("more than three decimals")));
}

TEST(FlagsFile, APartialDocumentSurvivesBeingPosted) {
  const FileContent content = ReadFlags("a:\n  rollout_percentage: 50\n");
  const FileContent posted =
      ReadResources(Json::array({DocumentToJson(content.documents[0])}).dump(), "body");
  EXPECT_THAT(TextsWithFiles(posted.errors), IsEmpty());
  ASSERT_EQ(posted.documents.size(), 1u);
  EXPECT_TRUE(posted.documents[0].is_partial);
  EXPECT_EQ(TextsWithFiles(posted.documents[0].when_new), TextsWithFiles(content.documents[0].when_new));
  EXPECT_EQ(posted.documents[0].spec, content.documents[0].spec);
}

TEST(FlagsFile, ABareSeedSurvivesBeingPosted) {
  const FileContent content = ReadFlags("a: {hash_seed: s}\n");
  const FileContent posted =
      ReadResources(Json::array({DocumentToJson(content.documents[0])}).dump(), "body");
  EXPECT_THAT(TextsWithFiles(posted.errors), IsEmpty());
  EXPECT_EQ(posted.documents.at(0).when_new.size(), 1u);
}

TEST(FlagsFile, WhatIsNoFeatureIsSaidToBeNone) {
  const auto errors = TextsWithFiles(ReadFlags("a: {enabled: true}\nb:\nc: 5\n").errors);
  EXPECT_THAT(errors, ElementsAre(HasSubstr("f.yaml:2: b empty, but a feature is a mapping"),
                                  HasSubstr("f.yaml:3: c 5 is a number")));
}

TEST(FlagsFile, ASettingOfTheFeatureIsPassedOnAsMetadata) {
  const FileContent content = ReadFlags(
      "a: {enabled: true, dry_run: true, metadata: {team: risk}}\nb: {enabled: true, "
      "dry_run: [1]}\n");
  EXPECT_EQ(Find(content, "a")->spec["metadata"], (Json{{"dry_run", true}, {"team", "risk"}}));
  EXPECT_THAT(TextsWithFiles(content.errors), ElementsAre(HasSubstr("b.metadata.dry_run a list")));
}

TEST(FlagsFile, ObservabilityIsAResourceAndReloadASetting) {
  const FileContent content = ReadFlags(
      "observability: {log_feature_decisions: true, log_keys: true}\n"
      "config_reload: {validate_on_reload: false, rollback_on_error: true}\n");
  EXPECT_THAT(TextsWithFiles(content.errors), IsEmpty());
  ASSERT_EQ(content.documents.size(), 1u);
  EXPECT_EQ(content.documents[0].kind, domain::Kind::kObservability);
  EXPECT_EQ(content.documents[0].name, "default");
  EXPECT_TRUE(content.documents[0].is_partial);
  ASSERT_TRUE(content.reload.has_value());
  EXPECT_FALSE(content.reload->validate_on_reload);
  EXPECT_THAT(TextsWithFiles(content.warnings),
              ElementsAre(HasSubstr("validate_on_reload is false, but Weir always validates")));
  EXPECT_THAT(TextsWithFiles(ReadFlags("observability:\n  metric_prefix: 5x!\n").errors),
              ElementsAre(HasSubstr("observability.metric_prefix")));
  EXPECT_THAT(TextsWithFiles(ReadFlags("observability:\n  log_feature_decision: true\n").errors),
              ElementsAre(HasSubstr("f.yaml:2: observability.log_feature_decision is not a known "
                                    "key (did you mean \"log_feature_decisions\"?)")));
}

TEST(FlagsFile, TheCanaryBlockIsCheckedWithItsRollback) {
  const auto errors = TextsWithFiles(ReadFlags("canary:\n  rolloutPercentage: 140\n  strategy: hsh\n"
                                 "  rollback: {errorRateTreshold: 0.05}\n")
                                .errors);
  EXPECT_EQ(errors.size(), 3u);
  EXPECT_THAT(errors, ::testing::Contains(HasSubstr("errorRateTreshold is not a known key")));
}

TEST(FlagsFile, RepeatedKeysAreAllListedAndTheRestIsStillRead) {
  const FileContent content =
      ReadFlags("a:\n  enabled: true\n  enabled: false\na: {}\nb: {enabled: 5}\n");
  EXPECT_THAT(TextsWithFiles(content.errors),
              ElementsAre("f.yaml:3: a.enabled is given twice (first at line 2)",
                          "f.yaml:4: a is given twice (first at line 1)",
                          HasSubstr("f.yaml:5: b.enabled 5 is a number")));
}

TEST(FlagsFile, SyntaxErrorsHaveTheirLineInYamlAndJson) {
  FileContent yaml = ReadFlags("a: {enabled: true}\nb: [1\n");
  ASSERT_EQ(yaml.errors.size(), 1u);
  EXPECT_GE(yaml.errors[0].line, 2);
  EXPECT_EQ(ChecksOf(yaml).size(), 1u) << "nothing else was looked at";
  const FileContent json = ReadFlags("{\n  \"a\": {\n    \"enabled\": tru\n  }\n}\n");
  ASSERT_EQ(json.errors.size(), 1u);
  EXPECT_EQ(json.errors[0].line, 3);
  const FileContent twice = ReadFlags("{\"a\": {\n  \"enabled\": true,\n  \"enabled\": false}}\n");
  EXPECT_THAT(TextsWithFiles(twice.errors),
              ElementsAre("f.yaml:3: a.enabled is given twice (first at line 2)"));
  EXPECT_THAT(TextsWithFiles(ReadFlags("{\n  \"a\": {\n    \"enabeld\": true\n}}\n").errors),
              ElementsAre(HasSubstr("f.yaml:3: a.enabeld is not a known key (did you mean "
                                    "\"enabled\"?)")));
}

TEST(FlagsFile, ValidationSaysWhatHolds) {
  FileContent content = ReadFlags(
      "phase4_rollout: {enabled: true, percentage: 100, hash_seed: p}\n"
      "a: {enabled: true, rollout_percentage: 10, hash_seed: a1, b: {enabled: true}}\n");
  CheckWhole(content);
  EXPECT_THAT(TextsWithFiles(content.errors), IsEmpty());
  std::vector<std::string> names;
  for (const FileCheck& check : ChecksOf(content)) {
    EXPECT_TRUE(check.ok) << check.name;
    names.push_back(check.name);
  }
  EXPECT_THAT(names, ElementsAre("Configuration valid", "All rollout percentages in range [0, 100]",
                                 "All hash seeds present", "All hash seeds unique",
                                 "No circular dependencies",
                                 "Allow-lists present where allowlist_only", "No unknown keys"));
}

TEST(FlagsFile, ValidationSaysWhatDoesNotHold) {
  FileContent content = ReadFlags(
      "a: {enabled: true, rollout_percentage: 140, hash_seed: s}\n"
      "b: {enabled: true, rollout_percentage: 5}\n"
      "c: {enabled: true, requires: [d]}\nd: {enabled: true, requires: [c]}\n"
      "e: {enabled: true, allowlist_only: true}\n"
      "f: {enabled: true, rollout_percentage: 5, hash_seed: same}\n"
      "g: {enabled: true, rollout_percentage: 7, hash_seed: same}\n"
      "h: {enabled: true, requires: [dd]}\ni: {enabled: true, onwer: x}\n");
  CheckWhole(content);
  const auto checks = ChecksOf(content);
  for (const FileCheck& check : checks) EXPECT_FALSE(check.ok) << check.name;
  EXPECT_EQ(checks.size(), 7u);
  const auto errors = TextsWithFiles(content.errors);
  EXPECT_THAT(errors, ::testing::Contains(HasSubstr("f.yaml:3: c.requires leads back")));
  EXPECT_THAT(errors,
              ::testing::Contains(HasSubstr("h.requires flag \"dd\" does not exist (did you mean "
                                            "\"d\"?)")));
  EXPECT_THAT(errors, ::testing::Contains(HasSubstr("i.onwer is not a known key (did you mean "
                                                    "\"owner\"?)")));
  EXPECT_THAT(TextsWithFiles(content.warnings),
              ElementsAre(AllOf(HasSubstr("f.yaml:7: g.hash_seed \"same\" is the seed of \"f\""),
                                HasSubstr("correlate"))));
}

TEST(FlagsFile, AFlagThatCouldNotBeReadIsNotAlsoMissing) {
  FileContent content = ReadFlags("a:\n  enabled: maybe\n  b: {enabled: true}\n");
  CheckWhole(content);
  EXPECT_THAT(TextsWithFiles(content.errors), ElementsAre(HasSubstr("f.yaml:2: a.enabled")));
}

TEST(FlagsFile, FilesWithoutFlagsAreNotPraisedForTheirSeeds) {
  FileContent content = ReadFlags("emergency: {kill_switch: false}\n");
  CheckWhole(content);
  const auto checks = ChecksOf(content);
  EXPECT_EQ(checks.size(), 2u);
  EXPECT_TRUE(Ok(checks, "No unknown keys"));
}

}  // namespace
}  // namespace weir::codec
