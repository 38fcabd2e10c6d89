// SPDX-License-Identifier: Apache-2.0
#include "controlplane/store/blob_store.h"

#include <fmt/format.h>
#include <sodium.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "shared/base/text.h"

namespace weir::control::store {
namespace {

// Only such names become paths.
bool IsSha256(const std::string& text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::string Sha256Hex(std::string_view bytes) {
  std::array<uint8_t, crypto_hash_sha256_BYTES> hash;
  crypto_hash_sha256(hash.data(), reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  return ToHex(hash);
}

}  // namespace

Status BlobStore::Put(const std::string& sha256, std::string_view bytes) const {
  if (!IsSha256(sha256)) {
    return InvalidArgument("", fmt::format("\"{}\" is not 64 lower-case hex digits", sha256));
  }
  if (bytes.size() > kMaxBytes) {
    return {Code::kResourceExhausted,
            fmt::format("{} bytes; a blob has at most {}", bytes.size(), kMaxBytes)};
  }
  const std::string actual = Sha256Hex(bytes);
  if (actual != sha256) {
    return InvalidArgument("",
                           fmt::format("the bytes have the SHA-256 {}, not {}", actual, sha256));
  }
  if (Has(sha256)) return OkStatus();
  WEIR_RETURN_IF_ERROR(MakeDirectories(directory_));
  return WriteFileAtomic(Path(sha256), bytes);
}

bool BlobStore::Has(const std::string& sha256) const {
  return IsSha256(sha256) && ::access(Path(sha256).c_str(), R_OK) == 0;
}

Result<std::string> BlobStore::Read(const std::string& sha256) const {
  if (!Has(sha256)) return NotFound(fmt::format("there is no blob {}", sha256));
  WEIR_ASSIGN_OR_RETURN(std::string bytes, ReadFile(Path(sha256)));
  if (Sha256Hex(bytes) != sha256) {
    return DataLoss(fmt::format("{} is damaged: its SHA-256 is another", Path(sha256)));
  }
  return bytes;
}

}  // namespace weir::control::store
