// SPDX-License-Identifier: Apache-2.0
#include "shared/http/upstream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <vector>

#include "tests/unit/shared/http/upstream_harness.h"

namespace weir::http {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// "METHOD target content-type x-mine body" back.
void EchoHeaders(const std::shared_ptr<Exchange>& exchange) {
  const Request& request = exchange->request();
  Response response;
  response.headers.push_back({"X-Host", std::string(request.Header("host"))});
  response.body.append(request.method).append(" ").append(request.target).append(" ");
  response.body.append(request.Header("content-type")).append(" ");
  response.body.append(request.Header("x-mine")).append(" ").append(request.body);
  exchange->Respond(std::move(response));
}

// A service that answers when the test says so, in the order of arrival.
class Slow {
 public:
  Slow() {
    EXPECT_TRUE(server
                    .Start({},
                           [this](std::shared_ptr<Exchange> exchange) {
                             most = std::max(most.load(), ++now);
                             exchange->OnClose([this] { ++cut_off; });
                             held.push_back(std::move(exchange));
                             arrived = held.size();
                           })
                    .ok());
  }
  void AnswerAll() {
    server.worker(0).Post([this] {
      for (const auto& exchange : std::exchange(held, {})) {
        --now;
        EchoHeaders(exchange);
      }
      arrived = 0;
    });
  }

  std::deque<std::shared_ptr<Exchange>> held;  // the worker's thread
  std::atomic<size_t> arrived = 0, most = 0, cut_off = 0;
  std::atomic<size_t> now = 0;
  Server server;
};

TEST(Upstream, SendsMethodPrefixHeadersAndBody) {
  Server service;
  ASSERT_TRUE(service.Start({}, EchoHeaders).ok());
  Home home({.url = "http://" + service.address() + "/api/"});
  UpstreamAnswer answer =
      Get(home.Send({.target = "/v2/x?y=1", .headers = {{"X-Mine", "m"}}, .body = "{}"}));
  ASSERT_TRUE(answer.response.ok()) << answer.response.status().ToString();
  EXPECT_EQ(answer.response->status, 200);
  EXPECT_EQ(answer.response->body, "POST /api/v2/x?y=1 application/json m {}");
  EXPECT_EQ(answer.response->Header("x-host"), service.address());
  EXPECT_TRUE(answer.got_bytes);
  EXPECT_FALSE(answer.is_late);
  answer = Get(home.Send({.method = "GET", .target = "/g"}));
  EXPECT_EQ(answer.response->body, "GET /api/g   ");
  answer = Get(home.Send({.method = "HEAD", .target = "/h"}));
  EXPECT_EQ(answer.response->body, "");
  answer = Get(home.Send(
      {.method = "PUT", .target = "/p", .headers = {{"content-type", "text/plain"}}, .body = "b"}));
  EXPECT_EQ(answer.response->body, "PUT /api/p text/plain  b");
  EXPECT_EQ(service.counters().accepted, 1u);
  EXPECT_EQ(home.busy(), 0u);
  EXPECT_EQ(home.open(), 1u);
}

TEST(Upstream, SaysWhenTheBodyBeganToCome) {
  RawListener listener;
  Home home({.url = listener.address()});
  const int64_t start_ns = InMs(0);
  auto future = home.Post("x");
  RawSocket socket = listener.Accept();
  socket.ReadUntil("\r\n\r\nx");
  // More than any socket holds: once it is sent, some of it has been read.
  const std::string piece(size_t{30} << 20, 'a');
  socket.Send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(piece.size() + 1) +
              "\r\n\r\n");
  const int64_t head_ns = InMs(0);
  socket.Send(piece);
  const int64_t piece_ns = InMs(0);
  socket.Send("b");
  const UpstreamAnswer answer = Get(std::move(future));
  ASSERT_TRUE(answer.response.ok()) << answer.response.status().ToString();
  EXPECT_GE(answer.sent_ns, start_ns);
  EXPECT_LE(answer.sent_ns, head_ns);
  EXPECT_GE(answer.body_ns, head_ns);
  EXPECT_LE(answer.body_ns, piece_ns);
  // The connection is used again; this answer has no body.
  future = home.Post("y");
  socket.ReadUntil("\r\n\r\ny");
  socket.Send("HTTP/1.1 204 No Content\r\n\r\n");
  const UpstreamAnswer none = Get(std::move(future));
  EXPECT_EQ(none.body_ns, 0);
  EXPECT_GE(none.sent_ns, piece_ns);
}

