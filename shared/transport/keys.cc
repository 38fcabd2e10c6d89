// SPDX-License-Identifier: Apache-2.0
#include "shared/transport/keys.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "shared/base/text.h"

namespace weir::transport {
namespace {

constexpr size_t kZ85Length = 40;
constexpr size_t kKeyBytes = 32;
constexpr std::string_view kPublicLine = "public-key = ";
constexpr std::string_view kSecretLine = "secret-key = ";

std::string Encode(const KeyPair& pair) {
  return std::string(kPublicLine) + pair.public_key + "\n" + std::string(kSecretLine) +
         pair.secret_key + "\n";
}

Result<KeyPair> Decode(const std::string& text, const std::string& path) {
  KeyPair pair;
  for (const std::string& line : Split(text, '\n')) {
    if (line.starts_with(kPublicLine)) pair.public_key = line.substr(kPublicLine.size());
    if (line.starts_with(kSecretLine)) pair.secret_key = line.substr(kSecretLine.size());
  }
  std::array<char, kZ85Length + 1> derived{};
  if (!DecodeKey(pair.public_key).ok() || !DecodeKey(pair.secret_key).ok() ||
      zmq_curve_public(derived.data(), pair.secret_key.c_str()) != 0 ||
      pair.public_key != derived.data()) {
    return DataLoss(path + " does not hold a matching public-key and secret-key");
  }
  return pair;
}

// Looks at the file that was opened, not at the name, so that nothing can be swapped in between.
Result<KeyPair> Load(int fd, const std::string& path) {
  struct stat info {};
  if (::fstat(fd, &info) != 0)
    return Unavailable("cannot read " + path + ": " + std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return FailedPrecondition(path + " is not a regular file");
  if ((info.st_mode & 077) != 0) {
    return FailedPrecondition(
        path + " holds a secret key but others have access to it: chmod 600 " + path);
  }
  std::array<char, 512> text{};
  ssize_t size = 0;
  do {
    size = ::read(fd, text.data(), text.size());
  } while (size < 0 && errno == EINTR);
  if (size < 0) return Unavailable("cannot read " + path + ": " + std::strerror(errno));
  return Decode(std::string(text.data(), static_cast<size_t>(size)), path);
}

}  // namespace

Result<KeyPair> GenerateKeyPair() {
  std::array<char, kZ85Length + 1> public_key{};
  std::array<char, kZ85Length + 1> secret_key{};
  if (zmq_curve_keypair(public_key.data(), secret_key.data()) != 0) {
    return Internal(std::string("cannot make a key pair: ") + zmq_strerror(zmq_errno()));
  }
  return KeyPair{public_key.data(), secret_key.data()};
}

Result<KeyPair> LoadOrCreateKeyPair(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd >= 0) {
    Result<KeyPair> pair = Load(fd, path);
    ::close(fd);
    return pair;
  }
  if (errno != ENOENT) {
    return FailedPrecondition("cannot open " + path + ": " + std::strerror(errno));
  }
  WEIR_ASSIGN_OR_RETURN(const KeyPair pair, GenerateKeyPair());
  WEIR_RETURN_IF_ERROR(WriteFileAtomic(path, Encode(pair), 0600));
  return pair;
}

std::string Fingerprint(std::string_view public_key) {
  std::array<uint8_t, crypto_hash_sha256_BYTES> digest{};
  crypto_hash_sha256(digest.data(), reinterpret_cast<const unsigned char*>(public_key.data()),
                     public_key.size());
  return ToHex(std::span(digest).first(16));
}

Result<std::string> DecodeKey(std::string_view z85) {
  std::array<uint8_t, kKeyBytes> raw{};
  if (z85.size() != kZ85Length || zmq_z85_decode(raw.data(), std::string(z85).c_str()) == nullptr) {
    return InvalidArgument("", "a public or secret key is 40 characters of Z85");
  }
  return std::string(reinterpret_cast<const char*>(raw.data()), raw.size());
}

Result<std::string> Prove(const KeyPair& own, std::string_view peer_public_key,
                          std::string_view text) {
  static_assert(crypto_box_PUBLICKEYBYTES == kKeyBytes && crypto_box_SECRETKEYBYTES == kKeyBytes);
  WEIR_ASSIGN_OR_RETURN(const std::string secret, DecodeKey(own.secret_key));
  WEIR_ASSIGN_OR_RETURN(const std::string peer, DecodeKey(peer_public_key));
  std::array<uint8_t, crypto_box_BEFORENMBYTES> shared{};
  if (crypto_box_beforenm(shared.data(), reinterpret_cast<const uint8_t*>(peer.data()),
                          reinterpret_cast<const uint8_t*>(secret.data())) != 0) {
    return InvalidArgument("", "a public key that no key pair has");
  }
  constexpr std::string_view kPurpose = "weir http request\n";
  const std::string signed_text = std::string(kPurpose) + std::string(text);
  std::array<uint8_t, 32> hash{};
  crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const uint8_t*>(signed_text.data()),
                     signed_text.size(), shared.data(), shared.size());
  sodium_memzero(shared.data(), shared.size());
  return ToHex(hash);
}

bool IsProof(const KeyPair& own, std::string_view peer_public_key, std::string_view text,
             std::string_view proof) {
  const Result<std::string> wanted = Prove(own, peer_public_key, text);
  return wanted.ok() && proof.size() == wanted->size() &&
         sodium_memcmp(proof.data(), wanted->data(), proof.size()) == 0;
}

}  // namespace weir::transport
