// SPDX-License-Identifier: Apache-2.0
// Blobs (model files) by content: one file blobs/<sha256> each under the data directory. A file
// that is there is whole: it is written beside, synced and renamed. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "shared/base/status.h"

namespace weir::control::store {

class BlobStore {
 public:
  static constexpr size_t kMaxBytes = size_t{256} << 20;

  explicit BlobStore(const std::string& data_dir) : directory_(data_dir + "/blobs") {}

  // Stores the bytes under their SHA-256 (64 lower-case hex digits). InvalidArgument when they have
  // another one, ResourceExhausted when there are more than kMaxBytes or the disk is full.
  Status Put(const std::string& sha256, std::string_view bytes) const;
  bool Has(const std::string& sha256) const;
  // Where the blob is, or would be.
  std::string Path(const std::string& sha256) const { return directory_ + "/" + sha256; }
  // NotFound, or DataLoss when the file has changed under its name.
  Result<std::string> Read(const std::string& sha256) const;

 private:
  std::string directory_;
};

}  // namespace weir::control::store
