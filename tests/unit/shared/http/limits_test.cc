// SPDX-License-Identifier: Apache-2.0
// What the server does with requests that are too large, too slow, malformed or too many.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "shared/http/server.h"
#include "tests/unit/shared/http/raw_socket.h"

namespace weir::http {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

void Ok(const std::shared_ptr<Exchange>& exchange) { exchange->Respond({}); }

auto IsError(const std::string& status_line, const std::string& message) {
  return AllOf(StartsWith("HTTP/1.1 " + status_line + "\r\n"), HasSubstr("Connection: close\r\n"),
               EndsWith("\r\n\r\n{\"error\": \"" + message + "\"}"));
}

TEST(ServerLimits, RefusesMalformedRequests) {
  Server server;
  ASSERT_TRUE(server.Start({}, Ok).ok());
  const std::string host = "Host: x\r\n";
  const std::vector<std::string> requests = {
      "nonsense\r\n\r\n",
      "GET / HTTP/3.7\r\n\r\n",
      "GET  / HTTP/1.1\r\n" + host + "\r\n",
      "GET / HTTP/1.1\r\nno colon\r\n\r\n",
      "GET / HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\r\n" + host + host + "\r\n",
      "POST / HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n",
      "POST / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
      "POST / HTTP/1.1\r\n" + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
      "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n",
      "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
      std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11),
  };
  for (const std::string& request : requests) {
    RawSocket socket(server.address());
    socket.Send(request);
    EXPECT_THAT(socket.ReadUntil("}"),
                AllOf(StartsWith("HTTP/1.1 400 Bad Request\r\n"), HasSubstr("malformed request: ")))
        << request;
  }
  EXPECT_EQ(server.counters().rejected_malformed, requests.size());
  EXPECT_EQ(server.counters().requests, 0u);
  RawSocket socket(server.address());
  socket.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(socket.ReadAnswer(), StartsWith("HTTP/1.1 200 OK"));
}

