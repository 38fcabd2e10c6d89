// SPDX-License-Identifier: Apache-2.0
#include "shared/http/stream.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

namespace weir::http::internal {
namespace {

// What a send or recv came to. n == 0 is the peer's end.
Io IoOf(ssize_t n, Io::Kind wanted) {
  if (n > 0) return {Io::Kind::kDone, static_cast<size_t>(n)};
  if (n == 0) return {Io::Kind::kEnd};
  if (errno == EAGAIN || errno == EWOULDBLOCK) return {wanted};
  const int error = errno;
  return {Io::Kind::kFailed, 0, std::strerror(error), error == EPIPE || error == ECONNRESET};
}

// OpenSSL's own socket BIO would raise SIGPIPE.
struct Wire {
  int fd = -1;
  bool ended = false;
};

Wire& WireOf(BIO* bio) { return *static_cast<Wire*>(BIO_get_data(bio)); }

int BioWrite(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  ssize_t n = 0;
  do {
    n = send(WireOf(bio).fd, data, static_cast<size_t>(size), MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) BIO_set_retry_write(bio);
  return static_cast<int>(n);
}

int BioRead(BIO* bio, char* data, int size) {
  BIO_clear_retry_flags(bio);
  ssize_t n = 0;
  do {
    n = recv(WireOf(bio).fd, data, static_cast<size_t>(size), MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) BIO_set_retry_read(bio);
  WireOf(bio).ended |= n == 0;
  return static_cast<int>(n);
}

long BioControl(BIO* bio, int command, long, void*) {  // NOLINT(google-runtime-int): OpenSSL's
  if (command == BIO_CTRL_FLUSH) return 1;
  if (command == BIO_CTRL_EOF) return WireOf(bio).ended ? 1 : 0;
  return 0;
}

BIO_METHOD* BioMethod() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weir");
    WEIR_CHECK(made != nullptr);
    BIO_meth_set_write(made, BioWrite);
    BIO_meth_set_read(made, BioRead);
    BIO_meth_set_ctrl(made, BioControl);
    return made;
  }();
  return method;
}

std::string OpensslReason() {
  const unsigned long error = ERR_peek_last_error();  // NOLINT(google-runtime-int): OpenSSL's
  if (ERR_SYSTEM_ERROR(error)) return std::strerror(ERR_GET_REASON(error));
  const char* reason = ERR_reason_error_string(error);
  return reason == nullptr ? "unknown error" : reason;
}

bool IsAddress(const std::string& host) {
  ASN1_OCTET_STRING* address = a2i_IPADDRESS(host.c_str());
  ASN1_OCTET_STRING_free(address);
  return address != nullptr;
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::Create(const std::string& ca_file) {
  ERR_clear_error();
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  if (context == nullptr) return Internal("TLS: " + OpensslReason());
  auto made = std::make_shared<const TlsContext>(
      context, ca_file.empty() ? "the system's certificates" : "those of " + ca_file);
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  if (ca_file.empty()) {
    if (SSL_CTX_set_default_verify_paths(context) != 1) {
      return Unavailable("the system's certificates cannot be read: " + OpensslReason());
    }
  } else if (SSL_CTX_load_verify_file(context, ca_file.c_str()) != 1) {
    return InvalidArgument("ca_file", fmt::format("{} cannot be read as PEM certificates: {}",
                                                  ca_file, OpensslReason()));
  }
  return made;
}

TlsContext::TlsContext(ssl_ctx_st* context, std::string trusted)
    : context_(context), trusted_(std::move(trusted)) {}
TlsContext::~TlsContext() { SSL_CTX_free(context_); }

struct Stream::Tls {
  ~Tls() { SSL_free(ssl); }
  Io Result(int n);
  std::string Untrusted() const;

  SSL* ssl = nullptr;
  Wire wire;
  std::string trusted;
};

// What an SSL_… call that returned `n` came to.
Io Stream::Tls::Result(int n) {
  const int saved_errno = errno;
  switch (SSL_get_error(ssl, n)) {
    case SSL_ERROR_NONE:
      return {Io::Kind::kDone, static_cast<size_t>(n)};
    case SSL_ERROR_WANT_READ:
      return {Io::Kind::kWantRead};
    case SSL_ERROR_WANT_WRITE:
      return {Io::Kind::kWantWrite};
    case SSL_ERROR_ZERO_RETURN:
      return {Io::Kind::kEnd};
    case SSL_ERROR_SYSCALL:
      return {Io::Kind::kFailed, 0, std::strerror(saved_errno), true};
    default:
      if (wire.ended) return {Io::Kind::kFailed, 0, "the server closed the connection", true};
      return {Io::Kind::kFailed, 0, "TLS: " + OpensslReason()};
  }
}

// "" if the certificate is not what went wrong.
std::string Stream::Tls::Untrusted() const {
  // NOLINTNEXTLINE(google-runtime-int): OpenSSL's
  const long verdict = SSL_get_verify_result(ssl);
  if (verdict == X509_V_OK) return "";
  if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH) {
    return "its certificate is not trusted: it is for another host";
  }
  return fmt::format("its certificate is not trusted: {} (trusted are {})",
                     X509_verify_cert_error_string(verdict), trusted);
}

Stream::Stream() = default;
Stream::~Stream() = default;

void Stream::Begin(int fd, const TlsContext& tls) {
  fd_ = fd;
  tls_ = std::make_unique<Tls>();
  tls_->wire.fd = fd;
  tls_->trusted = tls.trusted_;
  tls_->ssl = SSL_new(tls.context_);
  BIO* bio = BIO_new(BioMethod());
  WEIR_CHECK(tls_->ssl != nullptr && bio != nullptr);
  BIO_set_data(bio, &tls_->wire);
  BIO_set_init(bio, 1);
  SSL_set_bio(tls_->ssl, bio, bio);  // which owns it from now on
}

void Stream::AttachServer(int fd, const TlsContext& tls) {
  Begin(fd, tls);
  SSL_set_accept_state(tls_->ssl);
}

void Stream::Attach(int fd, const TlsContext* tls, const std::string& host) {
  fd_ = fd;
  tls_ = nullptr;
  if (tls == nullptr) return;
  Begin(fd, *tls);
  if (IsAddress(host)) {
    WEIR_CHECK(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls_->ssl), host.c_str()) == 1);
  } else {
    WEIR_CHECK(SSL_set1_host(tls_->ssl, host.c_str()) == 1);
    WEIR_CHECK(SSL_set_tlsext_host_name(tls_->ssl, host.c_str()) == 1);
  }
  SSL_set_connect_state(tls_->ssl);
}

