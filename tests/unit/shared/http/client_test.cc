// SPDX-License-Identifier: Apache-2.0
#include "shared/http/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <stdexcept>

#include "shared/http/server.h"

namespace weir::http {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(Client, SendsHeadersTokenBodyAndPrefix) {
  Server server;
  const auto handler = [](std::shared_ptr<Exchange> exchange) {
    const Request& request = exchange->request();
    Response response;
    response.status = 201;
    response.headers.push_back({"X-Seen", std::string(request.Header("x-mine"))});
    for (const std::string_view part :
         {request.method, std::string_view(" "), request.target, std::string_view(" "),
          request.Header("authorization"), std::string_view(" "), request.Header("content-type"),
          std::string_view(" "), request.body}) {
      response.body.append(part);
    }
    exchange->Respond(std::move(response));
  };
  ASSERT_TRUE(server.Start({}, handler).ok());
  ClientOptions options;
  options.bearer_token = "secret";
  Client client("http://" + server.address() + "/api/", options);
  const auto answer = client.Do("POST", "/v1/x?y=1", {{"X-Mine", "m"}}, "{}");
  ASSERT_TRUE(answer.ok()) << answer.status().ToString();
  EXPECT_EQ(answer->status, 201);
  EXPECT_EQ(answer->Header("x-seen"), "m");
  EXPECT_EQ(answer->Header("absent"), "");
  EXPECT_EQ(answer->body, "POST /api/v1/x?y=1 Bearer secret application/json {}");
  const auto head = client.Do("HEAD", "/h");
  ASSERT_TRUE(head.ok()) << head.status().ToString();
  EXPECT_EQ(head->body, "");
  EXPECT_TRUE(client.Do("GET", "/after").ok());
  EXPECT_EQ(server.counters().accepted, 1u);
}

TEST(Client, ReplacesAConnectionThatHasGoneStale) {
  const auto handler = [](std::shared_ptr<Exchange> exchange) {
    Response response;
    response.body = exchange->request().method;
    exchange->Respond(std::move(response));
  };
  auto server = std::make_unique<Server>();
  ASSERT_TRUE(server->Start({}, handler).ok());
  ServerOptions same;
  same.listen = server->address();
  Client client(same.listen);
  ASSERT_TRUE(client.Do("GET", "/").ok());
  for (const char* method : {"GET", "POST"}) {
    server = nullptr;
    server = std::make_unique<Server>();
    ASSERT_TRUE(server->Start(same, handler).ok());
    const auto answer = client.Do(method, "/");
    ASSERT_TRUE(answer.ok()) << answer.status().ToString();
    EXPECT_EQ(answer->body, method);
  }
}

// The server cuts off the second request of each connection without an answer.
TEST(Client, RepeatsOnlyWhatMayBeRepeated) {
  std::map<std::string, int> seen;  // by connection; the worker's thread
  Server server;
  const auto handler = [&](std::shared_ptr<Exchange> exchange) {
    if (++seen[exchange->request().remote] % 2 == 1) return exchange->Respond({});
    exchange->StartStream({});
    throw std::runtime_error("cuts the stream off");
  };
  ASSERT_TRUE(server.Start({}, handler).ok());
  Client client(server.address());
  ASSERT_TRUE(client.Do("GET", "/").ok());
  EXPECT_TRUE(client.Do("GET", "/").ok());  // on a new connection
  const auto post = client.Do("POST", "/", {}, "x");
  ASSERT_FALSE(post.ok());
  EXPECT_EQ(post.status().code(), Code::kUnavailable);
  EXPECT_THAT(post.status().message(), HasSubstr("closed the connection without an answer"));
  EXPECT_EQ(server.counters().requests, 4u);
}

TEST(Client, SaysWhoDidNotAnswerAndWhy) {
  std::string address;
  {
    Server server;
    ASSERT_TRUE(server.Start({}, [](const std::shared_ptr<Exchange>&) {}).ok());
    address = server.address();
    ClientOptions options;
    options.timeout_ms = 50;
    const auto late = Client(address, options).Do("GET", "/");
    ASSERT_FALSE(late.ok());
    EXPECT_EQ(late.status().code(), Code::kUnavailable);
    EXPECT_EQ(late.status().message(), address + ": timed out after 50 ms");
    const Status stream =
        Client(address, options).Stream("/", {}, [](std::string_view) { return true; });
    EXPECT_EQ(stream.message(), address + ": timed out after 50 ms");
  }
  const auto refused = Client(address).Do("GET", "/");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), Code::kUnavailable);
  EXPECT_EQ(refused.status().message(), address + ": Connection refused");
}

TEST(Client, ReadsTheAnswerToABodyThatWasRefused) {
  Server server;
  ServerOptions options;
  options.max_body = 1000;
  ASSERT_TRUE(server.Start(options, [](const std::shared_ptr<Exchange>&) {}).ok());
  Client client(server.address());
  const auto answer = client.Do("PUT", "/", {}, std::string(4'000'000, 'x'));
  ASSERT_TRUE(answer.ok()) << answer.status().ToString();
  EXPECT_EQ(answer->status, 413);
}

TEST(Client, RefusesWhatItCannotSend) {
  EXPECT_EQ(Client("ftp://h:1").Do("GET", "/").status().code(), Code::kInvalidArgument);
  EXPECT_EQ(Client("").Do("GET", "/").status().code(), Code::kInvalidArgument);
  EXPECT_EQ(Client("http://h:x").Do("GET", "/").status().code(), Code::kInvalidArgument);
  Client client("127.0.0.1:1");
  EXPECT_EQ(client.Do("GET", "no-slash").status().code(), Code::kInvalidArgument);
  EXPECT_EQ(client.Do("GET", "/a b").status().code(), Code::kInvalidArgument);
  EXPECT_EQ(client.Do("GET", "/", {{"a", "b\r\nc: d"}}).status().code(), Code::kInvalidArgument);
}

TEST(Client, TurnsARefusedStreamIntoAnError) {
  Server server;
  const auto handler = [](std::shared_ptr<Exchange> exchange) {
    exchange->Respond(ErrorResponse(404, "no such stream"));
  };
  ASSERT_TRUE(server.Start({}, handler).ok());
  const Status status =
      Client(server.address()).Stream("/", {}, [](std::string_view) { return true; });
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_THAT(status.message(), StartsWith(server.address() + ": answered 404: "));
}

}  // namespace
}  // namespace weir::http
