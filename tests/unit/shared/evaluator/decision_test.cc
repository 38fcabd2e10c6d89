// SPDX-License-Identifier: Apache-2.0
#include "shared/evaluator/decision.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "shared/base/text.h"
#include "tests/fakes/temp_dir.h"

namespace weir {
namespace {

constexpr char kFile[] = R"(
ttft_pipeline:
  enabled: true
  rollout_percentage: 17.16
  hash_seed: "ttft-pipeline-2025-01-08"
  warmup_queue: {enabled: true}
adaptive_governor: {enabled: false, rollout_percentage: 0, hash_seed: g}
)";

constexpr char kVariants[] = R"({"flags": {
  "colour": {"state": "ENABLED", "variants": {"red": "#f00", "grey": "#888"},
             "defaultVariant": "red",
             "targeting": {"if": [{"ends_with": [{"var": "email"}, "@b.c"]}, "grey"]}},
  "limit": {"state": "ENABLED", "variants": {"low": 1.5, "high": 100}, "defaultVariant": "high"},
  "layout": {"state": "ENABLED", "variants": {"a": {"columns": 2}}, "defaultVariant": "a"},
  "beta": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on"},
  "gone": {"state": "DISABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on"},
  "broken": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "nowhere"}
}})";

std::unique_ptr<Flags> Of(std::string_view text) {
  std::string error;
  auto flags = Flags::FromText(text, &error);
  EXPECT_NE(flags, nullptr) << error;
  return flags;
}

// Bucket 17159 is DECISIONS' for user-2, and 17460 Python's hashlib's for user-1.
TEST(EmbeddedFlags, DecideAsTheTableOfDecisionsSays) {
  const auto flags = Of(kFile);
  EXPECT_TRUE(flags->IsEnabled("ttft_pipeline", "user-2"));
  EXPECT_FALSE(flags->IsEnabled("ttft_pipeline", "user-1"));
  EXPECT_TRUE(flags->IsEnabled("ttft_pipeline.warmup_queue", "user-2"));
  EXPECT_FALSE(flags->IsEnabled("ttft_pipeline.warmup_queue", "user-1"));
  EXPECT_FALSE(flags->IsEnabled("no_such_flag", "user-2"));
  const Evaluation in = flags->Evaluate("ttft_pipeline", "user-2");
  EXPECT_EQ(in.flag, "ttft_pipeline");
  EXPECT_TRUE(in.enabled);
  EXPECT_EQ(in.value, "true");
  EXPECT_EQ(in.variant, "on");
  EXPECT_EQ(in.reason, "SPLIT");
  EXPECT_EQ(in.error, "");
  EXPECT_EQ(in.bucket, 17'159u);
  EXPECT_EQ(in.threshold, 17'160u);
  EXPECT_EQ(flags->Evaluate("ttft_pipeline", "").error, "TARGETING_KEY_MISSING");
  EXPECT_EQ(flags->Evaluate("no_such_flag", "k").error, "FLAG_NOT_FOUND");
}

TEST(EmbeddedFlags, GiveTypedValuesAndTheDefaultForEverythingElse) {
  const auto flags = Of(kVariants);
  EXPECT_EQ(flags->String("colour", "none", "k"), "#f00");
  EXPECT_EQ(flags->String("colour", "none", "k", R"({"email": "a@b.c"})"), "#888");
  EXPECT_EQ(flags->Number("limit", 0, "k"), 100);
  EXPECT_EQ(flags->Json("layout", "{}", "k"), R"({"columns":2})");
  EXPECT_EQ(flags->Json("colour", "{}", "k"), "\"#f00\"");
  EXPECT_TRUE(flags->Bool("beta", false, "k"));
  // Another type, no value, unknown, malformed.
  EXPECT_EQ(flags->String("limit", "none", "k"), "none");
  EXPECT_EQ(flags->Number("colour", 7, "k"), 7);
  EXPECT_FALSE(flags->Bool("colour", false, "k"));
  for (const bool otherwise : {true, false}) {
    for (const char* without : {"gone", "absent", "broken", "limit"}) {
      EXPECT_EQ(flags->Bool(without, otherwise, "k"), otherwise) << without;
    }
  }
  EXPECT_EQ(flags->Evaluate("broken", "k").error, "PARSE_ERROR");
  EXPECT_NE(flags->Config("broken")->malformed, "");
  EXPECT_EQ(flags->Evaluate("gone", "k").reason, "DISABLED");
}

TEST(EmbeddedFlags, RefuseAContextThatIsNoObject) {
  const auto flags = Of(kVariants);
  for (const char* context : {"{", "[]", "3", "email=a@b.c"}) {
    const Evaluation evaluation = flags->Evaluate("colour", "k", context);
    EXPECT_EQ(evaluation.error, "INVALID_CONTEXT") << context;
    EXPECT_EQ(evaluation.reason, "ERROR") << context;
    EXPECT_NE(evaluation.detail, "") << context;
    EXPECT_EQ(flags->String("colour", "mine", "k", context), "mine") << context;
    EXPECT_TRUE(flags->Bool("beta", true, "k", context));
    EXPECT_FALSE(flags->IsEnabled("beta", "k", context));
  }
  EXPECT_EQ(flags->GetStats().total_decisions, 0u);
}

TEST(EmbeddedFlags, ShowTheirSettings) {
  const auto flags = Of(kFile);
  const auto all = flags->AllFlags();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].name, "adaptive_governor");
  EXPECT_FALSE(all[0].enabled);
  EXPECT_EQ(all[1].name, "ttft_pipeline");
  EXPECT_EQ(all[2].name, "ttft_pipeline.warmup_queue");
  const auto config = flags->Config("ttft_pipeline");
  ASSERT_TRUE(config.has_value());
  EXPECT_TRUE(config->enabled);
  EXPECT_DOUBLE_EQ(config->percentage, 17.16);
  EXPECT_EQ(config->seed, "ttft-pipeline-2025-01-08");
  EXPECT_FALSE(flags->Config("absent").has_value());
  EXPECT_EQ(Of(kVariants)->Config("colour")->variants, (std::vector<std::string>{"grey", "red"}));
  EXPECT_FALSE(flags->KillSwitch());
  const auto killed = Of(std::string(kFile) + "emergency: {kill_switch: true}\n");
  EXPECT_TRUE(killed->KillSwitch());
  EXPECT_EQ(killed->Evaluate("ttft_pipeline", "user-2").reason, "KILL_SWITCH");
  EXPECT_TRUE(killed->AllFlags()[1].enabled);
}

