// SPDX-License-Identifier: Apache-2.0
// The names of automatic backups, and which of them may go. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace weir::control::backup {

// "weir-20261128T171200Z-r42.tar": when it was begun, and the head then.
std::string BackupName(int64_t at_wall_ms, uint64_t revision);

struct NamedBackup {
  std::string file;
  int64_t at_wall_ms = 0;
  uint64_t revision = 0;
};
std::optional<NamedBackup> ParseBackupName(const std::string& file);

struct Retention {
  uint64_t keep = 0;        // the newest so many; 0: no limit by count
  int64_t keep_for_ms = 0;  // 0: no limit by age
};

// Those of `backups` that are beyond either limit. The newest always stays.
std::vector<std::string> Expired(std::vector<NamedBackup> backups, const Retention& retention,
                                 int64_t now_wall_ms);

}  // namespace weir::control::backup
