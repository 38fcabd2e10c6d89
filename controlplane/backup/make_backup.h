// SPDX-License-Identifier: Apache-2.0
// Makes the one file from which a control plane can be put up again elsewhere: the database as it
// is at one moment, the keys, and the models' blobs. Commits go on meanwhile: the database is
// copied over a connection that only reads. Blocks; any thread but core.
#pragma once

#include <cstdint>
#include <string>

#include "controlplane/backup/archive.h"
#include "shared/base/clock.h"
#include "shared/base/status.h"
#include "shared/codec/json.h"

namespace weir::control::backup {

struct MakeOptions {
  std::string data_dir;
  std::string
      path;  // appears when it is whole; `path`.part and `path`.db stand beside it till then
  Progress progress{};
};

struct Made {
  // {format, program, created_at, host, schema, wire, revision, epoch, audit: {rows, head}, parts:
  // [{name, bytes, sha256}]}
  codec::Json manifest;
  uint64_t bytes = 0;  // of the file
};

// AlreadyExists when `path` is there, ResourceExhausted when there is no room for it. On an error
// nothing is left behind.
Result<Made> MakeBackup(const MakeOptions& options, const Clock& clock);

}  // namespace weir::control::backup