TEST(EmbeddedFlags, CountDecisionsOfAllThreads) {
  const auto flags = Of(kFile);
  constexpr int kThreads = 4;
  constexpr int kEach = 2000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        flags->IsEnabled("ttft_pipeline", i % 4 == 0 ? "user-2" : "user-1");
        flags->IsEnabled("absent", "user-2");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  flags->Bool("adaptive_governor", true, "k");
  const Stats stats = flags->GetStats();
  EXPECT_EQ(stats.total_decisions, kThreads * kEach + 1u);
  EXPECT_EQ(stats.enabled_count, kThreads * kEach / 4u);
  ASSERT_EQ(stats.flags.size(), 2u);
  EXPECT_EQ(stats.flags.at("ttft_pipeline").total_decisions, kThreads * kEach + 0u);
  EXPECT_DOUBLE_EQ(stats.flags.at("ttft_pipeline").actual_percentage, 25);
  EXPECT_EQ(stats.flags.at("adaptive_governor").enabled_count, 0u);
  EXPECT_EQ(stats.flags.at("adaptive_governor").actual_percentage, 0);
}

TEST(EmbeddedFlags, CallBackAfterEachDecisionUntilTold) {
  const auto flags = Of(kFile);
  std::vector<std::string> seen;
  flags->OnDecision([&](std::string_view flag, std::string_view key, bool enabled) {
    seen.push_back(std::string(flag) + " " + std::string(key) + (enabled ? " on" : " off"));
    if (seen.size() == 1) flags->GetStats();  // no lock is held
  });
  flags->IsEnabled("ttft_pipeline", "user-2");
  flags->Evaluate("ttft_pipeline", "user-1");
  flags->IsEnabled("absent", "user-1");
  EXPECT_EQ(seen,
            (std::vector<std::string>{"ttft_pipeline user-2 on", "ttft_pipeline user-1 off"}));
  flags->OnDecision(nullptr);
  flags->IsEnabled("ttft_pipeline", "user-2");
  EXPECT_EQ(seen.size(), 2u);
}

