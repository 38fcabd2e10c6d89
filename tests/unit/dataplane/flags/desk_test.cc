// SPDX-License-Identifier: Apache-2.0
#include "dataplane/flags/desk.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <set>
#include <sstream>

#include "shared/base/log.h"

namespace weir::node::flags {
namespace {

using telemetry::SeriesKey;
using testing::HasSubstr;
using testing::Not;

constexpr char kSalt[] = "0123456789abcdef";

class DeskTest : public testing::Test {
 protected:
  DeskTest() {
    Log("flags").sinks().push_back(sink_);
    rules.Set(Rollout("ttft_pipeline", 20'000));
    domain::FlagEntry color;
    color.name = "color";
    color.enabled = true;
    color.variants = {{"red", {"\"#f00\""}}, {"blue", {"\"#00f\""}}};
    color.default_variant = "red";
    rules.Set(color);
  }
  ~DeskTest() override { Log("flags").sinks().pop_back(); }

  static domain::FlagEntry Rollout(const std::string& name, domain::FinePercent threshold) {
    domain::FlagEntry flag;
    flag.name = name;
    flag.enabled = true;
    flag.threshold = threshold;
    flag.seed = "ttft-pipeline-2025-01-08";
    return flag;
  }
  void Observe(bool log, bool keys) {
    rules.Set(domain::ObservabilityEntry{
        "default", {.log_feature_decisions = log, .log_keys = keys, .metric_prefix = {}}});
  }
  decision::FlagDecision Decide(const std::string& flag, const std::string& key) {
    return desk.Decide(rules, flag, {.key = key, .random = 0, .now_wall_ms = 0, .context = {}});
  }
  uint64_t Taken(const std::string& flag, const std::string& outcome) {
    telemetry::Window window;
    desk.TakeInto(window);
    return window[SeriesKey{"flag/" + flag, "", outcome}].Counter(telemetry::kRequests);
  }
  std::vector<std::string> Lines() const {
    std::vector<std::string> lines;
    std::istringstream in(logged.str());
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }

  ManualClock clock;
  decision::Ruleset rules;
  Desk desk{clock, kSalt};
  std::ostringstream logged;

 private:
  std::shared_ptr<spdlog::sinks::ostream_sink_mt> sink_ =
      std::make_shared<spdlog::sinks::ostream_sink_mt>(logged);
};

// user-2 has bucket 17159 of this seed, request-123 31573 (DECISIONS' table).
TEST_F(DeskTest, CountsByFlagAndOutcome) {
  EXPECT_TRUE(Decide("ttft_pipeline", "user-2").enabled);
  EXPECT_FALSE(Decide("ttft_pipeline", "request-123").enabled);
  EXPECT_FALSE(Decide("ttft_pipeline", "request-456").enabled);
  EXPECT_EQ(Decide("color", "anyone").variant, "red");
  telemetry::Window window;
  desk.TakeInto(window);
  ASSERT_EQ(window.size(), 3u);
  const auto count = [&](const char* flag, const char* outcome) {
    const SeriesKey key{std::string("flag/") + flag, "", outcome};
    return window[key].Counter(telemetry::kRequests);
  };
  EXPECT_EQ(count("ttft_pipeline", "on"), 1u);
  EXPECT_EQ(count("ttft_pipeline", "off"), 2u);
  EXPECT_EQ(count("color", "red"), 1u);
  EXPECT_EQ(Taken("ttft_pipeline", "off"), 0u) << "what was taken is not taken again";
  TotalsByFlag totals;
  desk.AddTo(totals);
  desk.AddTo(totals);  // of two workers
  EXPECT_EQ(totals["ttft_pipeline"].enabled, 2u);
  EXPECT_EQ(totals["ttft_pipeline"].disabled, 4u);
}

TEST_F(DeskTest, CountsUnderTheVersionOfTheRulesThatDecided) {
  Decide("ttft_pipeline", "user-2");
  rules.version = 41;
  Decide("ttft_pipeline", "request-123");
  Decide("color", "anyone");
  rules.version = 42;
  rules.Set(Rollout("ttft_pipeline", domain::kFineAll));
  Decide("ttft_pipeline", "request-123");
  rules.version = 41;  // flapping
  Decide("color", "anyone");
  telemetry::Window window;
  desk.TakeInto(window);
  std::map<SeriesKey, uint64_t> counts;
  for (const auto& [key, series] : window) counts[key] = series.Counter(telemetry::kRequests);
  EXPECT_EQ(counts, (std::map<SeriesKey, uint64_t>{{{"flag/ttft_pipeline", "", "on"}, 1},
                                                   {{"flag/ttft_pipeline", "41", "off"}, 1},
                                                   {{"flag/ttft_pipeline", "42", "on"}, 1},
                                                   {{"flag/color", "41", "red"}, 2}}));
  TotalsByFlag totals;
  desk.AddTo(totals);
  EXPECT_EQ(totals["ttft_pipeline"].enabled, 2u) << "of all versions";
  window.clear();
  desk.TakeInto(window);
  EXPECT_TRUE(window.empty());
}

TEST_F(DeskTest, KeepsFewVersionsAndLosesNoDecision) {
  for (rules.version = 1000; rules.version < 2000; ++rules.version) Decide("color", "anyone");
  telemetry::Window window;
  desk.TakeInto(window);
  EXPECT_LE(window.size(), 17u);
  uint64_t sum = 0;
  for (const auto& [key, series] : window) sum += series.Counter(telemetry::kRequests);
  EXPECT_EQ(sum, 1000u);
  EXPECT_EQ((window[{"flag/color", "1999", "red"}].Counter(telemetry::kRequests)), 1u);
}

TEST_F(DeskTest, KeepsFewVersionsThoughTheyFall) {
  for (rules.version = 2000; rules.version > 1000; --rules.version) Decide("color", "anyone");
  telemetry::Window window;
  desk.TakeInto(window);
  EXPECT_LE(window.size(), 17u);
}

TEST_F(DeskTest, AFlagThatIsGoneIsForgottenWhenOtherRulesDecide) {
  Decide("ttft_pipeline", "user-2");
  rules.Remove(domain::EntryKind::kFlag, "ttft_pipeline");
  rules.version = 2;
  desk.Prune(rules);
  Decide("color", "user-2");
  TotalsByFlag totals;
  desk.AddTo(totals);
  EXPECT_FALSE(totals.contains("ttft_pipeline"));
  EXPECT_EQ(Taken("ttft_pipeline", "on"), 1u);
}

TEST_F(DeskTest, CountsNeitherUnknownFlagsNorRequestsWithoutTheKeyThatTheyNeed) {
  EXPECT_EQ(Decide("no_such_flag", "user-2").error, decision::FlagError::kFlagNotFound);
  EXPECT_EQ(Decide("ttft_pipeline", "").error, decision::FlagError::kTargetingKeyMissing);
  telemetry::Window window;
  desk.TakeInto(window);
  EXPECT_TRUE(window.empty());
  clock.AdvanceMs(1000);
  EXPECT_TRUE(desk.TakeSamples().empty());
}

TEST_F(DeskTest, TakesTheTimeFromItsClock) {
  domain::FlagEntry flag = Rollout("later", 0);
  flag.schedule = {{clock.WallMs() + 1000, std::nullopt, domain::kFineAll, ""}};
  rules.Set(flag);
  EXPECT_FALSE(Decide("later", "user-2").enabled);
  clock.AdvanceMs(1000);
  EXPECT_TRUE(Decide("later", "user-2").enabled);
}

TEST_F(DeskTest, ForgetsFlagsThatAreGoneOnceTheirCountsAreTaken) {
  Decide("ttft_pipeline", "user-2");
  Decide("color", "user-2");
  rules.Remove(domain::EntryKind::kFlag, "ttft_pipeline");
  desk.Prune(rules);
  EXPECT_EQ(Taken("ttft_pipeline", "on"), 1u);
  TotalsByFlag totals;
  desk.AddTo(totals);
  EXPECT_FALSE(totals.contains("ttft_pipeline"));
  EXPECT_EQ(totals["color"].enabled, 1u);
  rules.Set(Rollout("ttft_pipeline", 20'000));
  desk.Prune(rules);
  Decide("ttft_pipeline", "user-2");
  EXPECT_EQ(Taken("ttft_pipeline", "on"), 1u);
}

TEST_F(DeskTest, AFlagThatComesBackBeforeItsCountsAreTakenStays) {
  Decide("ttft_pipeline", "user-2");
  const domain::FlagEntry flag = Rollout("ttft_pipeline", 20'000);
  rules.Remove(domain::EntryKind::kFlag, flag.name);
  desk.Prune(rules);
  rules.Set(flag);
  desk.Prune(rules);
  Decide("ttft_pipeline", "user-2");
  EXPECT_EQ(Taken("ttft_pipeline", "on"), 2u);
  TotalsByFlag totals;
  desk.AddTo(totals);
  EXPECT_EQ(totals["ttft_pipeline"].enabled, 2u);
}

TEST_F(DeskTest, LogsInTheDocumentsWordsWhenAsked) {
  Decide("ttft_pipeline", "user-2");
  EXPECT_TRUE(logged.str().empty()) << logged.str();
  Observe(true, true);
  rules.Set(Rollout("ttft_pipeline", 35'000));
  Decide("ttft_pipeline", "request-123");
  Decide("ttft_pipeline", "request-456");
  Decide("color", "request-123");
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 3u) << logged.str();
  EXPECT_THAT(lines[0],
              HasSubstr("Feature flag decision: ttft_pipeline for request-123 => enabled"));
  EXPECT_THAT(lines[1],
              HasSubstr("Feature flag decision: ttft_pipeline for request-456 => disabled"));
  EXPECT_THAT(lines[2], HasSubstr("Feature flag decision: color for request-123 => red"));
}

TEST_F(DeskTest, LogsNoKeyUnlessAsked) {
  Observe(true, false);
  Decide("ttft_pipeline", "request-123");
  EXPECT_THAT(logged.str(), Not(HasSubstr("request-123")));
  EXPECT_THAT(logged.str(),
              HasSubstr("for " + ShownKey("request-123", kSalt, false) + " => disabled"));
}

TEST_F(DeskTest, LogsAHundredLinesASecondAndSaysHowManyItLeftOut) {
  Observe(true, false);
  for (int i = 0; i < 350; ++i) Decide("color", "user-" + std::to_string(i));
  EXPECT_EQ(Lines().size(), 100u);
  clock.AdvanceMs(1000);
  telemetry::Window window;
  desk.TakeInto(window);
  ASSERT_EQ(Lines().size(), 101u);
  EXPECT_THAT(Lines().back(), HasSubstr("250 more decisions were not logged"));
  Decide("color", "user-1");
  EXPECT_EQ(Lines().size(), 102u);
}

TEST_F(DeskTest, SamplesFiveDecisionsASecondOfWhateverFlags) {
  std::vector<std::string> names;
  for (int i = 0; i < 40; ++i) {
    names.push_back("flag_" + std::to_string(i));
    rules.Set(Rollout(names.back(), domain::kFineAll));
  }
  std::set<std::string> seen;
  for (int second = 0; second < 100; ++second) {
    for (const std::string& name : names) Decide(name, "user-2");
    EXPECT_TRUE(desk.TakeSamples().empty()) << "the second is not over";
    clock.AdvanceMs(1000);
    const auto samples = desk.TakeSamples();
    ASSERT_EQ(samples.size(), 5u);
    for (const auto& sample : samples) seen.insert(sample.flag);
  }
  // Each flag is missed by all seconds with (7/8)^100, about one in 600,000.
  EXPECT_EQ(seen.size(), names.size());
}

TEST_F(DeskTest, ASampleSaysWhatWasDecidedAndHidesTheKey) {
  Decide("ttft_pipeline", "user-2");
  const int64_t at_ms = clock.WallMs();
  clock.AdvanceMs(1000);
  auto samples = desk.TakeSamples();
  ASSERT_EQ(samples.size(), 1u);
  EXPECT_EQ(samples[0].flag, "ttft_pipeline");
  EXPECT_EQ(samples[0].key, ShownKey("user-2", kSalt, false));
  EXPECT_EQ(samples[0].outcome, "on");
  EXPECT_EQ(samples[0].reason, "SPLIT");
  EXPECT_EQ(samples[0].at_wall_ms, at_ms);
  Observe(false, true);
  Decide("ttft_pipeline", "user-2");
  clock.AdvanceMs(1000);
  samples = desk.TakeSamples();
  ASSERT_EQ(samples.size(), 1u);
  EXPECT_EQ(samples[0].key, "user-2");
}

// Python: "#" + hashlib.blake2b(b"request-123", key=b"0123456789abcdef",
// digest_size=32).hexdigest()[:10]
TEST(ShownKey, IsASaltedHashUnlessAskedForInFull) {
  EXPECT_EQ(ShownKey("request-123", kSalt, false), "#ddac8fafe3");
  EXPECT_NE(ShownKey("request-123", "another salt of 16", false),
            ShownKey("request-123", kSalt, false));
  EXPECT_EQ(ShownKey("request-123", kSalt, true), "request-123");
  EXPECT_EQ(ShownKey("", kSalt, false), "");
  EXPECT_EQ(ShownKey("a\nFeature flag decision: x", kSalt, true), "a?Feature flag decision: x");
  // 127 bytes and a character of two do not fit into 128.
  EXPECT_EQ(ShownKey(std::string(127, 'a') + "\xc3\xa9", kSalt, true), std::string(127, 'a'));
}

}  // namespace
}  // namespace weir::node::flags
