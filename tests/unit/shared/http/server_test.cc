// SPDX-License-Identifier: Apache-2.0
#include "shared/http/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <stdexcept>
#include <thread>

#include "shared/http/client.h"
#include "tests/unit/shared/http/raw_socket.h"

namespace weir::http {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// "METHOD path query body" back.
void Echo(const std::shared_ptr<Exchange>& exchange) {
  const Request& request = exchange->request();
  Response response;
  response.content_type = "text/plain";
  response.body.append(request.method).append(" ").append(request.path).append(" ");
  response.body.append(request.query_string).append(" ").append(request.body);
  exchange->Respond(std::move(response));
}

TEST(Server, KeepsAConnectionForSeveralRequests) {
  Server server;
  ASSERT_TRUE(server.Start({}, Echo).ok());
  RawSocket socket(server.address());
  for (int i = 0; i < 3; ++i) {
    socket.Send("GET /a?n=" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\n\r\n");
    const std::string answer = socket.ReadAnswer();
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
    EXPECT_THAT(answer, HasSubstr("Content-Type: text/plain\r\n"));
    EXPECT_THAT(answer, HasSubstr("Date: "));
    EXPECT_THAT(answer, EndsWith("\r\n\r\nGET /a n=" + std::to_string(i) + " "));
  }
  EXPECT_EQ(server.counters().accepted, 1u);
  EXPECT_EQ(server.counters().requests, 3u);
}

TEST(Server, ClosesWhenTheClientAsksForIt) {
  Server server;
  ASSERT_TRUE(server.Start({}, Echo).ok());
  RawSocket socket(server.address());
  socket.Send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(socket.ReadAll(), HasSubstr("Connection: close\r\n"));
  RawSocket old(server.address());
  old.Send("GET / HTTP/1.0\r\n\r\n");
  EXPECT_THAT(old.ReadAll(), HasSubstr("Connection: close\r\n"));
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  Server server;
  ASSERT_TRUE(server.Start({}, Echo).ok());
  RawSocket socket(server.address());
  std::string bytes;
  for (int i = 0; i < 100; ++i) {
    bytes += "POST /" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab";
  }
  socket.Send(bytes);
  for (int i = 0; i < 100; ++i) {
    EXPECT_THAT(socket.ReadAnswer(), EndsWith("POST /" + std::to_string(i) + "  ab"));
  }
}

TEST(Server, HoldsPipelinedRequestsBackUntilALateAnswer) {
  Server server;
  ASSERT_TRUE(server
                  .Start({},
                         [&](std::shared_ptr<Exchange> exchange) {
                           server.worker(0).Post([exchange] { Echo(exchange); });
                         })
                  .ok());
  RawSocket socket(server.address());
  socket.Send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(socket.ReadAnswer(), EndsWith("GET /1  "));
  EXPECT_THAT(socket.ReadAnswer(), EndsWith("GET /2  "));
}

TEST(Server, AnswersAClientThatHasEndedItsSide) {
  Server server;
  ASSERT_TRUE(server
                  .Start({},
                         [&](std::shared_ptr<Exchange> exchange) {
                           server.worker(0).Post([exchange] { Echo(exchange); });
                         })
                  .ok());
  RawSocket socket(server.address());
  socket.Send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
  socket.EndSending();
  EXPECT_THAT(socket.ReadAll(), EndsWith("GET /2  "));
}

TEST(Server, ReadsBodiesThatComeInPieces) {
  Server server;
  ASSERT_TRUE(server.Start({}, Echo).ok());
  RawSocket socket(server.address());
  const std::string bytes =
      "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n7;ext=1\r\n, world\r\n0\r\nTrailer: t\r\n\r\n";
  for (const char byte : bytes) socket.Send({&byte, 1});
  EXPECT_THAT(socket.ReadAnswer(), EndsWith("POST /c  hello, world"));
  socket.Send("POST /l HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab");
  socket.Send("cdGET /next HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(socket.ReadAnswer(), EndsWith("POST /l  abcd"));
  EXPECT_THAT(socket.ReadAnswer(), EndsWith("GET /next  "));
}

TEST(Server, CarriesLargeBodiesBothWays) {
  Server server;
  ASSERT_TRUE(server.Start({}, Echo).ok());
  std::string body(5'000'000, 'x');
  for (size_t i = 0; i < body.size(); i += 97) body[i] = static_cast<char>('a' + i % 26);
  Client client("http://" + server.address());
  for (int i = 0; i < 2; ++i) {
    const auto answer = client.Do("POST", "/big", {}, body);
    ASSERT_TRUE(answer.ok()) << answer.status().ToString();
    EXPECT_TRUE(answer->body == "POST /big  " + body);
  }
  EXPECT_EQ(server.counters().accepted, 1u);
}

TEST(Server, AsksForTheBodyOfAClientThatExpectsIt) {
  Server server;
  ASSERT_TRUE(server.Start({}, Echo).ok());
  RawSocket socket(server.address());
  socket.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(socket.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  socket.Send("ok");
  EXPECT_THAT(socket.ReadAnswer(), EndsWith("POST /  ok"));
}

TEST(Server, AnswersHeadWithoutABody) {
  Server server;
  ASSERT_TRUE(server.Start({}, Echo).ok());
  RawSocket socket(server.address());
  socket.Send("HEAD /h HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const std::string answer = socket.ReadAll();
  EXPECT_THAT(answer, HasSubstr("Content-Length: 9\r\n"));  // of "HEAD /h  "
  EXPECT_THAT(answer, EndsWith("\r\n\r\n"));
}

TEST(Server, GivesHandlersHeadersQueryAndAbsoluteTargets) {
  Server server;
  const auto handler = [](std::shared_ptr<Exchange> exchange) {
    const Request& request = exchange->request();
    Response response;
    response.body = std::string(request.Header("X-User-ID")) + "|" +
                    std::string(request.Header("absent")) + "|" + request.Query("k").value_or("-") +
                    "|" + request.Query("bare").value_or("-") + "|" +
                    request.Query("none").value_or("-") + "|" + std::string(request.path);
    EXPECT_THAT(request.remote, StartsWith("127.0.0.1:"));
    exchange->Respond(std::move(response));
  };
  ASSERT_TRUE(server.Start({}, handler).ok());
  RawSocket socket(server.address());
  socket.Send("GET http://h/p%20q?k=a%26b&bare&k=2 HTTP/1.1\r\nHost: x\r\nx-user-id:  u1 \r\n\r\n");
  EXPECT_THAT(socket.ReadAnswer(), EndsWith("\r\n\r\nu1||a&b||-|/p%20q"));
}

TEST(Server, KeepsLineBreaksOutOfResponseHeaders) {
  Server server;
  const auto handler = [](std::shared_ptr<Exchange> exchange) {
    Response response;
    response.status = 204;
    response.headers.push_back({"x-echo", "a\r\nEvil: 1"});
    exchange->Respond(std::move(response));
  };
  ASSERT_TRUE(server.Start({}, handler).ok());
  RawSocket socket(server.address());
  socket.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string answer = socket.ReadAnswer();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 204 No Content\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nx-echo: a  Evil: 1\r\n"));
  EXPECT_THAT(answer, Not(HasSubstr("Content-Length")));
}

TEST(Server, AnswersPostedFromAnotherThread) {
  std::promise<std::shared_ptr<Exchange>> arrived;
  Server server;
  const auto handler = [&](std::shared_ptr<Exchange> exchange) {
    arrived.set_value(std::move(exchange));
  };
  ASSERT_TRUE(server.Start({}, handler).ok());
  RawSocket socket(server.address());
  socket.Send("GET /late HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto exchange = arrived.get_future().get();
  server.worker(exchange->worker()).Post([exchange] {
    Echo(exchange);
    EXPECT_TRUE(exchange->closed());
    exchange->Respond({});  // ignored
  });
  EXPECT_THAT(socket.ReadAnswer(), EndsWith("GET /late  "));
}

TEST(Server, GivesEachConnectionToTheWorkerWithTheFewest) {
  Server server;
  ServerOptions options;
  options.workers = 3;
  const auto handler = [](std::shared_ptr<Exchange> exchange) {
    Response response;
    response.body = std::to_string(exchange->worker());
    exchange->Respond(std::move(response));
  };
  ASSERT_TRUE(server.Start(options, handler).ok());
  std::vector<int> served(3);
  std::vector<Client> clients;
  for (int i = 0; i < 12; ++i) {
    clients.emplace_back(server.address());
    const auto answer = clients.back().Do("GET", "/");
    ASSERT_TRUE(answer.ok()) << answer.status().ToString();
    ++served[static_cast<size_t>(std::stoi(answer->body))];
  }
  EXPECT_THAT(served, ElementsAre(4, 4, 4));
  EXPECT_THAT(server.connections(), ElementsAre(4u, 4u, 4u));
}

TEST(Server, SaysWhichAddressIsInUse) {
  Server first;
  ASSERT_TRUE(first.Start({}, Echo).ok());
  Server second;
  ServerOptions options;
  options.listen = first.address();
  const Status status = second.Start(options, Echo);
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("cannot listen on " + first.address()));
  EXPECT_THAT(status.message(), HasSubstr("in use"));
  options.listen = "127.0.0.1:0";
  EXPECT_TRUE(second.Start(options, Echo).ok());
}

TEST(Server, AnswersWhatIsInFlightWhileItDrains) {
  std::promise<std::shared_ptr<Exchange>> arrived;
  Server server;
  const auto handler = [&](std::shared_ptr<Exchange> exchange) {
    arrived.set_value(std::move(exchange));
  };
  ASSERT_TRUE(server.Start({}, handler).ok());
  RawSocket idle(server.address());
  RawSocket busy(server.address());
  busy.Send("GET /busy HTTP/1.1\r\nHost: x\r\n\r\n");
  const auto exchange = arrived.get_future().get();
  std::thread drain([&] { server.Drain(20'000); });
  EXPECT_EQ(idle.ReadAll(), "");  // closed: the drain has begun
  server.worker(0).Post([exchange] { Echo(exchange); });
  const std::string answer = busy.ReadAll();
  EXPECT_THAT(answer, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(answer, EndsWith("GET /busy  "));
  drain.join();
  EXPECT_EQ(server.counters().open, 0u);
  EXPECT_FALSE(Client(server.address()).Do("GET", "/").ok());
}

TEST(Server, DrainGivesUpAtItsDeadlineAndStopCutsOff) {
  std::promise<void> arrived, cut_off;
  Server server;
  const auto handler = [&](std::shared_ptr<Exchange> exchange) {
    exchange->OnClose([&] { cut_off.set_value(); });
    arrived.set_value();
  };
  ASSERT_TRUE(server.Start({}, handler).ok());
  RawSocket socket(server.address());
  socket.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  arrived.get_future().wait();
  server.Drain(10);
  EXPECT_EQ(server.counters().open, 1u);
  server.Stop();
  server.Stop();
  EXPECT_EQ(cut_off.get_future().wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_EQ(socket.ReadAll(), "");
}

TEST(Server, TurnsAnExceptionOfAHandlerInto500) {
  Server server;
  const auto handler = [](std::shared_ptr<Exchange>) { throw std::runtime_error("oops"); };
  ASSERT_TRUE(server.Start({}, handler).ok());
  RawSocket socket(server.address());
  socket.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const std::string answer = socket.ReadAll();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 500 Internal Server Error\r\n"));
  EXPECT_THAT(answer, EndsWith(R"({"error": "internal error"})"));
}

TEST(Server, RunsTheIdleHookAfterARoundsHandlers) {
  std::vector<std::shared_ptr<Exchange>> batch;  // the worker's thread
  Server server;
  server.SetIdleHook([&](int worker) {
    EXPECT_EQ(worker, 0);
    for (const auto& exchange : std::exchange(batch, {})) Echo(exchange);
  });
  const auto handler = [&](std::shared_ptr<Exchange> exchange) {
    batch.push_back(std::move(exchange));
  };
  ASSERT_TRUE(server.Start({}, handler).ok());
  RawSocket one(server.address()), two(server.address());
  for (int i = 0; i < 50; ++i) {
    one.Send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
    two.Send("GET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_THAT(one.ReadAnswer(), EndsWith("GET /1  "));
    EXPECT_THAT(two.ReadAnswer(), EndsWith("GET /2  "));
  }
}

}  // namespace
}  // namespace weir::http