TEST(Upstream, FindsAHostByItsName) {
  Server service;
  ASSERT_TRUE(service.Start({}, EchoHeaders).ok());
  const std::string port = service.address().substr(service.address().rfind(':'));
  Home home({.url = "http://localhost" + port, .connect_timeout_ms = 20'000});
  std::vector<std::future<UpstreamAnswer>> answers;
  for (int i = 0; i < 5; ++i) answers.push_back(home.Post("x"));
  for (auto& each : answers) {
    const UpstreamAnswer answer = Get(std::move(each));
    ASSERT_TRUE(answer.response.ok()) << answer.response.status().ToString();
    EXPECT_EQ(answer.response->Header("x-host"), "localhost" + port);
  }
}

TEST(Upstream, SaysThatAHostIsUnknown) {
  Home home({.url = "http://no-such-host.invalid:80", .connect_timeout_ms = 20'000});
  const UpstreamAnswer answer = Get(home.Post("x"));
  EXPECT_EQ(answer.response.status().code(), Code::kUnavailable);
  EXPECT_THAT(answer.response.status().message(), HasSubstr("no-such-host.invalid:80: Host not"));
  EXPECT_TRUE(answer.no_connection);
}

TEST(Upstream, CarriesLargeBodiesBothWays) {
  Server service;
  ServerOptions options;
  options.max_body = size_t{64} << 20;
  ASSERT_TRUE(service.Start(options, EchoHeaders).ok());
  Home home({.url = service.address()});
  std::string body(20'000'000, 'a');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i % 23);
  for (int i = 0; i < 2; ++i) {
    UpstreamAnswer answer = Get(home.Post(body));
    ASSERT_TRUE(answer.response.ok()) << answer.response.status().ToString();
    EXPECT_TRUE(answer.response->body == "POST /x application/json  " + body);
  }
  EXPECT_EQ(service.counters().accepted, 1u);
}

TEST(Upstream, CarriesManyCallsOverFewConnections) {
  Server service;
  ServerOptions options;
  options.workers = 2;
  ASSERT_TRUE(service.Start(options, EchoHeaders).ok());
  Home home({.url = service.address(), .max_connections = 8, .max_waiting = 100'000});
  constexpr int kCalls = 20'000;
  int good = 0;  // the worker's thread
  std::promise<void> all;
  home.OnWorker([&] {
    for (int i = 0; i < kCalls; ++i) {
      const std::string body = std::to_string(i);
      home.upstream->Send({.target = "/x", .body = body}, [&, body](UpstreamAnswer answer) {
        EXPECT_TRUE(answer.response.ok()) << answer.response.status().ToString();
        EXPECT_EQ(answer.response->body, "POST /x application/json  " + body);
        if (++good == kCalls) all.set_value();
      });
    }
    EXPECT_EQ(home.upstream->busy(), static_cast<size_t>(kCalls));
    EXPECT_EQ(good, 0);  // never inside Send
  });
  ASSERT_EQ(all.get_future().wait_for(std::chrono::seconds(60)), std::future_status::ready);
  EXPECT_EQ(service.counters().accepted, 8u);
  EXPECT_EQ(service.counters().requests, static_cast<uint64_t>(kCalls));
  EXPECT_EQ(home.busy(), 0u);
}

TEST(Upstream, AnswersThatBringTheNextCall) {
  Server service;
  ASSERT_TRUE(service.Start({}, EchoHeaders).ok());
  Home home({.url = service.address()});
  std::promise<void> all;
  int left = 1000;  // the worker's thread
  std::function<void(UpstreamAnswer)> next = [&](const UpstreamAnswer& answer) {
    EXPECT_TRUE(answer.response.ok());
    if (--left == 0) return all.set_value();
    home.upstream->Send({.target = "/x"}, next);
  };
  home.OnWorker([&] { home.upstream->Send({.target = "/x"}, next); });
  ASSERT_EQ(all.get_future().wait_for(std::chrono::seconds(60)), std::future_status::ready);
  EXPECT_EQ(service.counters().accepted, 1u);
}

TEST(Upstream, KeepsToItsConnectionsAndItsLine) {
  Slow service;
  Home home({.url = service.server.address(), .max_connections = 2, .max_waiting = 3});
  std::vector<std::future<UpstreamAnswer>> answers;
  for (int i = 0; i < 5; ++i) answers.push_back(home.Post(std::to_string(i)));
  ASSERT_TRUE(home.Eventually([&] { return service.arrived == 2; }));
  const UpstreamAnswer refused = Get(home.Post("6"));
  EXPECT_EQ(refused.response.status().code(), Code::kUnavailable);
  EXPECT_EQ(refused.response.status().message(),
            service.server.address() + ": 2 connections are busy and 3 calls wait");
  EXPECT_FALSE(refused.is_late);
  EXPECT_FALSE(refused.no_connection);
  EXPECT_TRUE(home.Eventually([&] {
    service.AnswerAll();
    return home.busy() == 0;
  }));
  for (int i = 0; i < 5; ++i) {
    const UpstreamAnswer answer = Get(std::move(answers[static_cast<size_t>(i)]));
    ASSERT_TRUE(answer.response.ok()) << answer.response.status().ToString();
    EXPECT_EQ(answer.response->body, "POST /x application/json  " + std::to_string(i));
  }
  EXPECT_EQ(service.most, 2u);
  EXPECT_EQ(service.server.counters().accepted, 2u);
}

TEST(Upstream, GivesUpAtTheDeadline) {
  Slow service;
  Home home({.url = service.server.address(), .max_connections = 1});
  auto first = home.Post("under way", InMs(60));
  ASSERT_TRUE(home.Eventually([&] { return service.arrived == 1; }));
  const UpstreamAnswer waited = Get(home.Post("in line", InMs(20)));
  EXPECT_TRUE(waited.is_late);
  EXPECT_FALSE(waited.no_connection);
  EXPECT_EQ(waited.response.status().message(),
            service.server.address() + ": timed out after 20 ms in the line for 1 connections");
  const UpstreamAnswer late = Get(std::move(first));
  EXPECT_TRUE(late.is_late);
  EXPECT_FALSE(late.got_bytes);
  EXPECT_EQ(late.response.status().code(), Code::kUnavailable);
  EXPECT_THAT(late.response.status().message(), HasSubstr(": timed out after "));
  EXPECT_TRUE(home.Eventually([&] { return service.cut_off == 1; }));
  const UpstreamAnswer past = Get(home.Post("too late", InMs(-5)));
  EXPECT_TRUE(past.is_late);
  EXPECT_EQ(service.server.counters().requests, 1u);
  EXPECT_EQ(home.open(), 0u);
  EXPECT_EQ(home.busy(), 0u);
}

TEST(Upstream, CancelsWhatIsUnderWayAndWhatWaits) {
  Slow service;
  Home home({.url = service.server.address(), .max_connections = 1});
  uint64_t under_way = 0;
  uint64_t in_line = 0;
  auto first = home.Send({.target = "/1"}, &under_way);
  auto second = home.Send({.target = "/2"}, &in_line);
  auto third = home.Send({.target = "/3"});
  ASSERT_TRUE(home.Eventually([&] { return service.arrived == 1; }));
  home.Cancel(in_line);
  EXPECT_TRUE(IsDropped(second));
  home.Cancel(under_way);
  EXPECT_TRUE(IsDropped(first));
  EXPECT_TRUE(home.Eventually([&] { return service.cut_off == 1 && service.arrived == 2; }));
  EXPECT_EQ(home.busy(), 1u);
  home.Cancel(under_way);  // over: nothing happens to whoever has its place now
  home.Cancel(in_line);
  home.Cancel(0);
  home.Cancel(~uint64_t{0});
  service.AnswerAll();
  EXPECT_EQ(Get(std::move(third)).response->body, "POST /3   ");
}

TEST(Upstream, MayCancelOthersInsideAnAnswer) {
  Slow service;
  Home home({.url = service.server.address(), .max_connections = 2});
  std::promise<void> answered;
  std::atomic<int> others = 0;
  home.OnWorker([&] {
    auto ids = std::make_shared<std::vector<uint64_t>>();
    home.upstream->Send({.target = "/1"}, [&, ids](const UpstreamAnswer&) {
      for (const uint64_t id : *ids) home.upstream->Cancel(id);
      answered.set_value();
    });
    for (int i = 0; i < 3; ++i) {
      ids->push_back(
          home.upstream->Send({.target = "/2"}, [&](const UpstreamAnswer&) { ++others; }));
    }
  });
  ASSERT_TRUE(home.Eventually([&] { return service.arrived == 2; }));
  service.server.worker(0).Post([&] { EchoHeaders(service.held.front()); });
  answered.get_future().wait();
  EXPECT_EQ(home.busy(), 0u);
  service.AnswerAll();
  home.OnWorker([] {});
  EXPECT_EQ(others, 0);
}

TEST(Upstream, ClosesIdleConnections) {
  Server service;
  ASSERT_TRUE(service.Start({}, EchoHeaders).ok());
  Home home({.url = service.address(), .idle_timeout_ms = 30});
  EXPECT_TRUE(Get(home.Post("x")).response.ok());
  EXPECT_TRUE(home.Eventually([&] { return home.open() == 0; }));
  EXPECT_TRUE(home.Eventually([&] { return service.counters().open == 0; }));
  EXPECT_TRUE(Get(home.Post("x")).response.ok());
  EXPECT_EQ(service.counters().accepted, 2u);
}

TEST(Upstream, CallsNobodyOnceItIsGone) {
  Slow service;
  for (const bool on_worker : {true, false}) {
    SCOPED_TRACE(on_worker);
    service.cut_off = 0;
    Home home({.url = service.server.address(), .max_connections = 3});
    std::vector<std::future<UpstreamAnswer>> answers;
    for (int i = 0; i < 10; ++i) answers.push_back(home.Post("x"));
    ASSERT_TRUE(home.Eventually([&] { return service.arrived == 3; }));
    if (on_worker) {
      home.OnWorker([&] { home.upstream = nullptr; });
    } else {
      home.upstream = nullptr;
    }
    for (auto& each : answers) EXPECT_TRUE(IsDropped(each));
    EXPECT_TRUE(home.Eventually([&] { return service.cut_off == 3; }));
    service.AnswerAll();
    ASSERT_TRUE(home.Eventually([&] { return service.arrived == 0; }));
  }
}

TEST(Upstream, MayBeLetGoInsideItsOwnAnswer) {
  Slow service;
  Home home({.url = service.server.address()});
  std::promise<void> answered;
  auto other = home.Post("other");
  home.OnWorker([&] {
    home.upstream->Send({.target = "/x"}, [&](const UpstreamAnswer& answer) {
      EXPECT_FALSE(answer.response.ok());
      home.upstream = nullptr;
      answered.set_value();
    });
    home.upstream->Send({.target = "no slash"}, [](const UpstreamAnswer&) {});
  });
  ASSERT_TRUE(home.Eventually([&] { return service.arrived == 2; }));
  service.server.Stop();  // cuts both off
  EXPECT_EQ(answered.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  home.OnWorker([&] { EXPECT_EQ(home.upstream, nullptr); });
  EXPECT_EQ(other.wait_for(std::chrono::seconds(20)), std::future_status::ready);
}

TEST(Upstream, OutlivesTheLoopOfItsWorker) {
  Slow service;
  Home home({.url = service.server.address(), .max_connections = 1});
  auto under_way = home.Post("1");
  auto in_line = home.Post("2");
  ASSERT_TRUE(home.Eventually([&] { return service.arrived == 1; }));
  home.server.Stop();
  home.upstream = nullptr;
  EXPECT_EQ(under_way.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  EXPECT_EQ(in_line.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
}

TEST(Upstream, RefusesWhatItCannotUse) {
  struct NoWorker : Executor {
    void Post(std::function<void()>) override {}
  } other;
  EXPECT_EQ(Upstream::Create(other, {.url = "h:1"}).status().code(), Code::kInvalidArgument);
  Home home({.url = "127.0.0.1:1"});
  Executor& worker = home.server.worker(0);
  for (const char* url : {"", "ftp://h:1", "http://h:x", "http://a b:1", "h:1/a?b"}) {
    EXPECT_EQ(Upstream::Create(worker, {.url = url}).status().code(), Code::kInvalidArgument)
        << url;
  }
  EXPECT_FALSE(Upstream::Create(worker, {.url = "h:1", .max_connections = 0}).ok());
  EXPECT_FALSE(Upstream::Create(worker, {.url = "h:1", .connect_timeout_ms = 0}).ok());
  const auto no_file = Upstream::Create(worker, {.url = "https://h:1", .ca_file = "/no/such.pem"});
  EXPECT_EQ(no_file.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(no_file.status().message(), HasSubstr("/no/such.pem"));
  for (UpstreamCall call : {UpstreamCall{.target = "no-slash"}, UpstreamCall{.target = "/a b"},
                            UpstreamCall{.target = "/", .headers = {{"a", "b\r\nc: d"}}}}) {
    const UpstreamAnswer answer = Get(home.Send(std::move(call)));
    EXPECT_EQ(answer.response.status().code(), Code::kInvalidArgument);
  }
  EXPECT_EQ(home.open(), 0u);
}

}  // namespace
}  // namespace weir::http