TEST(EmbeddedFlags, SayWhatIsWrongWithAFile) {
  std::string error;
  EXPECT_EQ(Flags::Load("/no/such/file.yaml", &error), nullptr);
  EXPECT_NE(error.find("/no/such/file.yaml"), std::string::npos) << error;
  EXPECT_EQ(Flags::FromText("a: {enabled: true, rollout_percentage: 140}", &error, "my.yaml"),
            nullptr);
  EXPECT_EQ(error.rfind("my.yaml:1: a.rollout_percentage: 140", 0), 0u) << error;
  EXPECT_EQ(Flags::FromText(""), nullptr);
}

std::string At(double percentage) {
  return "f: {enabled: true, rollout_percentage: " + std::to_string(percentage).substr(0, 6) +
         ", hash_seed: s}\n";
}

TEST(EmbeddedFlags, ReloadTakesTheNewFileOrKeepsTheOld) {
  const fakes::TempDir dir;
  const std::string path = dir.path() + "/flags.yaml";
  ASSERT_TRUE(WriteFileAtomic(path, At(0)).ok());
  std::string error;
  const auto flags = Flags::Load(path, &error);
  ASSERT_NE(flags, nullptr) << error;
  EXPECT_FALSE(flags->IsEnabled("f", "k"));
  ASSERT_TRUE(WriteFileAtomic(path, At(100)).ok());
  EXPECT_FALSE(flags->IsEnabled("f", "k"));  // not before it is told
  EXPECT_TRUE(flags->Reload(&error)) << error;
  EXPECT_TRUE(flags->IsEnabled("f", "k"));
  ASSERT_TRUE(WriteFileAtomic(path, "f: {enabled: perhaps}\n").ok());
  EXPECT_FALSE(flags->Reload(&error));
  EXPECT_NE(error.find("flags.yaml:1: f.enabled"), std::string::npos) << error;
  EXPECT_TRUE(flags->IsEnabled("f", "k"));
  ASSERT_EQ(std::remove(path.c_str()), 0);
  EXPECT_FALSE(flags->Reload());
  EXPECT_TRUE(flags->IsEnabled("f", "k"));
  EXPECT_EQ(flags->GetStats().total_decisions, 5u);
  EXPECT_TRUE(flags->ReloadFrom(At(0), &error)) << error;
  EXPECT_FALSE(flags->IsEnabled("f", "k"));
  EXPECT_FALSE(Of(kFile)->Reload(&error));
  EXPECT_NE(error.find("ReloadFrom"), std::string::npos) << error;
}

// Under ThreadSanitizer the proof that nothing is shared unguarded.
TEST(EmbeddedFlags, OthersDecideWhileOneReloads) {
  const auto flags = Of(At(0));
  std::atomic<bool> stop{false};
  std::atomic<int> decided{0};
  std::atomic<int> heard{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      double last = 0;
      while (!stop.load()) {
        const double now = flags->Config("f")->percentage;
        EXPECT_GE(now, last);
        last = now;
        EXPECT_NE(flags->Evaluate("f", "k").variant, "");
        ++decided;
      }
    });
  }
  for (int i = 1; i <= 50; ++i) {
    EXPECT_TRUE(flags->ReloadFrom(At(2 * i)));
    flags->OnDecision([&](std::string_view, std::string_view, bool) { ++heard; });
    flags->GetStats();
    const int before = decided.load();
    while (decided.load() == before) std::this_thread::yield();
  }
  EXPECT_TRUE(flags->IsEnabled("f", "k"));
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(heard.load(), 50);
  EXPECT_EQ(flags->GetStats().total_decisions, static_cast<uint64_t>(decided.load()) + 1);
}

}  // namespace
}  // namespace weir
