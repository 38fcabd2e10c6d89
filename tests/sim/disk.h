// SPDX-License-Identifier: Apache-2.0
// The disk under the store: SQLite's default file system for this program (registered once), whose
// files live in memory and can lose what was not synced. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/timeline.h"

namespace weir::sim {

// The files of one data directory. A disk dies with its process: from then on whoever still holds
// an open file gets an I/O error, and nothing reaches the files any more. Revive before the next
// process opens them.
class Disk {
 public:
  struct Write {
    uint64_t offset;
    std::string bytes;  // empty: the file was cut to `offset` bytes
  };
  struct File {
    std::string synced;        // survives everything
    std::string content;       // what a reader sees
    std::vector<Write> since;  // what a loss of power may lose, in order
  };
  using Files = std::map<std::string, std::shared_ptr<File>>;

  // `directory` is made on the machine's own disk as well, for the store's lock file.
  explicit Disk(std::string directory);
  ~Disk();
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  const std::string& directory() const { return directory_; }
  // Asked before every write, sync and deletion: false lets the disk die right there.
  void SetEffect(std::function<bool()> effect) { effect_ = std::move(effect); }

  void Die() { is_dead_ = true; }
  bool is_dead() const { return is_dead_; }
  // After Die: what the crash left. Without `power` the machine went on and kept everything;
  // with it every write that was not synced is kept, lost or torn, as chance has it.
  void Settle(bool power, Random& random);
  void Revive();
  // Everything as it stands, as a copy of a backup.
  Files Copy() const;
  void Replace(const Files& files);

  // For the file system below.
  bool MayWrite();
  uint64_t life() const { return life_; }
  Files& files() { return files_; }

 private:
  const std::string directory_;
  std::function<bool()> effect_;
  Files files_;
  bool is_dead_ = false;
  uint64_t life_ = 1;
};

// Once, before the first store is opened.
void RegisterDisks();
// Before each run: SQLite's own generator starts anew, so that runs do not depend on each other.
void ResetSqliteRandom();

}  // namespace weir::sim
