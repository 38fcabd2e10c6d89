// SPDX-License-Identifier: Apache-2.0
#include <functional>

#include "tests/unit/controlplane/api/api_fixture.h"

namespace weir::control::api {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class ApiEvents : public ApiTest {
 protected:
  // What a stream sends until `wanted` events have come, or it ends. `once_open` runs at its first
  // bytes. Silence of 5 s is a failure.
  std::string Read(const std::string& target, size_t wanted, const std::string& last_event_id = "",
                   std::function<void()> once_open = {}) {
    http::Client client(api_->address());
    std::vector<http::Header> headers;
    if (!last_event_id.empty()) headers.push_back({"Last-Event-ID", last_event_id});
    std::string text;
    bool opened = false;
    const Status status = client.Stream(target, headers, [&](std::string_view data) {
      text += data;
      if (!opened && once_open) once_open();
      opened = true;
      size_t events = 0;
      for (size_t at = 0; (at = text.find("\ndata: ", at)) != std::string::npos; ++at) ++events;
      return events < wanted || !text.ends_with("\n\n");
    });
    EXPECT_TRUE(status.ok()) << status.ToString() << text;
    return text;
  }

  std::vector<std::string> Types(const Json& items) {
    std::vector<std::string> types;
    for (const Json& item : items) types.push_back(item["type"]);
    return types;
  }
};

TEST_F(ApiEvents, TellsCommitsAsTheyCome) {
  Send("PUT", "/v1/flags/before", Flag("before", 10).dump());
  const std::string stream = Read(
      "/v1/events", 1, "", [this] { Send("PUT", "/v1/flags/a?reason=why", Flag("a", 10).dump()); });
  EXPECT_THAT(stream, HasSubstr("id: 77-2\nevent: commit\ndata: {"));
  EXPECT_THAT(stream, HasSubstr("\"reason\":\"why\""));
  EXPECT_THAT(stream, HasSubstr("\"actor\":\"alice@laptop\""));
  EXPECT_THAT(stream, Not(HasSubstr("before")));
}

TEST_F(ApiEvents, ResumesAfterTheLastEventId) {
  for (const char* name : {"a", "b", "c"})
    Send("PUT", std::string("/v1/flags/") + name, Flag(name, 10).dump());
  const std::string resumed = Read("/v1/events", 2, "77-1");
  EXPECT_THAT(resumed, Not(HasSubstr("id: 77-1\n")));
  EXPECT_THAT(resumed, HasSubstr("id: 77-2\n"));
  EXPECT_THAT(resumed, HasSubstr("id: 77-3\n"));
  EXPECT_THAT(resumed, Not(HasSubstr("event: reset")));
  EXPECT_THAT(Read("/v1/events?since=0", 3), HasSubstr("id: 77-1\n"));
}

TEST_F(ApiEvents, SaysThatSomeAreLost) {
  Send("PUT", "/v1/flags/a", Flag("a", 10).dump());
  const std::string other_epoch = Read("/v1/events", 2, "76-400");
  EXPECT_THAT(other_epoch, HasSubstr("event: reset\n"));
  EXPECT_THAT(other_epoch, HasSubstr("id: 77-1\n"));
}

TEST_F(ApiEvents, ListsWithoutFollowing) {
  Send("PUT", "/v1/flags/a", Flag("a", 10).dump());
  const Reply reply = Get("/v1/events?follow=false");
  ASSERT_EQ(reply.json["items"].size(), 1u) << reply.body;
  EXPECT_EQ(reply.json["items"][0]["id"], "77-1");
  EXPECT_EQ(reply.json["items"][0]["type"], "commit");
  EXPECT_EQ(reply.json["items"][0]["data"]["revision"], 1);
  EXPECT_EQ(Get("/v1/events?folow=false").status, 400);
}

TEST_F(ApiEvents, TellsWhatHappensToNodes) {
  publish::NodeStatus node = NodeWith("n1", publish::NodeState::kJoining, 0);
  SetNodes({node});
  node.state = publish::NodeState::kReady;
  node.versions = {{"m", "1", "LOADING", ""}};
  SetNodes({node});
  SetNodes({node});
  node.versions = {{"m", "1", "FAILED", "no memory"}};
  node.refused = {{1, "a", "invalid_argument", "key 99"}};
  SetNodes({node});
  node.state = publish::NodeState::kGone;
  SetNodes({node});
  const Json items = Get("/v1/events?follow=false").json["items"];
  EXPECT_THAT(Types(items), ElementsAre("node", "node", "version", "nack", "version", "node"));
  EXPECT_EQ(items[1]["data"], (Json{{"node", "n1"}, {"from", "joining"}, {"to", "ready"}}));
  EXPECT_EQ(items[3]["data"]["refused"][0]["name"], "a");
  EXPECT_EQ(items[4]["data"]["state"], "FAILED");
  EXPECT_EQ(items[5]["data"]["to"], "gone");
}

TEST_F(ApiEvents, TellsHowARolloutMoves) {
  PutModel();
  PutRollout("manual");
  Post("/v1/rollouts/fraud-1-1-0/start", Json::object());
  Post("/v1/rollouts/fraud-1-1-0/rollback", {{"reason", "looks bad"}});
  std::vector<std::string> states;
  const Json items = Get("/v1/events?follow=false").json["items"];
  for (const Json& item : items) {
    if (item["type"] == "rollout") states.push_back(item["data"]["to"]);
  }
  EXPECT_THAT(states, ElementsAre("progressing", "rolling_back"));
}

TEST_F(ApiEvents, StreamsEndWhenTheControlPlaneStops) {
  const std::string stream =
      Read("/v1/events", 1000, "", [this] { OnCore([this] { api_->BeginDrain(); }); });
  EXPECT_THAT(stream, HasSubstr(": weir\n\n"));
  EXPECT_EQ(Get("/v1/events").status, 503);
}

}  // namespace
}  // namespace weir::control::api
