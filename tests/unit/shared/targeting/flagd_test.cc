// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "tests/unit/shared/targeting/rules.h"

namespace weir::targeting {
namespace {

// SMHasher's own check of the 32-bit variant (PMurHash and Wikipedia give the single vectors).
TEST(Murmur3, HasThePublishedVerificationValue) {
  std::string key;
  std::string hashes;
  for (uint32_t i = 0; i < 256; ++i) {
    const uint32_t hash = Murmur3(key, 256 - i);
    for (int byte = 0; byte < 4; ++byte) hashes += static_cast<char>(hash >> (8 * byte));
    key += static_cast<char>(i);
  }
  EXPECT_EQ(Murmur3(hashes, 0), 0xB0F57EE3u);
}

TEST(Murmur3, HasThePublishedVectors) {
  using namespace std::string_view_literals;
  EXPECT_EQ(Murmur3("", 0), 0u);
  EXPECT_EQ(Murmur3("", 1), 0x514E28B7u);
  EXPECT_EQ(Murmur3("", 0xffffffff), 0x81F16F39u);
  EXPECT_EQ(Murmur3("test", 0), 0xBA6BD213u);
  EXPECT_EQ(Murmur3("\xff\xff\xff\xff", 0), 0x76293B50u);
  EXPECT_EQ(Murmur3("\x21\x43\x65\x87", 0), 0xF55B516Bu);
  EXPECT_EQ(Murmur3("\x21\x43\x65", 0), 0x7E4A8634u);
  EXPECT_EQ(Murmur3("\x21\x43", 0), 0xA0F7B07Au);
  EXPECT_EQ(Murmur3("\x21", 0), 0x72661CF4u);
  EXPECT_EQ(Murmur3("\0\0\0\0"sv, 0), 0x2362F9DEu);
  EXPECT_EQ(Murmur3("Hello, world!", 0x9747b28c), 0x24884CBAu);
  EXPECT_EQ(Murmur3("The quick brown fox jumps over the lazy dog", 0x9747b28c), 0x2FA826CDu);
}

// The expectations of flagd's own conformance suite (flagd-testbed, @fractional-v2).
TEST(Fractional, AnswersAsFlagdsConformanceSuiteExpects) {
  constexpr char kCards[] =
      R"({"fractional": [{"cat": [{"var": "$flagd.flagKey"}, {"var": "user.name"}]},
          ["clubs", 25], ["diamonds", 25], ["hearts", 25], ["spades", 25]]})";
  const std::map<std::string, std::string> cards = {
      {"jack", "hearts"}, {"queen", "spades"}, {"ten", "clubs"}, {"nine", "diamonds"}};
  for (const auto& [name, card] : cards) {
    EXPECT_EQ(Answer(kCards, R"({"user": {"name": ")" + name + R"("}})", {"fractional-flag", ""}),
              '"' + card + '"');
  }
  constexpr char kShorthand[] = R"({"fractional": [["heads"], ["tails", 1]]})";
  const Surroundings jon{"fractional-flag-shorthand", "jon@company.com"};
  const Surroundings jane{"fractional-flag-shorthand", "jane@company.com"};
  EXPECT_EQ(Answer(kShorthand, "{}", jon), R"("heads")");
  EXPECT_EQ(Answer(kShorthand, "{}", jane), R"("tails")");
  // Keys whose hashes stand at the ends and in the middle of the range.
  constexpr char kHalves[] =
      R"({"fractional": [{"var": "targetingKey"}, ["lower", 50], ["upper", 50]]})";
  for (const char* key : {"ejOoVL", "bY9fO-", "SI7p-"}) {
    EXPECT_EQ(Answer(kHalves, "{}", {"f", key}), R"("lower")") << key;
  }
  for (const char* key : {"6LvT0", "ceQdGm"}) {
    EXPECT_EQ(Answer(kHalves, "{}", {"f", key}), R"("upper")") << key;
  }
}