// The peer is told that this end was meant (close_notify).
void Stream::Reset() {
  if (tls_ != nullptr && SSL_is_init_finished(tls_->ssl) == 1) {
    ERR_clear_error();
    SSL_shutdown(tls_->ssl);
  }
  tls_ = nullptr;
  fd_ = -1;
}

bool Stream::HasPending() const { return tls_ != nullptr && SSL_has_pending(tls_->ssl) == 1; }

Io Stream::Handshake() {
  if (tls_ == nullptr) return {};
  ERR_clear_error();
  Io io = tls_->Result(SSL_do_handshake(tls_->ssl));
  if (io.kind == Io::Kind::kEnd) {
    return {Io::Kind::kFailed, 0, "the server closed the connection", true};
  }
  if (io.kind == Io::Kind::kFailed) {
    if (std::string untrusted = tls_->Untrusted(); !untrusted.empty()) {
      return {Io::Kind::kFailed, 0, std::move(untrusted)};
    }
    if (io.is_gone) io.reason += " during the TLS handshake";
    const unsigned long error = ERR_peek_error();  // NOLINT(google-runtime-int): OpenSSL's
    io.is_http = ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_HTTP_REQUEST;
  }
  return io;
}

Io Stream::Read(char* to, size_t size) {
  if (tls_ == nullptr) return ReadClear(to, size);
  ERR_clear_error();
  constexpr size_t kMost = std::numeric_limits<int>::max();
  return tls_->Result(SSL_read(tls_->ssl, to, static_cast<int>(std::min(size, kMost))));
}

Io Stream::Write(std::string_view first, std::string_view second) {
  if (tls_ == nullptr) return WriteClear(first, second);
  ERR_clear_error();
  const std::string_view part = first.empty() ? second : first;
  constexpr size_t kMost = std::numeric_limits<int>::max();
  return tls_->Result(
      SSL_write(tls_->ssl, part.data(), static_cast<int>(std::min(part.size(), kMost))));
}

Io Stream::ReadClear(char* to, size_t size) const {
  ssize_t n = 0;
  do {
    n = recv(fd_, to, size, MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  return IoOf(n, Io::Kind::kWantRead);
}

Io Stream::WriteClear(std::string_view first, std::string_view second) const {
  std::array<iovec, 2> parts = {iovec{const_cast<char*>(first.data()), first.size()},
                                iovec{const_cast<char*>(second.data()), second.size()}};
  msghdr message = {};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  ssize_t n = 0;
  do {
    n = sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  return IoOf(n, Io::Kind::kWantWrite);
}

}  // namespace weir::http::internal
