// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/backup/retention.h"
#include "shared/base/clock.h"
#include "shared/base/executor.h"
#include "shared/base/status.h"
#include "shared/base/work_pool.h"
#include "shared/codec/json.h"

namespace weir::control::backup {

struct BackupsOptions {
  std::string data_dir;
  std::string dir;       // of automatic backups; "": none are made
  int64_t every_ms = 0;  // above 0 with a dir
  Retention retention;
};

// The backups of a running control plane: those that somebody asked for, which wait in
// DATA_DIR/backup.spool until they were fetched, and those made by themselves, every so often, into
// a directory of which the oldest go. One is made at a time, on a thread of its own. After a failed
// one the next try comes after ten minutes, or after `every` if that is shorter. On the core
// thread, except ReadPiece.
class Backups {
 public:
  struct Hooks {
    std::function<uint64_t()> revision;
    // Writes an audit row before a backup begins, so that it is in it.
    std::function<Status(const std::string& actor, const std::string& action,
                         const std::string& detail)>
        audit;
    // {result: made | failed, file?, bytes?, revision?, error?, actor}
    std::function<void(codec::Json)> tell;
  };
  struct Counters {
    uint64_t made = 0;
    uint64_t failed = 0;
  };
  struct Trouble {
    std::string what;
    std::string why;
    int64_t since_wall_ms = 0;
  };

  static constexpr size_t kMaxWaiting = 4;        // asked for and not fetched yet
  static constexpr int64_t kFetchMs = 3'600'000;  // afterwards they go
  static constexpr size_t kMaxPiece = 4 << 20;    // bytes

  Backups(BackupsOptions options, Hooks hooks, Executor& core, const Clock& clock);
  ~Backups();  // a backup under way is given up

  // About every 100 ms: begins what is due.
  void Tick();

  // For fetching: {id, state, done_bytes, total_bytes, bytes?, manifest?, error?}, with state
  // running | ready | failed. ResourceExhausted when kMaxWaiting are there already.
  Result<codec::Json> Begin(const std::string& actor, const std::string& reason);
  Result<codec::Json> Show(const std::string& id) const;  // NotFound
  Status Drop(const std::string& id);
  // Up to kMaxPiece bytes from `offset`; "" at the end. NotFound. Any thread.
  static Result<std::string> ReadPiece(const std::string& data_dir, const std::string& id,
                                       uint64_t offset, uint64_t bytes);

  // {dir, every, keep, keep_for, next_at, last_error?, items: [{file, created_at, bytes,
  // revision}]}, newest first.
  codec::Json List() const;

  // Of the last one that was made, whoever wanted it; -1: none is known.
  int64_t age_ms() const;
  const Counters& counters() const { return counters_; }
  std::optional<Trouble> trouble() const;

 private:
  struct Job;
  std::shared_ptr<Job> Run(const std::string& path, const std::string& actor);
  void OnDone(const std::shared_ptr<Job>& job);
  void BeginAutomatic();
  void OnAutomatic(const Job& job);
  void DropUnfetched();
  std::vector<NamedBackup> Automatic() const;
  static codec::Json View(const std::string& id, const Job& job);

  const BackupsOptions options_;
  const Hooks hooks_;
  const Clock& clock_;
  std::shared_ptr<std::atomic<bool>> is_stopped_ = std::make_shared<std::atomic<bool>>(false);

  std::map<std::string, std::shared_ptr<Job>> asked_;  // by id
  std::shared_ptr<Job> automatic_;                     // under way
  int64_t due_ms_ = 0;                                 // monotonic
  int64_t made_wall_ms_ = 0;                           // the last one; 0: none is known
  std::optional<Trouble> trouble_;                     // of the last automatic one
  Counters counters_;
  WorkPool pool_;  // last: its thread is gone before the rest
};

}  // namespace weir::control::backup
