// SPDX-License-Identifier: Apache-2.0
// A server's certificate and key.
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <array>
#include <memory>
#include <string_view>

#include "shared/base/text.h"
#include "shared/http/stream.h"

namespace weir::http::internal {
namespace {

// With forward secrecy and authenticated encryption; those of TLS 1.3 all have both.
constexpr char kCiphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

std::string Reason() {
  const unsigned long error = ERR_peek_last_error();  // NOLINT(google-runtime-int): OpenSSL's
  const char* reason = ERR_reason_error_string(error);
  return reason == nullptr ? "unknown error" : reason;
}

// A key with a passphrase is an error; nobody is asked for it on a terminal.
int NoPassphrase(char*, int, int, void*) { return -1; }

// Of what a client offers, the one that is spoken here; what offers other ones alone goes on
// without.
int SelectProtocol(SSL*, const unsigned char** out, unsigned char* out_size,
                   const unsigned char* in, unsigned in_size, void*) {
  constexpr std::string_view kHttp = "http/1.1";
  for (unsigned at = 0; at < in_size; at += in[at] + 1U) {
    if (std::string_view(reinterpret_cast<const char*>(in + at + 1), in[at]) != kHttp) continue;
    *out = in + at + 1;
    *out_size = in[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;
}

Status Load(SSL_CTX* context, const std::string& cert_file, const std::string& key_file) {
  if (cert_file.empty()) return InvalidArgument("tls_cert", "is missing: tls_key is given");
  if (key_file.empty()) return InvalidArgument("tls_key", "is missing: tls_cert is given");
  // OpenSSL would say "system lib" of a file that is not there.
  if (const auto read = ReadFile(cert_file); !read.ok())
    return InvalidArgument("tls_cert", read.status().message());
  if (const auto read = ReadFile(key_file); !read.ok())
    return InvalidArgument("tls_key", read.status().message());
  if (SSL_CTX_use_certificate_chain_file(context, cert_file.c_str()) != 1) {
    return InvalidArgument(
        "tls_cert", fmt::format("{} cannot be read as PEM certificates: {}", cert_file, Reason()));
  }
  if (SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    if (ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH) {
      return InvalidArgument("tls_key",
                             fmt::format("{} is not the key of {}", key_file, cert_file));
    }
    return InvalidArgument(
        "tls_key",
        fmt::format("{} cannot be read as a PEM key without passphrase: {}", key_file, Reason()));
  }
  // One of another type than the certificate's is told by this alone.
  if (SSL_CTX_check_private_key(context) != 1)
    return InvalidArgument("tls_key", fmt::format("{} is not the key of {}", key_file, cert_file));
  return OkStatus();
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::CreateServer(const std::string& cert_file,
                                                                   const std::string& key_file) {
  ERR_clear_error();
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  if (context == nullptr) return Internal("TLS: " + Reason());
  auto made = std::make_shared<const TlsContext>(context, "");
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);  // tickets resume
  SSL_CTX_set_default_passwd_cb(context, NoPassphrase);
  SSL_CTX_set_alpn_select_cb(context, SelectProtocol, nullptr);
  if (SSL_CTX_set_cipher_list(context, kCiphers) != 1) return Internal("TLS: " + Reason());
  const Status loaded = Load(context, cert_file, key_file);
  ERR_clear_error();
  if (!loaded.ok()) return loaded;
  return made;
}

std::string TlsContext::expires() const {
  const X509* certificate = SSL_CTX_get0_certificate(context_);
  BIO* text = BIO_new(BIO_s_mem());
  std::string time = "?";
  if (certificate != nullptr && text != nullptr &&
      ASN1_TIME_print(text, X509_get0_notAfter(certificate)) == 1) {
    std::array<char, 64> buffer{};
    const int n = BIO_read(text, buffer.data(), static_cast<int>(buffer.size()));
    if (n > 0) time.assign(buffer.data(), static_cast<size_t>(n));
  }
  BIO_free(text);
  return time;
}

bool TlsContext::IsExpired() const {
  const X509* certificate = SSL_CTX_get0_certificate(context_);
  return certificate != nullptr && X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0;
}

}  // namespace weir::http::internal
