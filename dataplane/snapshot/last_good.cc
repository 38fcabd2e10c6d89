// SPDX-License-Identifier: Apache-2.0
#include "dataplane/snapshot/last_good.h"

#include <string_view>

#include "shared/base/crash_point.h"
#include "shared/base/text.h"
#include "shared/codec/msgpack.h"
#include "shared/wire/digest.h"

namespace weir::node::snapshot {
namespace {

constexpr std::string_view kFormat = "weir snapshot 1\n";
constexpr size_t kChecksumBytes = 64;

}  // namespace

std::string EncodeLastGood(const LastGood& snapshot) {
  const std::string body = codec::ToMsgpack(snapshot);
  std::string file(kFormat);
  file += wire::Sha256Hex(body) + "\n";
  file += body;
  return file;
}

Result<LastGood> DecodeLastGood(const std::string& path, std::string_view text) {
  const size_t head = kFormat.size() + kChecksumBytes + 1;
  if (text.size() < head || !text.starts_with(kFormat) || text[head - 1] != '\n') {
    return DataLoss(path + ": not a snapshot of this program");
  }
  const std::string_view body = text.substr(head);
  if (text.substr(kFormat.size(), kChecksumBytes) != wire::Sha256Hex(body)) {
    return DataLoss(path + ": the checksum does not hold");
  }
  auto snapshot = codec::FromMsgpack<LastGood>(body);
  if (!snapshot.ok()) return DataLoss(path + ": " + snapshot.status().message());
  wire::SetDigest digest;
  for (const StoredEntry& entry : snapshot->entries) {
    digest.Add(wire::EntryHash(static_cast<domain::EntryKind>(entry.kind), entry.name,
                               entry.published.value));
  }
  if (digest.Raw() != snapshot->digest.value) {
    return DataLoss(path + ": the digest of its entries does not hold");
  }
  return snapshot;
}

Status SaveLastGood(const std::string& path, const LastGood& snapshot) {
  CrashPoint("snapshot.before_store");
  return WriteFileAtomic(path, EncodeLastGood(snapshot), 0600);
}

Result<LastGood> LoadLastGood(const std::string& path) {
  WEIR_ASSIGN_OR_RETURN(const std::string file, ReadFile(path));
  return DecodeLastGood(path, file);
}

}  // namespace weir::node::snapshot
