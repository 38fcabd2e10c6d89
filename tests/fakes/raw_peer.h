// SPDX-License-Identifier: Apache-2.0
// A ZMTP 3.0 peer with CURVE (rfc.zeromq.org/spec/23 and /26) written on a plain TCP socket and
// libsodium, without libzmq: it may stop, lie and flood at every byte. Blocking, with a deadline of
// 20 s for everything; one thread.
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <sodium.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "shared/transport/keys.h"

namespace weir::fakes {

class RawPeer {
 public:
  static constexpr int kDeadlineMs = 20'000;
  static constexpr uint8_t kMore = 1;

  // "tcp://127.0.0.1:43211". IsOpen tells whether it worked.
  explicit RawPeer(const std::string& address) {
    const size_t colon = address.rfind(':');
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(colon + 1))));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval wait{kDeadlineMs / 1000, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) Close();
  }
  ~RawPeer() { Close(); }
  RawPeer(RawPeer&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), nonce_(other.nonce_), shared_(other.shared_) {}
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;

  bool IsOpen() const { return fd_ >= 0; }
  void Close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

  // False once the other side has hung up.
  bool SendBytes(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  // "" when the other side hung up before that many came.
  std::string ReadBytes(size_t count) {
    std::string bytes(count, '\0');
    size_t have = 0;
    while (have < count) {
      const ssize_t got = ::recv(fd_, bytes.data() + have, count - have, 0);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return "";
      have += static_cast<size_t>(got);
    }
    return bytes;
  }
  // Reads and drops until the other side hangs up; false at the deadline.
  bool WaitUntilCut(int deadline_ms = kDeadlineMs) {
    std::array<char, 65536> buffer{};
    while (true) {
      pollfd poll{fd_, POLLIN, 0};
      if (::poll(&poll, 1, deadline_ms) <= 0) return false;
      if (::recv(fd_, buffer.data(), buffer.size(), 0) <= 0) return true;
    }
  }

  static std::string Greeting(std::string_view mechanism = "CURVE") {
    std::string bytes("\xff\0\0\0\0\0\0\0\x01\x7f\x03\0", 12);
    bytes += mechanism;
    bytes.resize(64, '\0');
    return bytes;
  }

  // The whole handshake as socket type `type` ("DEALER"). False when the other side refused.
  bool Handshake(const transport::KeyPair& own, const std::string& server_key,
                 std::string_view type) {
    if (!SendBytes(Greeting()) || ReadBytes(64).empty()) return false;
    Keys transient;
    crypto_box_keypair(transient.open.data(), transient.secret.data());
    const std::string server = *transport::DecodeKey(server_key);
    if (!SendHello(transient, server)) return false;
    const std::string welcome = ReadFrame();
    if (welcome.size() != 168) return false;
    const std::string opened =
        Open(welcome.substr(24), "WELCOME-" + welcome.substr(8, 16), server, transient.secret);
    if (opened.size() != 128) return false;
    const std::string their_transient = opened.substr(0, 32);
    if (crypto_box_beforenm(shared_.data(), U(their_transient), transient.secret.data()) != 0)
      return false;
    if (!SendInitiate(own, transient, server, their_transient, opened.substr(32), type))
      return false;
    return ReadFrame().substr(0, 6) == "\5READY";
  }

  // One frame of a message; with kMore the message goes on.
  bool SendFrame(std::string_view body, uint8_t flags = 0) {
    std::string plain(1, static_cast<char>(flags));
    plain += body;
    std::string frame("\7MESSAGE", 8);
    const std::string number = Number(nonce_++);
    frame += number;
    std::string sealed(plain.size() + crypto_box_MACBYTES, '\0');
    const std::string nonce = "CurveZMQMESSAGEC" + number;
    crypto_box_easy_afternm(reinterpret_cast<uint8_t*>(sealed.data()), U(plain), plain.size(),
                            U(nonce), shared_.data());
    return SendBytes(Framed(frame + sealed, false));
  }
  // Sends a frame as SendFrame does, but says that it will be `size` bytes and stops after the
  // header.
  bool AnnounceFrame(uint64_t size) {
    std::string bytes(1, '\2');
    for (int shift = 56; shift >= 0; shift -= 8) bytes += static_cast<char>(size >> shift);
    return SendBytes(bytes + "\7MESSAGE");
  }

 private:
  struct Keys {
    std::array<uint8_t, 32> open{}, secret{};
  };
  static const uint8_t* U(const std::string& text) {
    return reinterpret_cast<const uint8_t*>(text.data());
  }
  static std::string Number(uint64_t value) {
    std::string bytes;
    for (int shift = 56; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
    return bytes;
  }
  static std::string Text(const std::array<uint8_t, 32>& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  static std::string Seal(const std::string& plain, const std::string& nonce, const std::string& to,
                          const uint8_t* from_secret) {
    std::string sealed(plain.size() + crypto_box_MACBYTES, '\0');
    if (crypto_box_easy(reinterpret_cast<uint8_t*>(sealed.data()), U(plain), plain.size(), U(nonce),
                        U(to), from_secret) != 0)
      return "";
    return sealed;
  }
  static std::string Open(const std::string& sealed, const std::string& nonce,
                          const std::string& from, const std::array<uint8_t, 32>& secret) {
    std::string plain(sealed.size() - crypto_box_MACBYTES, '\0');
    if (crypto_box_open_easy(reinterpret_cast<uint8_t*>(plain.data()), U(sealed), sealed.size(),
                             U(nonce), U(from), secret.data()) != 0)
      return "";
    return plain;
  }
  static std::string Framed(const std::string& body, bool is_command) {
    const uint8_t flags = is_command ? 4 : 0;
    std::string bytes;
    if (body.size() < 256) {
      bytes += static_cast<char>(flags);
      bytes += static_cast<char>(body.size());
    } else {
      bytes += static_cast<char>(flags | 2);
      bytes += Number(body.size());
    }
    return bytes + body;
  }
  std::string ReadFrame() {
    const std::string flags = ReadBytes(1);
    if (flags.empty()) return "";
    uint64_t size = 0;
    for (const char c : ReadBytes((flags[0] & 2) != 0 ? 8 : 1))
      size = size << 8 | static_cast<uint8_t>(c);
    return size == 0 || size > 1 << 20 ? "" : ReadBytes(size);
  }
  bool SendHello(const Keys& transient, const std::string& server) {
    std::string hello("\5HELLO\1\0", 8);
    hello.append(72, '\0');
    hello += Text(transient.open);
    const std::string number = Number(nonce_++);
    hello += number;
    hello +=
        Seal(std::string(64, '\0'), "CurveZMQHELLO---" + number, server, transient.secret.data());
    return SendBytes(Framed(hello, true));
  }
  bool SendInitiate(const transport::KeyPair& own, const Keys& transient, const std::string& server,
                    const std::string& their_transient, const std::string& cookie,
                    std::string_view type) {
    const std::string secret = *transport::DecodeKey(own.secret_key);
    std::string vouch_nonce(16, '\0');
    randombytes_buf(vouch_nonce.data(), vouch_nonce.size());
    std::string plain = *transport::DecodeKey(own.public_key) + vouch_nonce;
    plain +=
        Seal(Text(transient.open) + server, "VOUCH---" + vouch_nonce, their_transient, U(secret));
    plain += std::string("\x0bSocket-Type\0\0\0", 15) + static_cast<char>(type.size());
    plain += type;
    const std::string number = Number(nonce_++);
    std::string initiate = "\x08INITIATE" + cookie + number;
    std::string sealed(plain.size() + crypto_box_MACBYTES, '\0');
    const std::string nonce = "CurveZMQINITIATE" + number;
    crypto_box_easy_afternm(reinterpret_cast<uint8_t*>(sealed.data()), U(plain), plain.size(),
                            U(nonce), shared_.data());
    return SendBytes(Framed(initiate + sealed, true));
  }

  int fd_ = -1;
  uint64_t nonce_ = 1;
  std::array<uint8_t, crypto_box_BEFORENMBYTES> shared_{};
};

}  // namespace weir::fakes
