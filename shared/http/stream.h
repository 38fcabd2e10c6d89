// SPDX-License-Identifier: Apache-2.0
// Internal: reads and writes of a connected socket that never wait and never raise SIGPIPE, in the
// clear or through TLS. Whoever owns the socket waits for it as Io says and then tries again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "shared/base/status.h"

struct ssl_ctx_st;  // of OpenSSL

namespace weir::http::internal {

struct Io {
  enum class Kind { kDone, kWantRead, kWantWrite, kEnd, kFailed };
  Kind kind = Kind::kDone;
  size_t bytes = 0;      // of kDone
  std::string reason{};  // of kFailed: "Connection reset by peer"
  bool is_gone = false;  // of kFailed: the peer has left
  bool is_http = false;  // of a server's handshake that kFailed: the peer speaks HTTP in the clear
};

// Of a client, whom https trusts; of a server, who it is. Immutable: any thread, any number of
// streams.
class TlsContext {
 public:
  // `ca_file` (PEM) or, if it is "", the system's certificates. InvalidArgument names the file.
  static Result<std::shared_ptr<const TlsContext>> Create(const std::string& ca_file);

  // A server's: TLS 1.2 and up, the key never asked for on a terminal. InvalidArgument with the
  // field tls_cert or tls_key names the file and what is wrong with it.
  static Result<std::shared_ptr<const TlsContext>> CreateServer(const std::string& cert_file,
                                                                const std::string& key_file);
  // Of a server's certificate: "Nov 28 12:00:00 2026 GMT".
  std::string expires() const;
  bool IsExpired() const;

  explicit TlsContext(ssl_ctx_st* context, std::string trusted);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

 private:
  friend class Stream;
  ssl_ctx_st* context_;
  std::string trusted_;  // "the system's certificates", "those of /etc/ca.pem"
};

// One connection. The socket stays its owner's, who closes it after Reset or the stream's end. One
// thread at a time.
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // In the clear without a `tls`. Otherwise Handshake comes first, and the certificate must be
  // trusted and `host`'s, a name or an address.
  void Attach(int fd, const TlsContext* tls, const std::string& host);
  // The server's end of a connection. Handshake comes first.
  void AttachServer(int fd, const TlsContext& tls);
  void Reset();
  bool is_tls() const { return tls_ != nullptr; }
  // Bytes have come that Read would give without looking at the socket.
  bool HasPending() const;

  Io Handshake();
  Io Read(char* to, size_t size);
  // Some of `first` and then of `second`, with one system call (in the clear).
  Io Write(std::string_view first, std::string_view second);

 private:
  struct Tls;
  void Begin(int fd, const TlsContext& tls);
  Io WriteClear(std::string_view first, std::string_view second) const;
  Io ReadClear(char* to, size_t size) const;

  int fd_ = -1;
  std::unique_ptr<Tls> tls_;
};

}  // namespace weir::http::internal
