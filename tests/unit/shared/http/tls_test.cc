// SPDX-License-Identifier: Apache-2.0
// https of both clients against a TLS server that is not ours.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "shared/http/client.h"
#include "tests/unit/shared/http/tls_harness.h"
#include "tests/unit/shared/http/upstream_harness.h"

namespace weir::http {
namespace {

using testing::AnyOf;
using testing::HasSubstr;
using testing::StartsWith;

class Tls : public testing::Test {
 protected:
  // The test's own threads write through OpenSSL's sockets, which raise it; ours must not.
  void SetUp() override { std::signal(SIGPIPE, SIG_IGN); }
  void TearDown() override {
    std::signal(SIGPIPE, SIG_DFL);
    unlink(ca_file_.c_str());
  }

  ClientOptions Trusting() const {
    ClientOptions options;
    options.ca_file = ca_file_;
    options.timeout_ms = 20'000;
    return options;
  }
  UpstreamOptions To(const std::string& url) const {
    UpstreamOptions options;
    options.url = url;
    options.ca_file = ca_file_;
    options.connect_timeout_ms = 20'000;
    return options;
  }
  static std::string MessageOf(const std::string& url, const ClientOptions& options) {
    const auto answer = Client(url, options).Do("GET", "/");
    return answer.ok() ? "" : answer.status().message();
  }
  static UpstreamAnswer AnswerOf(UpstreamOptions options, const std::string& body = "x") {
    Home home(std::move(options));
    return Get(home.Post(body));
  }