TEST(ServerLimits, RefusesBodiesThatAreTooLarge) {
  Server server;
  ServerOptions options;
  options.max_body = 100;
  ASSERT_TRUE(server.Start(options, Ok).ok());
  RawSocket announced(server.address());
  announced.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n");
  announced.Send(std::string(200'000, 'x'));  // the answer arrives although nobody reads this
  announced.EndSending();
  EXPECT_THAT(announced.ReadAll(), IsError("413 Payload Too Large", "the body exceeds 100 bytes"));
  RawSocket chunked(server.address());
  chunked.Send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  chunked.Send("40\r\n" + std::string(64, 'x') + "\r\n40\r\n" + std::string(64, 'x'));
  chunked.EndSending();
  EXPECT_THAT(chunked.ReadAll(), IsError("413 Payload Too Large", "the body exceeds 100 bytes"));
  RawSocket exact(server.address());
  exact.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + std::string(100, 'x'));
  EXPECT_THAT(exact.ReadAnswer(), StartsWith("HTTP/1.1 200 OK"));
  EXPECT_EQ(server.counters().rejected_oversize, 2u);
}

// What a stranger sends is not kept until somebody finds out that he is one.
TEST(ServerLimits, ReadsNoBodyBeyondWhatTheHeadMayBring) {
  Server server;
  ServerOptions options;
  options.body_limit = [](const Request& request, int worker) -> size_t {
    EXPECT_EQ(worker, 0);
    return request.Header("who") == "friend" ? 1000 : 0;
  };
  ASSERT_TRUE(server
                  .Start(options,
                         [](const std::shared_ptr<Exchange>& exchange) {
                           const Request& request = exchange->request();
                           exchange->Respond({.status = request.is_body_withheld ? 401 : 200,
                                              .headers = {},
                                              .body = std::to_string(request.body.size()),
                                              .content_type = "text/plain"});
                         })
                  .ok());
  const auto answer = [&](const std::string& head, size_t body) {
    RawSocket socket(server.address());
    socket.Send("POST / HTTP/1.1\r\nHost: x\r\n" + head + "\r\n\r\n");
    socket.Send(std::string(body, 'x'));
    socket.EndSending();
    return socket.ReadAll();
  };
  const std::string length = "Content-Length: ";
  EXPECT_THAT(answer("who: stranger\r\n" + length + "4000000", 4'000'000),
              AllOf(StartsWith("HTTP/1.1 401"), HasSubstr("Connection: close"), EndsWith("\r\n0")));
  EXPECT_THAT(answer("who: friend\r\n" + length + "1000000", 1'000'000),
              StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(answer("who: friend\r\n" + length + "1000", 1000),
              AllOf(StartsWith("HTTP/1.1 200"), EndsWith("\r\n1000")));
  EXPECT_THAT(answer("who: stranger\r\nTransfer-Encoding: chunked", 0), StartsWith("HTTP/1.1 401"));
}

TEST(ServerLimits, RefusesHeadersThatAreTooLarge) {
  Server server;
  ServerOptions options;
  options.max_header = 1024;
  ASSERT_TRUE(server.Start(options, Ok).ok());
  const std::string many(40, 'v');
  std::string fields = "GET / HTTP/1.1\r\nHost: x\r\n";
  for (int i = 0; i < 30; ++i) fields += "name: " + many + "\r\n";
  for (const std::string& request :
       {"GET /" + std::string(3000, 'x') + " HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nbig: " + std::string(3000, 'x'), fields}) {
    RawSocket socket(server.address());
    socket.Send(request);
    socket.EndSending();
    EXPECT_THAT(socket.ReadAll(),
                IsError("431 Request Header Fields Too Large", "the headers exceed 1024 bytes"))
        << request;
  }
  EXPECT_EQ(server.counters().rejected_headers, 3u);
}

TEST(ServerLimits, GivesUpOnSlowHeadersAndBodies) {
  Server server;
  ServerOptions options;
  options.header_timeout_ms = 50;
  options.request_timeout_ms = 50;
  ASSERT_TRUE(server.Start(options, Ok).ok());
  RawSocket slow_head(server.address());
  slow_head.Send("GET / HTTP/1.1\r\nHos");
  EXPECT_THAT(slow_head.ReadUntil("}"),
              IsError("408 Request Timeout", "the headers took too long"));
  RawSocket slow_body(server.address());
  slow_body.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc");
  EXPECT_THAT(slow_body.ReadUntil("}"), IsError("408 Request Timeout", "the body took too long"));
  RawSocket silent(server.address());
  EXPECT_EQ(silent.ReadAll(), "");
  EXPECT_EQ(server.counters().header_timeouts, 2u);
}

TEST(ServerLimits, ClosesIdleConnections) {
  Server server;
  ServerOptions options;
  options.idle_timeout_ms = 50;
  ASSERT_TRUE(server.Start(options, Ok).ok());
  RawSocket socket(server.address());
  socket.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(socket.ReadAll(), EndsWith("Content-Length: 0\r\n\r\n"));
}

TEST(ServerLimits, AnswersForAHandlerThatTakesTooLong) {
  std::promise<std::shared_ptr<Exchange>> cut_off;
  Server server;
  ServerOptions options;
  options.request_timeout_ms = 50;
  const auto handler = [&](std::shared_ptr<Exchange> exchange) {
    exchange->OnClose([&cut_off, exchange] { cut_off.set_value(exchange); });
  };
  ASSERT_TRUE(server.Start(options, handler).ok());
  RawSocket socket(server.address());
  socket.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(socket.ReadUntil("}"), IsError("503 Service Unavailable", "timed out after 50 ms"));
  const auto exchange = cut_off.get_future().get();
  EXPECT_TRUE(exchange->closed());
  std::promise<void> done;
  server.worker(0).Post([&] {
    exchange->Respond({});  // too late: ignored
    bool told = false;
    exchange->OnClose([&] { told = true; });
    EXPECT_TRUE(told);
    done.set_value();
  });
  done.get_future().wait();
  EXPECT_EQ(server.counters().request_timeouts, 1u);
}

TEST(ServerLimits, BoundsConcurrentRequests) {
  std::promise<std::shared_ptr<Exchange>> arrived;
  Server server;
  ServerOptions options;
  options.max_concurrent_requests = 1;
  ASSERT_TRUE(server
                  .Start(options,
                         [&](std::shared_ptr<Exchange> exchange) {
                           arrived.set_value(std::move(exchange));
                         })
                  .ok());
  RawSocket first(server.address()), second(server.address());
  first.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto exchange = arrived.get_future().get();
  arrived = {};
  second.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(second.ReadUntil("}"),
              IsError("503 Service Unavailable", "too many concurrent requests"));
  server.worker(0).Post([exchange] { exchange->Respond({}); });
  EXPECT_THAT(first.ReadAnswer(), StartsWith("HTTP/1.1 200 OK"));
  first.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto next = arrived.get_future().get();
  server.worker(0).Post([next] { next->Respond({}); });
  EXPECT_THAT(first.ReadAnswer(), StartsWith("HTTP/1.1 200 OK"));
}

TEST(ServerLimits, AStreamThatStoppedCountingLeavesItsPlace) {
  Server server;
  ServerOptions options;
  options.max_concurrent_requests = 1;
  std::shared_ptr<Exchange> stream;  // the worker's
  const auto handler = [&](std::shared_ptr<Exchange> exchange) {
    if (exchange->request().path != "/stream") return exchange->Respond({});
    stream = std::move(exchange);
    stream->StartStream({});
    stream->StopCounting();
    stream->StopCounting();  // gives back no more than its own place
    stream->Write("a");
  };
  ASSERT_TRUE(server.Start(options, handler).ok());
  RawSocket first(server.address()), second(server.address());
  first.Send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(first.ReadUntil("a\r\n"), StartsWith("HTTP/1.1 200 OK"));
  for (int i = 0; i < 2; ++i) {
    second.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_THAT(second.ReadAnswer(), StartsWith("HTTP/1.1 200 OK"));
  }
  server.worker(0).Post([&] { stream->End(); });
  EXPECT_THAT(first.ReadUntil("0\r\n\r\n"), EndsWith("0\r\n\r\n"));
  second.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(second.ReadAnswer(), StartsWith("HTTP/1.1 200 OK"));
}

TEST(ServerLimits, BoundsConnections) {
  Server server;
  ServerOptions options;
  options.max_connections = 1;
  ASSERT_TRUE(server.Start(options, Ok).ok());
  RawSocket first(server.address());
  first.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(first.ReadAnswer(), StartsWith("HTTP/1.1 200 OK"));
  RawSocket second(server.address());
  EXPECT_THAT(second.ReadUntil("}"), IsError("503 Service Unavailable", "too many connections"));
  EXPECT_EQ(server.counters().rejected_busy, 1u);
}

}  // namespace
}  // namespace weir::http
