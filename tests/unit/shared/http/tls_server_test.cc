// SPDX-License-Identifier: Apache-2.0
// The server's own TLS: with our client, and with OpenSSL's where ours would not do what is
// refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <string>
#include <thread>

#include "shared/http/client.h"
#include "shared/http/server.h"
#include "tests/unit/shared/http/raw_socket.h"
#include "tests/unit/shared/http/tls_harness.h"

namespace weir::http {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

// "METHOD path https|http body" back.
void EchoScheme(const std::shared_ptr<Exchange>& exchange) {
  const Request& request = exchange->request();
  Response response;
  response.body.append(request.method).append(" ").append(request.path);
  response.body.append(request.is_tls ? " https " : " http ").append(request.body);
  exchange->Respond(std::move(response));
}

class ServerTls : public testing::Test {
 protected:
  void SetUp() override { std::signal(SIGPIPE, SIG_IGN); }
  void TearDown() override {
    std::signal(SIGPIPE, SIG_DFL);
    for (const std::string& path : {cert_file_, key_file_, other_cert_, other_key_})
      unlink(path.c_str());
  }

  ServerOptions Options() const {
    ServerOptions options;
    options.tls_cert_file = cert_file_;
    options.tls_key_file = key_file_;
    return options;
  }
  static Client ClientOf(const Server& server, const std::string& ca_file) {
    ClientOptions options;
    options.ca_file = ca_file;
    options.timeout_ms = 20'000;
    return Client("https://" + server.address(), options);
  }
  static std::string BodyOf(Client& client, const std::string& method = "GET",
                            const std::string& body = "") {
    const auto answer = client.Do(method, "/x", {}, body);
    return answer.ok() ? answer->body : answer.status().message();
  }
  static Status StartWith(const std::string& cert, const std::string& key) {
    Server server;
    ServerOptions options;
    options.tls_cert_file = cert;
    options.tls_key_file = key;
    return server.Start(options, EchoScheme);
  }
  static void AwaitFailures(const Server& server, uint64_t wanted) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (server.counters().handshake_failures < wanted &&
           std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
    }
    EXPECT_EQ(server.counters().handshake_failures, wanted);
  }
  // The files of the one become those of the other, as a renewal does.
  void Renew(const std::string& cert, const std::string& key) const {
    ASSERT_EQ(rename(cert.c_str(), cert_file_.c_str()), 0);
    ASSERT_EQ(rename(key.c_str(), key_file_.c_str()), 0);
  }

  Certificate certificate_{"DNS:localhost,IP:127.0.0.1"};
  Certificate other_{"DNS:localhost,IP:127.0.0.1"};
  std::string cert_file_ = certificate_.Save("cert.pem");
  std::string key_file_ = certificate_.SaveKey("key.pem");
  std::string other_cert_ = other_.Save("other_cert.pem");
  std::string other_key_ = other_.SaveKey("other_key.pem");
};

TEST_F(ServerTls, AnswersOverAKeptConnection) {
  Server server;
  ASSERT_TRUE(server.Start(Options(), EchoScheme).ok());
  Client client = ClientOf(server, cert_file_);
  EXPECT_EQ(BodyOf(client), "GET /x https ");
  EXPECT_EQ(BodyOf(client, "POST", "two"), "POST /x https two");
  EXPECT_EQ(server.counters().accepted, 1u);
  EXPECT_EQ(server.counters().handshake_failures, 0u);
}

TEST_F(ServerTls, CarriesLargeBodiesBothWays) {
  Server server;
  ASSERT_TRUE(server.Start(Options(), EchoScheme).ok());
  Client client = ClientOf(server, cert_file_);
  std::string body(size_t{5} << 20, 'x');
  for (size_t i = 0; i < body.size(); i += 4096) body[i] = static_cast<char>('a' + i / 4096 % 26);
  EXPECT_EQ(BodyOf(client, "POST", body), "POST /x https " + body);
}

TEST_F(ServerTls, StreamsInPieces) {
  Server server;
  const auto stream = [](const std::shared_ptr<Exchange>& exchange) {
    exchange->StartStream({});
    exchange->Write("one ");
    exchange->Write("two");
    exchange->End();
  };
  ASSERT_TRUE(server.Start(Options(), stream).ok());
  std::string all;
  const Status status = ClientOf(server, cert_file_).Stream("/", {}, [&](std::string_view piece) {
    all += piece;
    return true;
  });
  EXPECT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(all, "one two");
}

TEST_F(ServerTls, TellsWhoSpeaksPlainHttp) {
  Server server;
  ASSERT_TRUE(server.Start(Options(), EchoScheme).ok());
  RawSocket socket(server.address());
  socket.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(socket.ReadAll(), AllOf(StartsWith("HTTP/1.1 400 Bad Request\r\n"),
                                      HasSubstr("this address speaks https, not http")));
  AwaitFailures(server, 1);
  EXPECT_EQ(server.counters().requests, 0u);
}