  Certificate certificate_{"DNS:localhost,IP:127.0.0.1"};
  TlsServer server_{certificate_};
  std::string ca_file_ = certificate_.Save("ca.pem");
};

TEST_F(Tls, ClientTrustsAFileAndKeepsTheConnection) {
  Client by_name(server_.Url("localhost"), Trusting());
  for (int i = 0; i < 3; ++i) {
    const auto answer = by_name.Do("POST", "/", {}, "body");
    ASSERT_TRUE(answer.ok()) << answer.status().ToString();
    EXPECT_EQ(answer->body, "localhost body");
  }
  EXPECT_EQ(server_.accepted, 1);
  Client by_address(server_.Url("127.0.0.1"), Trusting());
  const auto answer = by_address.Do("GET", "/");
  ASSERT_TRUE(answer.ok()) << answer.status().ToString();
  EXPECT_EQ(answer->body, "- ");  // addresses are not sent as names
}

TEST_F(Tls, ClientTrustsTheSystemsCertificates) {
  ASSERT_EQ(setenv("SSL_CERT_FILE", ca_file_.c_str(), 1), 0);
  const auto answer = Client(server_.Url("localhost")).Do("GET", "/");
  unsetenv("SSL_CERT_FILE");
  EXPECT_TRUE(answer.ok()) << answer.status().ToString();
}

TEST_F(Tls, ClientCarriesLargeBodies) {
  Client client(server_.Url("localhost"), Trusting());
  const std::string body(5'000'000, 'x');
  const auto answer = client.Do("PUT", "/", {}, body);
  ASSERT_TRUE(answer.ok()) << answer.status().ToString();
  EXPECT_TRUE(answer->body == "localhost " + body);
}

TEST_F(Tls, ClientReplacesAConnectionThatHasGoneStale) {
  Client client(server_.Url("localhost"), Trusting());
  ASSERT_TRUE(client.Do("GET", "/").ok());
  server_.CloseConnections();
  const auto answer = client.Do("GET", "/");
  EXPECT_TRUE(answer.ok()) << answer.status().ToString();
  EXPECT_EQ(server_.accepted, 2);
}

TEST_F(Tls, ClientRefusesACertificateThatNobodyVouchesFor) {
  EXPECT_EQ(MessageOf(server_.Url("localhost"), {}),
            "localhost:" + server_.port() +
                ": its certificate is not trusted: self-signed certificate (trusted are the "
                "system's certificates)");
  const Certificate other("DNS:localhost");
  ClientOptions options;
  options.ca_file = other.Save("other.pem");
  EXPECT_THAT(MessageOf(server_.Url("localhost"), options),
              HasSubstr("(trusted are those of " + options.ca_file + ")"));
  unlink(options.ca_file.c_str());
}

TEST_F(Tls, ClientRefusesACertificateOfAnotherHost) {
  const Certificate wrong("DNS:other.example,IP:10.1.2.3");
  TlsServer server(wrong);
  ClientOptions options;
  options.ca_file = wrong.Save("wrong.pem");
  for (const char* host : {"localhost", "127.0.0.1"}) {
    EXPECT_EQ(MessageOf(server.Url(host), options),
              std::string(host) + ":" + server.port() +
                  ": its certificate is not trusted: it is for another host");
  }
  unlink(options.ca_file.c_str());
}

TEST_F(Tls, ClientRefusesACertificateThatHasExpired) {
  const Certificate old("DNS:localhost", -60);
  TlsServer server(old);
  ClientOptions options;
  options.ca_file = old.Save("old.pem");
  EXPECT_THAT(MessageOf(server.Url("localhost"), options),
              HasSubstr("its certificate is not trusted: certificate has expired"));
  unlink(options.ca_file.c_str());
}

TEST_F(Tls, ClientSaysThatAFileHoldsNoCertificates) {
  ClientOptions options;
  options.ca_file = "/no/such.pem";
  const auto missing = Client(server_.Url("localhost"), options).Do("GET", "/");
  EXPECT_EQ(missing.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(missing.status().message(), HasSubstr("/no/such.pem cannot be read"));
  options.ca_file = "/proc/self/comm";
  EXPECT_FALSE(Client(server_.Url("localhost"), options).Do("GET", "/").ok());
  EXPECT_EQ(server_.accepted, 0);
}

TEST_F(Tls, ClientSaysThatTheServerSpeaksNoTls) {
  Server plain;
  ASSERT_TRUE(plain.Start({}, [](const std::shared_ptr<Exchange>&) {}).ok());
  EXPECT_THAT(MessageOf("https://" + plain.address(), Trusting()),
              StartsWith(plain.address() + ": TLS: "));
}

TEST_F(Tls, ClientGivesUpOnAHandshakeThatDoesNotEnd) {
  const RawListener silent;
  ClientOptions options = Trusting();
  options.timeout_ms = 50;
  EXPECT_EQ(MessageOf("https://" + silent.address(), options),
            silent.address() + ": timed out after 50 ms");
}

// A peer that is gone while megabytes are written: an error, and no signal.
TEST_F(Tls, RaisesNoSignalWhenThePeerLeaves) {
  server_.leave = true;
  ASSERT_NE(std::signal(SIGPIPE, SIG_DFL), SIG_ERR);  // would end the program
  const std::string body(20'000'000, 'x');
  const auto answer = Client(server_.Url("localhost"), Trusting()).Do("PUT", "/", {}, body);
  EXPECT_EQ(answer.status().code(), Code::kUnavailable);
  const UpstreamAnswer other = AnswerOf(To(server_.Url("localhost")), body);
  EXPECT_EQ(other.response.status().code(), Code::kUnavailable);
  EXPECT_FALSE(other.no_connection);
}

TEST_F(Tls, UpstreamCarriesManyCalls) {
  UpstreamOptions options = To(server_.Url("localhost"));
  options.max_connections = 4;
  Home home(options);
  std::vector<std::future<UpstreamAnswer>> answers;
  for (int i = 0; i < 200; ++i) answers.push_back(home.Post(std::to_string(i)));
  for (int i = 0; i < 200; ++i) {
    const UpstreamAnswer answer = Get(std::move(answers[static_cast<size_t>(i)]));
    ASSERT_TRUE(answer.response.ok()) << answer.response.status().ToString();
    EXPECT_EQ(answer.response->body, "localhost " + std::to_string(i));
  }
  EXPECT_LE(server_.accepted, 4);
  const std::string body(5'000'000, 'x');
  const UpstreamAnswer large = Get(home.Post(body));
  ASSERT_TRUE(large.response.ok()) << large.response.status().ToString();
  EXPECT_TRUE(large.response->body == "localhost " + body);
  server_.CloseConnections();
  EXPECT_TRUE(home.Eventually([&] { return home.open() == 0; }));
  EXPECT_TRUE(Get(home.Post("after")).response.ok());
}

TEST_F(Tls, UpstreamRefusesWhomItCannotTrust) {
  UpstreamOptions options = To(server_.Url("localhost"));
  options.ca_file.clear();
  UpstreamAnswer answer = AnswerOf(options);
  EXPECT_THAT(answer.response.status().message(),
              StartsWith("localhost:" + server_.port() + ": its certificate is not trusted: "));
  EXPECT_TRUE(answer.no_connection);
  const Certificate wrong("DNS:other.example");
  TlsServer server(wrong);
  options = To(server.Url("127.0.0.1"));
  options.ca_file = wrong.Save("wrong.pem");
  answer = AnswerOf(options);
  EXPECT_THAT(answer.response.status().message(), HasSubstr("it is for another host"));
  EXPECT_TRUE(answer.no_connection);
  unlink(options.ca_file.c_str());
}

TEST_F(Tls, UpstreamGivesUpOnAHandshakeThatDoesNotEnd) {
  const RawListener silent;
  UpstreamOptions options = To("https://" + silent.address());
  options.connect_timeout_ms = 50;
  const UpstreamAnswer answer = AnswerOf(options);
  EXPECT_EQ(answer.response.status().message(), silent.address() + ": no connection after 50 ms");
  EXPECT_TRUE(answer.no_connection);
}

}  // namespace
}  // namespace weir::http
