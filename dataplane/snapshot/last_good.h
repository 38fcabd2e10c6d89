// SPDX-License-Identifier: Apache-2.0
// The last good snapshot on disk, so that a node starts and serves without a control plane.
// One file: a line with the format, a line with the SHA-256 of the rest, then msgpack.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/status.h"
#include "shared/codec/domain_fields.h"
#include "shared/codec/fields.h"
#include "shared/domain/snapshot.h"

namespace weir::node::snapshot {

struct StoredEntry {
  uint32_t kind = 0;  // domain::EntryKind
  std::string name;
  codec::Bytes published;  // what the digest counts
  codec::Bytes good;       // the last bytes that were understood, when `published` was refused
};

struct LastGood {
  uint64_t epoch = 0;
  uint64_t version = 0;
  codec::Bytes digest;  // of the published bytes, 32 raw bytes
  domain::EmergencyOverlay emergency;
  std::vector<StoredEntry> entries;
  int64_t saved_wall_ms = 0;  // for saying its age, and for nothing else
};

// The file's content.
std::string EncodeLastGood(const LastGood& snapshot);
// DataLoss when checksum, format or digest do not hold; `path` is for the message.
Result<LastGood> DecodeLastGood(const std::string& path, std::string_view file);

// Write, fsync, rename; mode 0600.
Status SaveLastGood(const std::string& path, const LastGood& snapshot);
// NotFound when there is none; else as DecodeLastGood.
Result<LastGood> LoadLastGood(const std::string& path);

template <class V>
void Describe(V& v, StoredEntry& f) {
  v(2, "kind", f.kind);
  v(4, "name", f.name);
  v(6, "published", f.published);
  v(8, "good", f.good);
}
template <class V>
void Describe(V& v, LastGood& f) {
  v(2, "epoch", f.epoch);
  v(4, "version", f.version);
  v(6, "digest", f.digest);
  v(8, "emergency", f.emergency);
  v(10, "entries", f.entries, codec::MaxItems(1'000'000));
  v(12, "saved_wall_ms", f.saved_wall_ms);
}

}  // namespace weir::node::snapshot