TEST_F(ServerTls, ClosesOnWhatIsNoHandshakeOrTakesTooLong) {
  Server server;
  ServerOptions options = Options();
  options.handshake_timeout_ms = 50;
  ASSERT_TRUE(server.Start(options, EchoScheme).ok());
  RawSocket garbage(server.address());
  garbage.Send("\x01\x02 nothing that anyone speaks");
  garbage.ReadAll();
  AwaitFailures(server, 1);
  RawSocket silent(server.address());
  silent.Send("\x16\x03\x01");  // a record's beginning
  EXPECT_EQ(silent.ReadAll(), "");
  AwaitFailures(server, 2);
}

TEST_F(ServerTls, RefusesOldVersions) {
  Server server;
  ASSERT_TRUE(server.Start(Options(), EchoScheme).ok());
  const auto handshakes = [&](int version) {
    SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to = {};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const std::string address = server.address();
    to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    SSL* const ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    const bool done = SSL_connect(ssl) == 1;
    SSL_free(ssl);
    close(fd);
    SSL_CTX_free(context);
    return done;
  };
  EXPECT_TRUE(handshakes(TLS1_2_VERSION));
  EXPECT_TRUE(handshakes(TLS1_3_VERSION));
  EXPECT_FALSE(handshakes(TLS1_1_VERSION));
  AwaitFailures(server, 1);
}

TEST_F(ServerTls, NamesTheFileThatCannotBeUsed) {
  EXPECT_EQ(StartWith(cert_file_, "").field(), "tls_key");
  EXPECT_EQ(StartWith("", key_file_).field(), "tls_cert");
  EXPECT_THAT(StartWith("/no/such/cert.pem", key_file_).ToString(),
              AllOf(HasSubstr("tls_cert: "), HasSubstr("/no/such/cert.pem")));
  EXPECT_THAT(StartWith(key_file_, key_file_).ToString(),
              AllOf(HasSubstr("tls_cert: "), HasSubstr(key_file_), HasSubstr("PEM")));
  EXPECT_THAT(StartWith(cert_file_, cert_file_).ToString(),
              AllOf(HasSubstr("tls_key: "), HasSubstr("PEM key")));
  EXPECT_THAT(StartWith(cert_file_, other_key_).ToString(),
              HasSubstr(other_key_ + " is not the key of " + cert_file_));
}

TEST_F(ServerTls, RenewsWithoutEndingConnections) {
  Server server;
  ASSERT_TRUE(server.Start(Options(), EchoScheme).ok());
  const std::string old_ca = certificate_.Save("old_ca.pem");
  const std::string new_ca = other_.Save("new_ca.pem");
  Client before = ClientOf(server, old_ca);
  EXPECT_EQ(BodyOf(before), "GET /x https ");
  Renew(other_cert_, other_key_);
  ASSERT_TRUE(server.ReloadCertificate().ok());
  EXPECT_EQ(BodyOf(before), "GET /x https ");  // over the connection that it has
  EXPECT_EQ(server.counters().accepted, 1u);
  Client after = ClientOf(server, new_ca);
  EXPECT_EQ(BodyOf(after), "GET /x https ");
  Client late = ClientOf(server, old_ca);
  EXPECT_THAT(BodyOf(late), HasSubstr("not trusted"));
  unlink(old_ca.c_str());
  unlink(new_ca.c_str());
}

TEST_F(ServerTls, KeepsTheOldCertificateWhenTheNewOneIsBad) {
  Server server;
  ASSERT_TRUE(server.Start(Options(), EchoScheme).ok());
  const std::string ca = certificate_.Save("ca.pem");
  ASSERT_EQ(rename(other_cert_.c_str(), cert_file_.c_str()), 0);  // without its key
  EXPECT_THAT(server.ReloadCertificate().ToString(), HasSubstr("is not the key of"));
  const Certificate expired("IP:127.0.0.1", -60);
  Renew(expired.Save("expired.pem"), expired.SaveKey("expired_key.pem"));
  EXPECT_THAT(server.ReloadCertificate().ToString(), HasSubstr("expired on"));
  Client client = ClientOf(server, ca);
  EXPECT_EQ(BodyOf(client), "GET /x https ");
  unlink(ca.c_str());
}

TEST_F(ServerTls, DrainsConnectionsThatAreStillShakingHands) {
  Server server;
  ASSERT_TRUE(server.Start(Options(), EchoScheme).ok());
  RawSocket socket(server.address());
  while (server.counters().open == 0) std::this_thread::yield();
  server.Drain(20'000);
  EXPECT_EQ(server.counters().open, 0u);
}

}  // namespace
}  // namespace weir::http
