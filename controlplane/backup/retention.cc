// SPDX-License-Identifier: Apache-2.0
#include "controlplane/backup/retention.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "shared/base/clock.h"

namespace weir::control::backup {
namespace {

constexpr std::string_view kPrefix = "weir-";
constexpr std::string_view kSuffix = ".tar";
constexpr size_t kTimeChars = 16;  // 20261128T171200Z

}  // namespace

std::string BackupName(int64_t at_wall_ms, uint64_t revision) {
  std::string time = FormatTimeMs(at_wall_ms).substr(0, 19) + "Z";
  std::erase_if(time, [](char c) { return c == '-' || c == ':'; });
  return fmt::format("{}{}-r{}{}", kPrefix, time, revision, kSuffix);
}

std::optional<NamedBackup> ParseBackupName(const std::string& file) {
  const size_t rest = kPrefix.size() + kTimeChars;
  const bool is_shaped = file.starts_with(kPrefix) && file.ends_with(kSuffix) &&
                         file.size() > rest + 2 + kSuffix.size() && file.substr(rest, 2) == "-r";
  if (!is_shaped) return std::nullopt;
  const std::string time = file.substr(kPrefix.size(), kTimeChars);
  const auto at = ParseTimeMs(fmt::format("{}-{}-{}:{}:{}", time.substr(0, 4), time.substr(4, 2),
                                          time.substr(6, 5), time.substr(11, 2), time.substr(13)));
  NamedBackup backup{file, at.ok() ? *at : 0, 0};
  const char* end = file.data() + file.size() - kSuffix.size();
  const auto read = std::from_chars(file.data() + rest + 2, end, backup.revision);
  if (!at.ok() || read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return backup;
}

std::vector<std::string> Expired(std::vector<NamedBackup> backups, const Retention& retention,
                                 int64_t now_wall_ms) {
  std::sort(backups.begin(), backups.end(), [](const NamedBackup& a, const NamedBackup& b) {
    return a.at_wall_ms != b.at_wall_ms ? a.at_wall_ms > b.at_wall_ms : a.revision > b.revision;
  });
  std::vector<std::string> expired;
  for (size_t i = 1; i < backups.size(); ++i) {
    const bool is_beyond = retention.keep > 0 && i >= retention.keep;
    const bool is_old =
        retention.keep_for_ms > 0 && now_wall_ms - backups[i].at_wall_ms > retention.keep_for_ms;
    if (is_beyond || is_old) expired.push_back(backups[i].file);
  }
  return expired;
}

}  // namespace weir::control::backup
