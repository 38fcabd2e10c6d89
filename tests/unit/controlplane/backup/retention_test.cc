// SPDX-License-Identifier: Apache-2.0
#include "controlplane/backup/retention.h"

#include <gmock/gmock.h>

namespace weir::control::backup {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kDayMs = 86'400'000;
// 2026-11-28T17:12:00Z, by date -d @1795885920.
constexpr int64_t kNowMs = 1'795'885'920'000;

std::vector<NamedBackup> Daily(int days) {
  std::vector<NamedBackup> backups;
  for (int day = 0; day < days; ++day) {
    const int64_t at_ms = kNowMs - day * kDayMs;
    backups.push_back({"day" + std::to_string(day), at_ms, 100});
  }
  return backups;
}

TEST(Retention, NamesSayWhenAndWhat) {
  const std::string name = BackupName(kNowMs, 42);
  EXPECT_EQ(name, "weir-20261128T171200Z-r42.tar");
  const auto parsed = ParseBackupName(name);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->at_wall_ms, kNowMs);
  EXPECT_EQ(parsed->revision, 42u);
}

TEST(Retention, FilesOfOthersAreNoBackups) {
  for (const char* name :
       {"weir-20261128T171200Z-r42.tar.part", "weir-20261128T171200Z-r.tar", "weir-r42.tar",
        "weir-20261128T171200Z-r4x.tar", "weir-20261399T171200Z-r42.tar", "notes.tar", ""}) {
    EXPECT_FALSE(ParseBackupName(name).has_value()) << name;
  }
}

TEST(Retention, KeepsSoMany) {
  EXPECT_THAT(Expired(Daily(5), {.keep = 3, .keep_for_ms = 0}, kNowMs),
              ElementsAre("day3", "day4"));
  EXPECT_THAT(Expired(Daily(3), {.keep = 3, .keep_for_ms = 0}, kNowMs), IsEmpty());
  EXPECT_THAT(Expired(Daily(50), {.keep = 0, .keep_for_ms = 0}, kNowMs), IsEmpty());
}

TEST(Retention, KeepsSoLongAndAlwaysTheNewest) {
  EXPECT_THAT(Expired(Daily(4), {.keep = 0, .keep_for_ms = 2 * kDayMs}, kNowMs),
              ElementsAre("day3"));
  EXPECT_THAT(Expired(Daily(3), {.keep = 0, .keep_for_ms = 1}, kNowMs + 100 * kDayMs),
              ElementsAre("day1", "day2"));
}

}  // namespace
}  // namespace weir::control::backup
