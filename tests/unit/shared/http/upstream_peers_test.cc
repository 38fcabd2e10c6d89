// SPDX-License-Identifier: Apache-2.0
// Upstream beside peers that misbehave: each test is the peer, byte by byte.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/shared/http/upstream_harness.h"

namespace weir::http {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

class UpstreamPeers : public testing::Test {
 protected:
  static UpstreamOptions To(const std::string& address) {
    UpstreamOptions options;
    options.url = address;
    options.max_body = 1000;
    return options;
  }
  // The peer reads the whole request, sends `bytes` and closes.
  UpstreamAnswer AnswerTo(std::string_view bytes) {
    auto future = home_.Post("body");
    RawSocket peer = listener_.Accept();
    EXPECT_THAT(peer.ReadUntil("\r\n\r\nbody"), StartsWith("POST /x HTTP/1.1\r\nHost: 127"));
    peer.Send(bytes);
    peer.Close();
    UpstreamAnswer answer = Get(std::move(future));
    EXPECT_TRUE(home_.Eventually([&] { return home_.open() == 0; }));
    EXPECT_FALSE(listener_.HasWaiting());  // nothing is tried again
    return answer;
  }
  void ExpectFailure(std::string_view bytes, const std::string& reason, bool got_bytes = true) {
    const UpstreamAnswer answer = AnswerTo(bytes);
    EXPECT_EQ(answer.response.status().code(), Code::kUnavailable) << bytes;
    EXPECT_THAT(answer.response.status().message(), StartsWith(listener_.address() + ": "));
    EXPECT_THAT(answer.response.status().message(), HasSubstr(reason)) << bytes;
    EXPECT_EQ(answer.got_bytes, got_bytes) << bytes;
    EXPECT_FALSE(answer.is_late);
    EXPECT_FALSE(answer.no_connection);
  }
  // A connection that has answered one call and stays open.
  RawSocket Kept() {
    auto future = home_.Post("first");
    RawSocket peer = listener_.Accept();
    peer.ReadUntil("first");
    peer.Send(kOk);
    EXPECT_EQ(Get(std::move(future)).response->body, "ok");
    EXPECT_EQ(home_.open(), 1u);
    return peer;
  }

