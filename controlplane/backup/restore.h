// SPDX-License-Identifier: Apache-2.0
// Puts a backup into a data directory, from which weir-control then starts as a new epoch: nodes
// follow it, also back to an older state. Blocks; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "controlplane/backup/archive.h"
#include "shared/base/clock.h"
#include "shared/base/status.h"
#include "shared/codec/json.h"

namespace weir::control::backup {

struct RestoreOptions {
  std::string file;
  std::string data_dir;
  bool force = false;  // what is in the directory is put aside, in replaced.<time>/
  std::string actor;
  Progress progress{};
};

struct Restored {
  codec::Json manifest;
  std::string replaced;          // where what was there is now; "" when the directory was empty
  bool clock_is_behind = false;  // of this machine: nodes may have heard a later epoch
};

// Everything is checked before anything in the directory changes: each part's SHA-256, that the
// blobs are what they are named after, the database's pages and its audit chain, which then gets a
// row of the restore. FailedPrecondition: the directory is in use, or not empty without `force`, or
// the backup is of a newer program. DataLoss: it is damaged. What a restore that was killed left
// behind keeps weir-control from starting, and the next restore clears it away.
Result<Restored> Restore(const RestoreOptions& options, const Clock& clock);

// Checks a backup as a restore would, in `scratch_dir`, which is made for it and removed. Gives the
// manifest.
Result<codec::Json> VerifyBackup(const std::string& file, const std::string& scratch_dir,
                                 const Clock& clock, const Progress& progress = {});

}  // namespace weir::control::backup