TEST(Fractional, NeedsATargetingKeyOrAValue) {
  constexpr char kRule[] = R"({"fractional": [["a", 1]]})";
  EXPECT_EQ(Answer(kRule), "null");
  EXPECT_EQ(Answer(kRule, R"({"targetingKey": ""})"), "null");
  EXPECT_EQ(Answer(kRule, R"({"targetingKey": 7})"), "null");
  EXPECT_EQ(Answer(kRule, R"({"targetingKey": "u"})"), R"("a")");
  EXPECT_EQ(Answer(kRule, "{}", {"f", "u"}), R"("a")");
  EXPECT_EQ(Answer(R"({"fractional": ["value", ["a", 1]]})"), R"("a")");
}

TEST(Fractional, HoldsToWholeWeightsWithinTheirRange) {
  const auto of = [](std::string_view shares) {
    return Answer(R"({"fractional": ["value",)" + std::string(shares) + "]}");
  };
  EXPECT_EQ(of(R"(["a"], ["b", 0])"), R"("a")");
  EXPECT_EQ(of(R"(["a", -5], ["b", 1])"), R"("b")");
  EXPECT_EQ(of(R"(["a", 2147483647])"), R"("a")");
  EXPECT_EQ(of(R"(["a", 2147483647], ["b", 1])"), "null");
  EXPECT_EQ(of(R"(["a", 0], ["b", 0])"), "null");
  EXPECT_EQ(of(R"(["a", 1.5])"), "null");
  EXPECT_EQ(of(R"(["a", "1"])"), "null");
  EXPECT_EQ(of(R"(["a", 1, 1])"), "null");
  EXPECT_EQ(of(R"("a")"), "null");
}

TEST(Fractional, TakesVariantsAndWeightsFromExpressions) {
  constexpr char kRule[] =
      R"({"fractional": [[{"var": "color"}, {"if": [{"var": "vip"}, 1, 0]}], ["blue", {"if": [{"var": "vip"}, 0, 1]}]]})";
  EXPECT_EQ(Answer(kRule, R"({"color": "red", "vip": true})", {"f", "u"}), R"("red")");
  EXPECT_EQ(Answer(kRule, R"({"color": "red", "vip": false})", {"f", "u"}), R"("blue")");
}

// Each share's count within four standard deviations of a binomial distribution.
TEST(Fractional, DistributesKeysByWeight) {
  const auto rule = Compile(R"({"fractional": [["a", 1], ["b", 9], ["c", 40], ["d", 50]]})");
  ASSERT_TRUE(rule.ok());
  constexpr int kKeys = 100'000;
  for (const char* flag : {"flag-1", "flag-2", "checkout"}) {
    std::map<std::string, int> counts;
    for (int i = 0; i < kKeys; ++i) {
      Arena arena;
      const std::string key = "user-" + std::to_string(i);
      const Outcome outcome = Evaluate(**rule, {flag, key, 0, {}}, arena);
      ASSERT_EQ(outcome.kind, Outcome::Kind::kVariant);
      ++counts[std::string(outcome.variant)];
    }
    const std::map<std::string, double> shares = {{"a", .01}, {"b", .09}, {"c", .4}, {"d", .5}};
    for (const auto& [variant, share] : shares) {
      const double sigma = std::sqrt(kKeys * share * (1 - share));
      EXPECT_NEAR(counts[variant], kKeys * share, 4 * sigma) << flag << " " << variant;
    }
  }
}

// A key that has a variant keeps it while that variant's share, the first, grows.
TEST(Fractional, KeepsKeysInWhileTheFirstShareGrows) {
  std::vector<bool> was_in(2000, false);
  for (int percent = 0; percent <= 100; percent += 5) {
    const auto rule = Compile(R"({"fractional": [["on", )" + std::to_string(percent) +
                              R"(], ["off", )" + std::to_string(100 - percent) + "]]}");
    ASSERT_TRUE(rule.ok());
    for (size_t i = 0; i < was_in.size(); ++i) {
      Arena arena;
      const bool in =
          Evaluate(**rule, {"f", "user-" + std::to_string(i), 0, {}}, arena).variant == "on";
      EXPECT_TRUE(in || !was_in[i]) << i << " fell out at " << percent;
      was_in[i] = in;
    }
  }
}