  RawListener listener_;
  Home home_{To(listener_.address())};
};

TEST_F(UpstreamPeers, SaysThatNobodyListens) {
  std::string address;
  {
    RawListener gone;
    address = gone.address();
  }
  Home home(To(address));
  std::vector<std::future<UpstreamAnswer>> answers;
  for (int i = 0; i < 5; ++i) answers.push_back(home.Post("x"));
  for (auto& each : answers) {
    const UpstreamAnswer answer = Get(std::move(each));
    EXPECT_EQ(answer.response.status().code(), Code::kUnavailable);
    EXPECT_EQ(answer.response.status().message(), address + ": Connection refused");
    EXPECT_TRUE(answer.no_connection);
    EXPECT_FALSE(answer.got_bytes);
  }
  EXPECT_EQ(home.busy(), 0u);
  EXPECT_EQ(home.open(), 0u);
}

// The kernel drops what a listener with a full backlog is sent.
TEST_F(UpstreamPeers, DoesNotConnectForEver) {
  RawListener full(0);
  std::vector<int> fillers;
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port =
      htons(static_cast<uint16_t>(std::stoi(full.address().substr(full.address().find(':') + 1))));
  for (int i = 0; i < 4; ++i) {
    fillers.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    connect(fillers.back(), reinterpret_cast<const sockaddr*>(&to), sizeof to);
  }
  UpstreamOptions options = To(full.address());
  options.connect_timeout_ms = 50;
  Home home(options);
  const UpstreamAnswer answer = Get(home.Post("x"));
  EXPECT_EQ(answer.response.status().message(), full.address() + ": no connection after 50 ms");
  EXPECT_TRUE(answer.no_connection);
  EXPECT_FALSE(answer.is_late);
  const UpstreamAnswer late = Get(home.Post("x", InMs(20)));
  EXPECT_EQ(late.response.status().message(),
            full.address() + ": timed out after 20 ms without a connection");
  EXPECT_TRUE(late.no_connection);
  EXPECT_TRUE(late.is_late);
  for (const int fd : fillers) close(fd);
}

TEST_F(UpstreamPeers, ReportsWhatIsNoAnswer) {
  ExpectFailure("", "the server closed the connection without an answer", false);
  ExpectFailure("HTTP/1.1 20", "the server closed the connection in the middle of its answer");
  ExpectFailure("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "in the middle of its answer");
  ExpectFailure("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf", "in the middle");
  ExpectFailure("HTTP/1.1 100 Continue\r\n\r\n", "in the middle of its answer");
  ExpectFailure("SSH-2.0-OpenSSH_9.2\r\n", "not an HTTP answer");
  ExpectFailure("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "not an HTTP answer");
  ExpectFailure("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", "the answer exceeds 1000 bytes");
  const std::string kilobyte(1024, 'x');
  ExpectFailure("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + kilobyte,
                "the answer exceeds 1000 bytes");
  ExpectFailure("HTTP/1.1 200 OK\r\nX-Long: " + std::string(100'000, 'x'), "not an HTTP answer");
}

TEST_F(UpstreamPeers, TakesEveryFormOfAnswer) {
  UpstreamAnswer answer = AnswerTo(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
      "HTTP/1.1 500 Oh\r\nX-A: 1\r\nTransfer-Encoding: "
      "chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
  ASSERT_TRUE(answer.response.ok()) << answer.response.status().ToString();
  EXPECT_EQ(answer.response->status, 500);
  EXPECT_EQ(answer.response->body, "abc");
  EXPECT_EQ(answer.response->Header("x-a"), "1");
  EXPECT_EQ(answer.response->Header("link"), "");
  answer = AnswerTo("HTTP/1.0 200 OK\r\n\r\nuntil the end");
  ASSERT_TRUE(answer.response.ok()) << answer.response.status().ToString();
  EXPECT_EQ(answer.response->body, "until the end");
  EXPECT_EQ(AnswerTo("HTTP/1.1 204 No Content\r\n\r\n").response->status, 204);
}

TEST_F(UpstreamPeers, WaitsForAnAnswerThatDribblesIn) {
  auto future = home_.Post("body");
  RawSocket peer = listener_.Accept();
  peer.ReadUntil("body");
  for (const char byte : kOk) {
    peer.Send({&byte, 1});
    home_.OnWorker([] {});
  }
  const UpstreamAnswer answer = Get(std::move(future));
  ASSERT_TRUE(answer.response.ok()) << answer.response.status().ToString();
  EXPECT_EQ(answer.response->body, "ok");
  auto slow = home_.Post("slow", InMs(30));
  peer.ReadUntil("slow");
  peer.Send("HTTP/1.1 200 OK\r\nContent-Le");
  const UpstreamAnswer late = Get(std::move(slow));
  EXPECT_TRUE(late.is_late);
  EXPECT_TRUE(late.got_bytes);
  EXPECT_THAT(late.response.status().message(), HasSubstr("timed out after 30 ms"));
  EXPECT_EQ(peer.ReadAll(), "");  // closed
}

TEST_F(UpstreamPeers, NoticesThatAnIdleConnectionEnds) {
  RawSocket peer = Kept();
  peer.Close();
  EXPECT_TRUE(home_.Eventually([&] { return home_.open() == 0; }));
  RawSocket talker = Kept();
  talker.Send("HTTP/1.1 408 Request Timeout\r\n\r\n");  // unasked
  EXPECT_TRUE(home_.Eventually([&] { return home_.open() == 0; }));
  RawSocket closer = Kept();
  auto future = home_.Post("second");
  closer.ReadUntil("second");
  closer.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
  EXPECT_TRUE(Get(std::move(future)).response.ok());
  EXPECT_EQ(home_.open(), 0u);
  EXPECT_EQ(closer.ReadAll(), "");
}

TEST_F(UpstreamPeers, NeverTakesBytesBehindAnAnswerForTheNext) {
  auto future = home_.Post("first");
  RawSocket peer = listener_.Accept();
  peer.ReadUntil("first");
  peer.Send(std::string(kOk) + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
  EXPECT_EQ(Get(std::move(future)).response->body, "ok");
  auto next = home_.Post("second");
  RawSocket other = listener_.Accept();
  other.ReadUntil("second");
  other.Send(kOk);
  EXPECT_EQ(Get(std::move(next)).response->body, "ok");
}

// The peer lets the second request come and closes without a word, as one does that had given up
// the connection at that very moment.
TEST_F(UpstreamPeers, ReplacesAStaleConnectionOnce) {
  RawSocket stale = Kept();
  auto future = home_.Post("second");
  stale.ReadUntil("second");
  stale.Close();
  RawSocket fresh = listener_.Accept();
  EXPECT_THAT(fresh.ReadUntil("second"), HasSubstr("Content-Length: 6\r\n"));
  fresh.Send(kOk);
  UpstreamAnswer answer = Get(std::move(future));
  ASSERT_TRUE(answer.response.ok()) << answer.response.status().ToString();
  EXPECT_EQ(answer.response->body, "ok");

  auto again = home_.Post("third");
  fresh.ReadUntil("third");
  fresh.Close();
  RawSocket last = listener_.Accept();
  last.ReadUntil("third");
  last.Close();
  answer = Get(std::move(again));
  EXPECT_THAT(answer.response.status().message(), EndsWith("without an answer"));
  EXPECT_FALSE(answer.got_bytes);
  EXPECT_FALSE(listener_.HasWaiting());
  EXPECT_EQ(home_.busy(), 0u);
}

TEST_F(UpstreamPeers, DoesNotRepeatWhatHasBegunToBeAnswered) {
  RawSocket peer = Kept();
  auto future = home_.Post("second");
  peer.ReadUntil("second");
  peer.Send("HTTP/1.1 2");
  peer.Close();
  const UpstreamAnswer answer = Get(std::move(future));
  EXPECT_FALSE(answer.response.ok());
  EXPECT_TRUE(answer.got_bytes);
  EXPECT_FALSE(listener_.HasWaiting());
}

TEST_F(UpstreamPeers, GoesOnWithTheLineWhenAConnectionBreaks) {
  UpstreamOptions options = To(listener_.address());
  options.max_connections = 1;
  Home home(options);
  auto first = home.Post("first");
  auto second = home.Post("second");
  RawSocket peer = listener_.Accept();
  peer.ReadUntil("first");
  peer.Close();
  EXPECT_FALSE(Get(std::move(first)).response.ok());
  RawSocket other = listener_.Accept();
  other.ReadUntil("second");
  other.Send(kOk);
  EXPECT_TRUE(Get(std::move(second)).response.ok());
}

// 413, and the body was never read.
TEST_F(UpstreamPeers, ReadsAnAnswerThatComesBeforeTheBodyHasLeft) {
  auto future = home_.Post(std::string(20'000'000, 'x'));
  RawSocket peer = listener_.Accept();
  peer.ReadUntil("\r\n\r\n");
  peer.Send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
  const UpstreamAnswer answer = Get(std::move(future));
  ASSERT_TRUE(answer.response.ok()) << answer.response.status().ToString();
  EXPECT_EQ(answer.response->status, 413);
  EXPECT_EQ(answer.response->body, "big");
  EXPECT_TRUE(home_.Eventually([&] { return home_.open() == 0; }));
}

TEST_F(UpstreamPeers, TakesTheFirstConnectionThatIsFree) {
  UpstreamOptions options = To(listener_.address());
  options.max_connections = 2;
  Home home(options);
  auto first = home.Post("first");
  RawSocket one = listener_.Accept();
  one.ReadUntil("first");
  auto second = home.Post("second");
  RawSocket two = listener_.Accept();
  two.ReadUntil("second");
  auto third = home.Post("third");
  two.Send(kOk);
  two.ReadUntil("third");
  two.Send(kOk);
  one.Send(kOk);
  for (auto* each : {&first, &second, &third}) {
    EXPECT_TRUE(Get(std::move(*each)).response.ok());
  }
  EXPECT_EQ(home.open(), 2u);
}

}  // namespace
}  // namespace weir::http
