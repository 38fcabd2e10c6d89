// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "tests/unit/dataplane/ofrep/service_fixture.h"

namespace weir::node::ofrep {
namespace {

using fakes::Event;
using fakes::EventSource;
using testing::HasSubstr;

constexpr char kStream[] = "/ofrep/v1/stream";

class OfrepStreams : public ServiceTest {
 protected:
  // With a flag, long after it came.
  void StartQuietly(OfrepOptions options = {}, http::ServerOptions server = {}) {
    Start(std::move(options), server);
    Publish([](auto& rules) { rules.Set(Rollout("f", 10'000)); });
    Advance(Streams::kRecentMs);
  }
  // A stream that has begun; it ends with the service.
  EventSource& Listen(const std::string& target = kStream,
                      const std::vector<http::Header>& headers = {}) {
    sources_.push_back(std::make_unique<EventSource>(server_.address(), target, headers));
    EXPECT_TRUE(sources_.back()->HasText("\n\n"));
    return *sources_.back();
  }
  void Change() {
    Publish([&](auto& rules) { rules.Set(Rollout("f", ++threshold_)); });
  }
  // What comes in order before the next comment.
  void ExpectNothingBut(EventSource& source, size_t events) {
    Advance(Streams::kKeepAliveMs);
    ASSERT_TRUE(source.HasText("\n:\n\n"));
    EXPECT_EQ(source.waiting(), events);
  }

  domain::FinePercent threshold_ = 10'000;
};

TEST_F(OfrepStreams, SaysWhenFlagsChange) {
  StartQuietly();
  EventSource& source = Listen();
  EXPECT_EQ(source.waiting(), 0u);
  const std::string before = source.last_id();
  EXPECT_FALSE(before.empty());
  Change();
  const std::optional<Event> event = source.Next();
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->event, "message");
  EXPECT_NE(event->id, before);
  const json data = json::parse(event->data);
  EXPECT_EQ(data["type"], "refetchEvaluation");
  EXPECT_EQ(data["etag"], "\"" + event->id + "\"");
  EXPECT_EQ(data["lastModified"], clock_.WallMs() / 1000);
}

TEST_F(OfrepStreams, IsSilentWhenNoAnswerChanges) {
  StartQuietly();
  EventSource& source = Listen();
  Publish([](auto& rules) {
    rules.emergency.freeze = true;
    domain::ModelEntry model;
    model.name = "fraud_detection";
    rules.Set(model);
  });
  ExpectNothingBut(source, 0);
}

TEST_F(OfrepStreams, ABurstIsOneEventMore) {
  StartQuietly();
  EventSource& source = Listen();
  Change();
  ASSERT_TRUE(source.Next().has_value());
  for (int i = 0; i < 20; ++i) Change();
  Advance(Streams::kSpacingMs);
  const std::optional<Event> last = source.Next();
  ASSERT_TRUE(last.has_value());
  ExpectNothingBut(source, 0);
  EventSource& late = Listen(kStream, {{"Last-Event-ID", last->id}});
  ExpectNothingBut(late, 0);
}

TEST_F(OfrepStreams, AStreamIsNotToldOfWhatItBeganWith) {
  StartQuietly();
  EventSource& before = Listen();
  Change();
  const std::optional<Event> first = before.Next();
  ASSERT_TRUE(first.has_value());
  Change();  // told after the spacing
  const std::string now = Listen(kStream, {{"Last-Event-ID", first->id}}).last_id();
  EventSource& since = Listen(kStream, {{"Last-Event-ID", now}});
  Advance(Streams::kSpacingMs);
  const std::optional<Event> second = before.Next();
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->id, since.last_id());
  ExpectNothingBut(since, 0);
}

TEST_F(OfrepStreams, AReconnectingClientIsToldWhatItMissed) {
  StartQuietly();
  const std::string seen = Listen().last_id();
  EventSource& same = Listen(kStream, {{"Last-Event-ID", seen}});
  ExpectNothingBut(same, 0);
  Change();
  Change();
  Advance(10 * Streams::kRecentMs);
  EventSource& source = Listen(kStream, {{"Last-Event-ID", seen}});
  const std::optional<Event> event = source.Next();
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->id, source.last_id());
  ExpectNothingBut(source, 0);
  EventSource& strange = Listen(kStream, {{"Last-Event-ID", "of another system"}});
  EXPECT_TRUE(strange.Next().has_value());
}

TEST_F(OfrepStreams, AClientWithoutAnIdIsToldOfWhatItMayHaveMissed) {
  StartQuietly();
  Change();
  Advance(Streams::kRecentMs - 1);
  EventSource& soon = Listen();
  EXPECT_TRUE(soon.Next().has_value());
  Advance(1);
  EventSource& later = Listen();
  ExpectNothingBut(later, 0);
}

TEST_F(OfrepStreams, AScheduledChangeIsToldWhenItIsDue) {
  Start();
  Publish([&](auto& rules) {
    domain::FlagEntry flag = Rollout("f", 10'000);
    domain::ScheduledEntry change;
    change.at_wall_ms = clock_.WallMs() + Streams::kRecentMs + 5000;
    change.enabled = false;
    flag.schedule.push_back(change);
    rules.Set(flag);
  });
  Advance(Streams::kRecentMs);
  EventSource& source = Listen();
  EXPECT_EQ(json::parse(One("f", For("u")).body)["reason"], "SPLIT");
  Advance(4999);
  EXPECT_EQ(source.waiting(), 0u);
  Advance(1);
  ASSERT_TRUE(source.Next().has_value());
  EXPECT_EQ(json::parse(One("f", For("u")).body)["metadata"]["weirReason"], "DISABLED");
}

TEST_F(OfrepStreams, KeepsAliveWithComments) {
  StartQuietly();
  EventSource& source = Listen();
  for (int i = 0; i < 3; ++i) Advance(Streams::kKeepAliveMs);
  EXPECT_TRUE(source.HasText(":\n\n:\n\n:\n\n"));
}

TEST_F(OfrepStreams, BurstsLeaveNoTimersBehind) {
  StartQuietly();
  Listen();
  const auto burst = [&] {
    for (int i = 0; i < 20; ++i) {
      Change();
      Advance(Streams::kSpacingMs / 2);
    }
  };
  for (int i = 0; i < 50; ++i) burst();
  for (int i = 0; i < 3; ++i) Advance(Streams::kKeepAliveMs);
  EXPECT_EQ(timers_.size(), 1u) << "the next comment's";
}

TEST_F(OfrepStreams, AreBounded) {
  OfrepOptions options;
  options.max_streams = 2;
  StartQuietly(options);
  Listen();
  Listen();
  const http::ClientResponse third = Do("GET", kStream);
  EXPECT_EQ(third.status, 503);
  EXPECT_EQ(third.Header("Retry-After"), "5");
  std::thread closing([&] { sources_.front().reset(); });  // with the next piece that comes
  while (budget_->open() > 1) Advance(Streams::kKeepAliveMs);
  closing.join();
  EXPECT_NE(Listen().last_id(), "");
}

TEST_F(OfrepStreams, AreNoConcurrentRequests) {
  http::ServerOptions server;
  server.max_concurrent_requests = 1;
  StartQuietly({}, server);
  Listen();
  Listen();
  EXPECT_EQ(One("f", For("u")).status, 200);
}

TEST_F(OfrepStreams, EndWhenTheNodeStops) {
  StartQuietly();
  EventSource& source = Listen();
  OnWorker([&] { service_->Drain(); });
  const std::optional<Status> end = source.End();
  ASSERT_TRUE(end.has_value());
  EXPECT_TRUE(end->ok()) << end->ToString();
  EXPECT_EQ(budget_->open(), 0u);
  EXPECT_EQ(Do("GET", kStream).status, 503);
}

TEST_F(OfrepStreams, HoldUpNoDrain) {
  StartQuietly();
  Listen();
  OnWorker([&] { service_->Drain(); });
  const int64_t start_ms = Clock::System().MonotonicMs();
  server_.Drain(10'000);
  EXPECT_LT(Clock::System().MonotonicMs() - start_ms, 5000);
}

TEST_F(OfrepStreams, TheAddressCarriesAKeyOfItsOwn) {
  OfrepOptions options;
  options.tokens = {"first-token", "second-token"};
  StartQuietly(options);
  const auto target = [&](const std::string& token) {
    const json body = json::parse(All("", {{"Authorization", "Bearer " + token}}).body);
    const std::string url = body["eventStreams"][0]["url"];
    EXPECT_EQ(url.find(token), std::string::npos);
    return url.substr(url.find(kStream));
  };
  const std::string first = target("first-token");
  EXPECT_THAT(first, HasSubstr("?access="));
  EXPECT_NE(target("second-token"), first);
  EventSource& source = Listen(first);
  Change();
  EXPECT_TRUE(source.Next().has_value());
  EXPECT_EQ(Do("GET", first + "0").status, 401);
  EXPECT_EQ(Do("GET", std::string(kStream) + "?access=first-token").status, 401);
  const std::string key = first.substr(first.find('=') + 1);
  EXPECT_EQ(All("", {{"Authorization", "Bearer " + key}}).status, 401) << "opens the stream only";
}

}  // namespace
}  // namespace weir::node::ofrep