TEST(SemVer, ComparesByPrecedence) {
  // The chain of semver.org, 11.
  const char* chain[] = {"1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta",
                         "1.0.0-beta",  "1.0.0-beta.2",  "1.0.0-beta.11",
                         "1.0.0-rc.1",  "1.0.0",         "1.0.1",
                         "1.1.0",       "2.0.0",         "10.0.0"};
  for (size_t i = 0; i + 1 < std::size(chain); ++i) {
    const std::string pair =
        std::string(R"([")") + chain[i] + R"(", "<", ")" + chain[i + 1] + R"("])";
    EXPECT_EQ(Answer(R"({"sem_ver": )" + pair + "}"), "true") << pair;
  }
  EXPECT_EQ(Answer(R"({"sem_ver": ["1.0.0+a", "=", "1.0.0+b"]})"), "true");
  EXPECT_EQ(Answer(R"({"sem_ver": ["3.0.1", "~", "3.0.0"]})"), "true");
  EXPECT_EQ(Answer(R"({"sem_ver": ["3.1.0", "~", "3.0.0"]})"), "false");
  EXPECT_EQ(Answer(R"({"sem_ver": ["3.1.0", "^", "3.0.0"]})"), "true");
  EXPECT_EQ(Answer(R"({"sem_ver": ["4.0.0", "^", "3.0.0"]})"), "false");
}

TEST(SemVer, TakesALeadingVAndPartialVersions) {
  EXPECT_EQ(Answer(R"({"sem_ver": ["v1.5.0", "^", "1"]})"), "true");
  EXPECT_EQ(Answer(R"({"sem_ver": ["1.2", "=", "V1.2.0"]})"), "true");
  EXPECT_EQ(Answer(R"({"sem_ver": [1.5, ">", "1.4.9"]})"), "true");
}

TEST(SemVer, IsNullForWhatItDoesNotUnderstand) {
  EXPECT_EQ(Answer(R"({"sem_ver": ["not-a-version", "=", "1.0.0"]})"), "null");
  EXPECT_EQ(Answer(R"({"sem_ver": ["2.0.0.0", "=", "1.0.0"]})"), "null");
  EXPECT_EQ(Answer(R"({"sem_ver": ["1.0.0", "===", "1.0.0"]})"), "null");
  EXPECT_EQ(Answer(R"({"sem_ver": ["1.0.0", "="]})"), "null");
}

TEST(Affixes, AreNullForWhatIsNoText) {
  EXPECT_EQ(Answer(R"({"starts_with": ["abc", "ab"]})"), "true");
  EXPECT_EQ(Answer(R"({"ends_with": ["abc", "ab"]})"), "false");
  EXPECT_EQ(Answer(R"({"starts_with": [{"var": "n"}, "1"]})", R"({"n": 12})"), "null");
  EXPECT_EQ(Answer(R"({"ends_with": ["abc"]})"), "null");
}

TEST(FlagdVariables, NameTheFlagAndTheTime) {
  const Surroundings around{"my-flag", "", 1'775'000'000'999};
  EXPECT_EQ(Answer(R"({"var": "$flagd.flagKey"})", "{}", around), R"("my-flag")");
  EXPECT_EQ(Answer(R"({"var": "$flagd.timestamp"})", "{}", around), "1775000000.0");
  EXPECT_EQ(Answer(R"({"var": {"cat": ["$flagd.", "flagKey"]}})", "{}", around), R"("my-flag")");
  // A context cannot pretend to be another flag.
  EXPECT_EQ(Answer(R"({"var": "$flagd.flagKey"})", R"({"$flagd": {"flagKey": "x"}})", around),
            R"("my-flag")");
}

TEST(FlagdVariables, TargetingKeyComesFromTheContextFirst) {
  EXPECT_EQ(Answer(R"({"var": "targetingKey"})", "{}", {"f", "given"}), R"("given")");
  EXPECT_EQ(Answer(R"({"var": "targetingKey"})", R"({"targetingKey": "own"})", {"f", "given"}),
            R"("own")");
  EXPECT_EQ(Answer(R"({"var": ["targetingKey", "none"]})"), R"("none")");
}

}  // namespace
}  // namespace weir::targeting
