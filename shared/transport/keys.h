// SPDX-License-Identifier: Apache-2.0
// CURVE key pairs: made once per node and per control plane, kept in a file of mode 0600.
#pragma once

#include <string>
#include <string_view>

#include "shared/base/status.h"

namespace weir::transport {

struct KeyPair {
  std::string public_key;  // Z85, 40 characters
  std::string secret_key;  // Z85, 40 characters; never logged
};

Result<KeyPair> GenerateKeyPair();  // from the system's generator

// Reads the pair kept in `path`, or makes one and keeps it there (mode 0600, written atomically;
// the directory must exist). FailedPrecondition if the file is not regular or if group or others
// have any access to it; DataLoss if its content is not a matching pair. What exists is never
// changed.
Result<KeyPair> LoadOrCreateKeyPair(const std::string& path);

// The first 16 bytes of SHA-256 over the Z85 text, as 32 lower-case hex digits; what
// `printf %s KEY | sha256sum | cut -c1-32` prints.
std::string Fingerprint(std::string_view public_key);

// The 32 bytes that a Z85 key stands for; InvalidArgument unless it is 40 characters of Z85.
Result<std::string> DecodeKey(std::string_view z85);

// What only the holder of one of two key pairs can write for the other: a keyed hash of `text` by
// the secret that the two share, 64 hex digits. InvalidArgument: a key that is none.
Result<std::string> Prove(const KeyPair& own, std::string_view peer_public_key,
                          std::string_view text);
// Whether `proof` is the peer's Prove of `text` for us. Takes as long for a wrong one.
bool IsProof(const KeyPair& own, std::string_view peer_public_key, std::string_view text,
             std::string_view proof);

}  // namespace weir::transport
