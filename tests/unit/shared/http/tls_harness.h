// SPDX-License-Identifier: Apache-2.0
// A small TLS server for tests, written on OpenSSL alone, and certificates that it makes itself.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace weir::http {

struct Certificate {
  // Signed by itself; `names` as OpenSSL writes them: "DNS:localhost,IP:127.0.0.1".
  explicit Certificate(const std::string& names, long valid_s = 3600)  // NOLINT: OpenSSL's type
      : key(EVP_EC_gen("P-256")), x509(X509_new()) {
    X509_set_version(x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -7200);
    X509_gmtime_adj(X509_getm_notAfter(x509), valid_s);
    X509_set_pubkey(x509, key);
    X509_NAME* const name = X509_get_subject_name(x509);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("weir test"), -1, -1, 0);
    X509_set_issuer_name(x509, name);
    X509_EXTENSION* const extension =
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str());
    X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
    EXPECT_GT(X509_sign(x509, key, EVP_sha256()), 0);
  }
  ~Certificate() {
    X509_free(x509);
    EVP_PKEY_free(key);
  }
  Certificate(const Certificate&) = delete;
  Certificate& operator=(const Certificate&) = delete;

  std::string Save(const std::string& file) const {
    const std::string path = testing::TempDir() + file + "." + std::to_string(getpid());
    FILE* const out = std::fopen(path.c_str(), "w");
    EXPECT_NE(out, nullptr) << path;
    if (out != nullptr) {
      EXPECT_EQ(PEM_write_X509(out, x509), 1);
      std::fclose(out);
    }
    return path;
  }

  std::string SaveKey(const std::string& file) const {
    const std::string path = testing::TempDir() + file + "." + std::to_string(getpid());
    FILE* const out = std::fopen(path.c_str(), "w");
    EXPECT_NE(out, nullptr) << path;
    if (out != nullptr) {
      EXPECT_EQ(PEM_write_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr), 1);
      std::fclose(out);
    }
    return path;
  }

  EVP_PKEY* key;
  X509* x509;
};

// Answers "SNI-NAME BODY" to every request, on a thread per connection.
class TlsServer {
 public:
  explicit TlsServer(const Certificate& certificate) : context_(SSL_CTX_new(TLS_server_method())) {
    SSL_CTX_use_certificate(context_, certificate.x509);
    SSL_CTX_use_PrivateKey(context_, certificate.key);
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at = {};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(listen(fd_, 64), 0);
    socklen_t size = sizeof at;
    getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size);
    port_ = std::to_string(ntohs(at.sin_port));
    thread_ = std::thread([this] { Accept(); });
  }
  ~TlsServer() {
    shutdown(fd_, SHUT_RDWR);
    thread_.join();
    CloseConnections();
    for (std::thread& each : threads_) each.join();
    for (const int fd : connections_) close(fd);
    close(fd_);
    SSL_CTX_free(context_);
  }
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  std::string Url(const std::string& host) const { return "https://" + host + ":" + port_; }
  const std::string& port() const { return port_; }
  // Without close_notify, as a server that dies.
  void CloseConnections() {
    const std::lock_guard lock(mutex_);
    for (const int fd : connections_) shutdown(fd, SHUT_RDWR);
  }

  std::atomic<int> accepted = 0;
  std::atomic<bool> leave = false;  // right after the handshake

 private:
  void Accept() {
    for (int fd = 0; (fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
      ++accepted;
      const std::lock_guard lock(mutex_);
      connections_.push_back(fd);
      threads_.emplace_back([this, fd] { Serve(fd); });
    }
  }
  void Serve(int fd) {
    SSL* const ssl = SSL_new(context_);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1 && !leave) {
      std::string bytes;
      while (ReadRequest(ssl, &bytes)) {
      }
    }
    shutdown(fd, SHUT_RDWR);
    SSL_free(ssl);
  }
  static bool ReadRequest(SSL* ssl, std::string* bytes) {
    size_t head = 0;
    while ((head = bytes->find("\r\n\r\n")) == std::string::npos) {
      if (!ReadMore(ssl, bytes)) return false;
    }
    head += 4;
    const size_t at = bytes->find("Content-Length: ");
    const size_t size = at > head ? 0 : std::strtoul(&(*bytes)[at + 16], nullptr, 10);
    while (bytes->size() < head + size) {
      if (!ReadMore(ssl, bytes)) return false;
    }
    const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    std::string body = name == nullptr ? "-" : name;
    body.append(" ").append(*bytes, head, size);
    bytes->erase(0, head + size);
    const std::string answer =
        "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    return SSL_write(ssl, answer.data(), static_cast<int>(answer.size())) > 0;
  }
  static bool ReadMore(SSL* ssl, std::string* bytes) {
    char buffer[16384];
    const int n = SSL_read(ssl, buffer, sizeof buffer);
    if (n > 0) bytes->append(buffer, static_cast<size_t>(n));
    return n > 0;
  }

  SSL_CTX* context_;
  int fd_ = -1;
  std::string port_;
  std::thread thread_;
  std::mutex mutex_;  // the two below, between the accepting thread and the test's
  std::vector<int> connections_;
  std::vector<std::thread> threads_;
};

}  // namespace weir::http
