// SPDX-License-Identifier: Apache-2.0
#include "dataplane/ofrep/answer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

namespace weir::node::ofrep {
namespace {

using decision::FlagDecision;
using decision::FlagError;
using decision::Reason;
using nlohmann::json;

std::string Quoted(std::string_view text) {
  std::string out;
  AppendQuoted(text, &out);
  return out;
}

json Answer(std::string_view key, const FlagDecision& decision) {
  std::string out;
  AppendDecision(key, decision, &out);
  return json::parse(out);
}

FlagDecision Off(Reason reason) {
  FlagDecision decision;
  decision.reason = reason;
  decision.variant = "off";
  decision.value = "false";
  return decision;
}

TEST(OfrepAnswer, OffIsAValueWhateverTheReason) {
  const json answer = Answer("checkout", Off(Reason::kKillSwitch));
  EXPECT_EQ(answer, json::parse(R"({"key": "checkout", "reason": "DISABLED", "variant": "off",
                                    "value": false, "metadata": {"weirReason": "KILL_SWITCH"}})"));
}

TEST(OfrepAnswer, ReasonsAreOpenFeaturesAndOursStandBeside) {
  const std::pair<Reason, const char*> expected[] = {
      {Reason::kKillSwitch, "DISABLED"},
      {Reason::kRollbackToBaseline, "DISABLED"},
      {Reason::kDisabled, "DISABLED"},
      {Reason::kRolledBack, "DISABLED"},
      {Reason::kPrerequisite, "DISABLED"},
      {Reason::kNotInAllowlist, "TARGETING_MATCH"},
      {Reason::kAllowlist, "TARGETING_MATCH"},
      {Reason::kTargetingMatch, "TARGETING_MATCH"},
      {Reason::kSplit, "SPLIT"},
      {Reason::kStatic, "STATIC"},
      {Reason::kOverride, "STATIC"},
      {Reason::kDefault, "DEFAULT"},
  };
  for (const auto& [reason, standard] : expected) {
    const json answer = Answer("f", Off(reason));
    EXPECT_EQ(answer["reason"], standard) << decision::ReasonName(reason);
    EXPECT_EQ(answer["metadata"]["weirReason"], decision::ReasonName(reason));
  }
}

TEST(OfrepAnswer, MetadataOfTheFlagIsMergedIn) {
  decision::Flag flag;
  FlagDecision decision = Off(Reason::kStatic);
  decision.flag = &flag;
  flag.metadata.text = R"({"team": "risk", "tier": 1})";
  EXPECT_EQ(Answer("f", decision)["metadata"],
            json::parse(R"({"team": "risk", "tier": 1, "weirReason": "STATIC"})"));
  for (const char* empty : {"{}", "{ }", ""}) {
    flag.metadata.text = empty;
    EXPECT_EQ(Answer("f", decision)["metadata"], json({{"weirReason", "STATIC"}})) << empty;
  }
}

TEST(OfrepAnswer, WithoutAValueTheCallersDefaultHolds) {
  FlagDecision decision;
  decision.reason = Reason::kDisabled;
  const json answer = Answer("f", decision);
  EXPECT_FALSE(answer.contains("value"));
  EXPECT_FALSE(answer.contains("variant"));
  EXPECT_EQ(answer["reason"], "DISABLED");
  EXPECT_EQ(StatusOf(decision), 200);
}

TEST(OfrepAnswer, ValuesAreWrittenAsTheyAre) {
  FlagDecision decision;
  decision.reason = Reason::kTargetingMatch;
  decision.variant = "a \"quoted\" one";
  decision.value = R"({"limits": [1, 2.5], "name": "x"})";
  const json answer = Answer("f", decision);
  EXPECT_EQ(answer["value"], json::parse(decision.value));
  EXPECT_EQ(answer["variant"], decision.variant);
}

TEST(OfrepAnswer, ErrorsNameTheFlagAndTheCode) {
  FlagDecision decision;
  decision.error = FlagError::kFlagNotFound;
  EXPECT_EQ(Answer("no \"such\"", decision),
            json({{"key", "no \"such\""},
                  {"errorCode", "FLAG_NOT_FOUND"},
                  {"errorDetails", "flag \"no \"such\"\" is unknown"}}));
  EXPECT_EQ(StatusOf(decision), 404);
  decision.error = FlagError::kTargetingKeyMissing;
  EXPECT_EQ(Answer("f", decision)["errorCode"], "TARGETING_KEY_MISSING");
  EXPECT_EQ(StatusOf(decision), 400);
  decision.error = FlagError::kParseError;
  decision.detail = "targeting: no such operator";
  EXPECT_EQ(Answer("f", decision)["errorCode"], "PARSE_ERROR");
  EXPECT_EQ(Answer("f", decision)["errorDetails"], "targeting: no such operator");
  EXPECT_EQ(StatusOf(decision), 400);
}

TEST(OfrepAnswer, TextIsEscapedAndAlwaysUtf8) {
  EXPECT_EQ(Quoted("plain.flag-name_1"), R"("plain.flag-name_1")");
  EXPECT_EQ(Quoted("a\"b\\c\n\x01"), R"("a\"b\\c\u000a\u0001")");
  const std::string_view umlaut_and_emoji = "\xC3\xBC \xF0\x9F\x9A\x80";
  EXPECT_EQ(Quoted(umlaut_and_emoji), "\"" + std::string(umlaut_and_emoji) + "\"");
  // Not UTF-8: alone, cut off, overlong, a surrogate, beyond the last character.
  for (const char* bad : {"\xFF", "\xC3", "\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80"}) {
    const json read = json::parse(Quoted(bad));  // throws on what is no UTF-8
    EXPECT_NE(read.get<std::string>().find("\xEF\xBF\xBD"), std::string::npos);
  }
}

TEST(OfrepETag, ChangesWithAnyByte) {
  const std::string body(1001, 'x');
  std::set<std::string> tags{ETagOf(body), ETagOf(body + "x"), ETagOf("")};
  for (size_t i = 0; i < body.size(); ++i) {
    std::string other = body;
    other[i] = 'y';
    tags.insert(ETagOf(other));
  }
  EXPECT_EQ(tags.size(), body.size() + 3);
  EXPECT_EQ(ETagOf(body), ETagOf(std::string(1001, 'x')));
  EXPECT_EQ(ETagOf(body).size(), 34u);
}

TEST(OfrepETag, MatchesListsWeakOnesAndAnything) {
  const std::string tag = ETagOf("body");
  EXPECT_TRUE(MatchesETag(tag, tag));
  EXPECT_TRUE(MatchesETag("W/" + tag, tag));
  EXPECT_TRUE(MatchesETag("\"a\", W/\"b,c\" ,\t" + tag, tag));
  EXPECT_TRUE(MatchesETag("*", tag));
  for (const std::string& other :
       {std::string(), std::string("\"a\""), "x" + tag, tag.substr(0, tag.size() - 1),
        "\"" + tag + "\"", std::string(", ,"), std::string("\"open, ") + tag.substr(1, 4)}) {
    EXPECT_FALSE(MatchesETag(other, tag)) << other;
  }
}

}  // namespace
}  // namespace weir::node::ofrep
