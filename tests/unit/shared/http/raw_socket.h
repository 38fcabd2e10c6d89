// SPDX-License-Identifier: Apache-2.0
// A blocking TCP connection for tests that say exactly which bytes go over the wire.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

namespace weir::http {

class RawSocket {
 public:
  explicit RawSocket(const std::string& address, int receive_buffer = 0) {
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    const size_t colon = address.rfind(':');
    to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(colon + 1))));
    inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer > 0) {
      setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    Limit();
    EXPECT_EQ(connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0) << address;
  }
  // A connection that somebody else made.
  explicit RawSocket(int fd) : fd_(fd) { Limit(); }
  ~RawSocket() { Close(); }
  RawSocket(RawSocket&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), kept_(std::move(other.kept_)) {}
  RawSocket& operator=(RawSocket&&) = delete;

  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;  // the server may have closed; what it answered is still to be read
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  void EndSending() { shutdown(fd_, SHUT_WR); }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

  // Reads until `mark` has come and returns everything up to its end; what follows is kept.
  std::string ReadUntil(std::string_view mark) {
    size_t at = std::string::npos;
    while ((at = kept_.find(mark)) == std::string::npos) {
      if (!ReadMore()) {
        ADD_FAILURE() << "the connection ended before \"" << mark << "\": " << kept_;
        return kept_;
      }
    }
    std::string result = kept_.substr(0, at + mark.size());
    kept_.erase(0, at + mark.size());
    return result;
  }
  // Reads until the server has closed.
  std::string ReadAll() {
    while (ReadMore()) {
    }
    EXPECT_FALSE(timed_out_) << "still open after: " << kept_;
    return std::move(kept_);
  }
  // One answer with a Content-Length, head and body.
  std::string ReadAnswer() {
    std::string answer = ReadUntil("\r\n\r\n");
    const size_t at = answer.find("Content-Length: ");
    const size_t size = at == std::string::npos ? 0 : std::strtoul(&answer[at + 16], nullptr, 10);
    while (kept_.size() < size && ReadMore()) {
    }
    EXPECT_GE(kept_.size(), size);
    answer += kept_.substr(0, size);
    kept_.erase(0, size);
    return answer;
  }

 private:
  void Limit() const {
    const timeval limit = {20, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  bool ReadMore() {
    char bytes[16384];
    const ssize_t n = recv(fd_, bytes, sizeof bytes, 0);
    timed_out_ = n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    if (n <= 0) return false;
    kept_.append(bytes, static_cast<size_t>(n));
    return true;
  }

  int fd_ = -1;
  bool timed_out_ = false;
  std::string kept_;
};

}  // namespace weir::http
