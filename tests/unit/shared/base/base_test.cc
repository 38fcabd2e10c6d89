// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/status.h"
#include "shared/base/text.h"
#include "shared/base/utf8.h"

namespace weir {
namespace {

// The bounds of RFC 3629, section 4.
TEST(Utf8, IsWhatTheStandardSays) {
  for (const char* text : {"", "a\x7f", "\xc2\x80\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                           "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(IsUtf8(text)) << text;
  for (const char* text :
       {"\x80", "a\xc1\xbf", "\xc2", "\xc2\x41", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe1\x80",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf1\x80\x80", "\xff"})
    EXPECT_FALSE(IsUtf8(text));
  EXPECT_EQ(Utf8Length("\xf0\x90\x80\x80x"), 4u);
  EXPECT_EQ(Utf8Length(""), 0u);
}

TEST(Duration, ReadsEveryUnitAndPlainSeconds) {
  EXPECT_EQ(*ParseDurationMs("250ms"), 250);
  EXPECT_EQ(*ParseDurationMs("30s"), 30'000);
  EXPECT_EQ(*ParseDurationMs("5m"), 300'000);
  EXPECT_EQ(*ParseDurationMs("24h"), 86'400'000);
  EXPECT_EQ(*ParseDurationMs("7d"), 604'800'000);
  EXPECT_EQ(*ParseDurationMs("300"), 300'000);
  EXPECT_EQ(*ParseDurationMs("0.5"), 500);
}

TEST(Duration, RefusesEverythingElse) {
  for (const char* bad : {"", "s", "-1s", "1w", "1 s", "nan", "inf", "1e300d", "10mm"}) {
    EXPECT_FALSE(ParseDurationMs(bad).ok()) << bad;
  }
}

TEST(Duration, WritesTheShortestExactForm) {
  for (const char* text : {"0s", "250ms", "30s", "5m", "24h", "7d", "90s"}) {
    const int64_t ms = *ParseDurationMs(text);
    EXPECT_EQ(*ParseDurationMs(FormatDurationMs(ms)), ms) << text;
  }
  EXPECT_EQ(FormatDurationMs(300'000), "5m");
  EXPECT_EQ(FormatDurationMs(90'000), "90s");
}

TEST(Time, RoundTripsAndReadsOffsets) {
  EXPECT_EQ(FormatTimeMs(*ParseTimeMs("2026-11-20T14:05:00.123Z")), "2026-11-20T14:05:00.123Z");
  EXPECT_EQ(*ParseTimeMs("2026-11-20T15:05+01:00"), *ParseTimeMs("2026-11-20 14:05"));
  for (const char* bad : {"", "yesterday", "2026-13-01T00:00", "2026-11-20", "2026-11-20T14:05:00x",
                          "2026-11-20T14:05:nanZ", "2026-11-20T-1:05", "-026-11-20T14:05"}) {
    EXPECT_FALSE(ParseTimeMs(bad).ok()) << bad;
  }
}

TEST(Text, FindsTheNearestName) {
  EXPECT_EQ(NearestName("rolout_percentage", {"enabled", "rollout_percentage"}),
            "rollout_percentage");
  EXPECT_EQ(NearestName("xyz", {"enabled", "rollout_percentage"}), "");
}

TEST(Text, HexRoundTrips) {
  const std::string bytes("\x00\xff\x10", 3);
  EXPECT_EQ(ToHex({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}), "00ff10");
  EXPECT_EQ(*FromHex("00FF10"), bytes);
  EXPECT_FALSE(FromHex("0").ok());
  EXPECT_FALSE(FromHex("zz").ok());
}

TEST(Files, WriteIsAtomicAndErrorsNameThePath) {
  const std::string dir = testing::TempDir() + "/weir-base-" + RandomHex(4);
  ASSERT_TRUE(MakeDirectories(dir + "/a/b").ok());
  ASSERT_TRUE(WriteFileAtomic(dir + "/a/b/f", "one", 0600).ok());
  ASSERT_TRUE(WriteFileAtomic(dir + "/a/b/f", "two", 0600).ok());
  EXPECT_EQ(*ReadFile(dir + "/a/b/f"), "two");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir + "/a/b"), {}), 1);
  struct stat st {};
  ASSERT_EQ(::stat((dir + "/a/b/f").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
  const Status missing = ReadFile(dir + "/none").status();
  EXPECT_EQ(missing.code(), Code::kNotFound);
  EXPECT_NE(missing.message().find(dir + "/none"), std::string::npos);
  EXPECT_FALSE(MakeDirectories(dir + "/a/b/f/c").ok());
  std::filesystem::remove_all(dir);
}

TEST(Logging, AMessageIsOneLineWhateverItQuotes) {
  for (const char* format : {"text", "json"}) {
    ASSERT_TRUE(InitLogging("weir-test", "info", format).ok());
    testing::internal::CaptureStderr();
    Log("base").info("by {}", "alice\n2026-11-20 14:05:00.000 E weir-node \x1b[2Jforged\x7f");
    const std::string text = testing::internal::GetCapturedStderr();
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
    EXPECT_NE(text.find("alice\\u000a2026-11-20 14:05:00.000 E weir-node \\u001b[2Jforged\\u007f"),
              std::string::npos)
        << text;
  }
}

TEST(ResourceName, IsChecked) {
  EXPECT_TRUE(IsResourceName("fraud-1.1_0"));
  for (const char* bad : {"", "-a", ".a", "a b", "a/b", "ä"})
    EXPECT_FALSE(IsResourceName(bad)) << bad;
  EXPECT_FALSE(IsResourceName(std::string(254, 'a')));
}

TEST(ResultDeathTest, ReadingAFailedResultAborts) {
  const Result<int> failed = NotFound("flag \"x\"");
  EXPECT_DEATH(static_cast<void>(*failed), "flag \"x\"");
}

}  // namespace
}  // namespace weir
