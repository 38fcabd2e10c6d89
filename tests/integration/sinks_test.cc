// SPDX-License-Identifier: Apache-2.0
// Sinks: what happens arrives at somebody's server, signed, once, and later if that was away.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/fakes/receiver.h"
#include "tests/integration/harness/cli.h"

namespace weir::integration {
namespace {

using fakes::Receiver;

class Sinks : public CliTest {
 protected:
  Json SinkStatus(const std::string& name) {
    return api().Get("/v1/sinks/" + name).json.value("status", Json::object());
  }
  std::string Problem() {
    const Answer status = api().Get("/v1/status");
    for (const Json& problem : status.json["problems"]) {
      if (problem["what"].get<std::string>().find("sink") != std::string::npos)
        return problem.dump();
    }
    return "";
  }
  // HMAC-SHA256 by Python's hmac, hexadecimal.
  static std::string Hmac(const std::string& key, const std::string& message) {
    const Output output = RunProgram({"/usr/bin/python3", "-c",
                                      "import hashlib, hmac, sys; "
                                      "print(hmac.new(sys.argv[1].encode(), "
                                      "sys.stdin.buffer.read(), hashlib.sha256).hexdigest())",
                                      key},
                                     {}, message);
    EXPECT_EQ(output.exit_code, 0) << output.Text();
    return output.out.substr(0, output.out.find('\n'));
  }
  // The states that a sink was told a rollout came to, in order.
  static std::vector<std::string> Transitions(Receiver& receiver, const std::string& rollout) {
    std::vector<std::string> states;
    for (const auto& post : receiver.posts()) {
      const Json body = Json::parse(post.body);
      if (body.value("type", "") == "rollout" && body["data"]["rollout"] == rollout)
        states.push_back(body["data"]["to"]);
    }
    return states;
  }
};

TEST_F(Sinks, ARollbackIsToldOncePerTransitionSignedAndInSlacksForm) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.2.0"}));
  Receiver json;
  Receiver slack;
  const std::string key = Write("hook.key", "top secret\n");
  ASSERT_EQ(PutSink("hook", {{"url", json.url() + "/weir?team=risk"}, {"secret_file", key}}).status,
            201);
  ASSERT_EQ(PutSink("chat", {{"url", slack.url() + "/services/T0/B0/XyZ"},
                             {"format", "slack"},
                             {"events", {"rollout"}},
                             {"min_severity", "warning"}})
                .status,
            201);
  Traffic traffic(Addresses(), 300);
  ASSERT_EQ(
      PutRollout(api(), RolloutResource("bad", "1.2.0", {{.percentage = 10, .duration = "1h"}}))
          .status,
      201);
  ASSERT_TRUE(WaitFor("it is taken back", [&] { return RolloutIs("bad", "rolled_back"); }));
  const std::vector<std::string> told = {"progressing", "rolling_back", "rolled_back"};
  ASSERT_TRUE(WaitFor("the sink is told", [&] { return Transitions(json, "bad").size() >= 3; }));
  ASSERT_TRUE(WaitFor("Slack is told", [&] { return slack.posts().size() >= 2; }));
  ASSERT_TRUE(WaitFor("nothing waits", [&] {
    return SinkStatus("hook")["waiting"] == 0 && SinkStatus("chat")["waiting"] == 0;
  }));
  EXPECT_EQ(Transitions(json, "bad"), told);

  std::set<std::string> ids;
  for (const auto& post : json.posts()) {
    const Json body = Json::parse(post.body);
    EXPECT_EQ(post.target, "/weir?team=risk");
    EXPECT_EQ(post.headers.at("X-Weir-Event"), body["type"]);
    EXPECT_EQ(post.headers.at("X-Weir-Delivery"), body["id"]);
    EXPECT_TRUE(ids.insert(body["id"]).second) << "told twice: " << body;
    EXPECT_EQ(
        post.headers.at("X-Weir-Signature"),
        "sha256=" + Hmac("top secret", post.headers.at("X-Weir-Timestamp") + "." + post.body));
    if (body["data"].value("to", "") != "rolling_back") continue;
    EXPECT_EQ(body["severity"], "critical");
    EXPECT_EQ(body["summary"].get<std::string>().rfind("rollout bad is rolling_back (was ", 0), 0u)
        << body["summary"];
    EXPECT_GT(body["data"]["verdict"]["canary_bad"], 0) << body;
  }
  ASSERT_EQ(slack.posts().size(), 2u) << "progressing is below the sink's severity";
  const Json first = Json::parse(slack.posts()[0].body);
  EXPECT_EQ(first["text"].get<std::string>().rfind("[critical] rollout bad is rolling_back", 0), 0u)
      << first;
  EXPECT_EQ(first["blocks"][0]["text"]["text"], first["text"]);
  EXPECT_FALSE(slack.posts()[0].headers.contains("X-Weir-Signature"));

  const std::string metrics = api().Get("/metrics").text;
  EXPECT_NE(metrics.find("weir_notifications_total{sink=\"chat\",result=\"delivered\"} 2\n"),
            std::string::npos)
      << metrics;
  EXPECT_EQ(Problem(), "");
  const std::string log = control.process().Tail(100'000);
  EXPECT_EQ(log.find("top secret"), std::string::npos);
  EXPECT_EQ(log.find("XyZ"), std::string::npos) << "the path of a hook is a secret";
}

TEST_F(Sinks, AReceiverThatWasAwayIsToldLater) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(0));
  const std::string address = fmt::format("127.0.0.1:{}", FreePort());
  ASSERT_EQ(PutSink("hook", {{"url", "http://" + address + "/s3cr3t"}}).status, 201);
  ASSERT_TRUE(
      api().Patch("/v1/emergency/default?reason=fire", {{"spec", {{"freeze", true}}}}).ok());
  ASSERT_TRUE(WaitFor("the failure is a problem", [&] {
    return Problem().find("attempt 1: " + address + ": Connection refused") != std::string::npos;
  }));
  EXPECT_NE(Problem().find("sink hook cannot be told"), std::string::npos);
  EXPECT_EQ(Problem().find("s3cr3t"), std::string::npos);
  EXPECT_NE(Weir({"status"}).out.find("sink hook cannot be told"), std::string::npos);

  Receiver receiver(address);
  ASSERT_TRUE(WaitFor("it arrives", [&] { return !receiver.posts().empty(); }));
  const Json body = Json::parse(receiver.posts()[0].body);
  EXPECT_EQ(body["type"], "emergency");
  EXPECT_EQ(body["severity"], "critical");
  EXPECT_EQ(body["summary"], "emergency: freeze on, by test:alice: fire");
  ASSERT_TRUE(WaitFor("the problem has gone", [&] { return Problem().empty(); }));
  EXPECT_EQ(SinkStatus("hook")["last"]["attempts"], 2);
  EXPECT_EQ(receiver.posts().size(), 1u);
}

TEST_F(Sinks, WhatWasNotToldWhenTheControlPlaneWasKilledIsToldLater) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(0));
  const std::string address = fmt::format("127.0.0.1:{}", FreePort());
  ASSERT_EQ(PutSink("hook", {{"url", "http://" + address}, {"events", {"emergency"}}}).status, 201);
  ASSERT_TRUE(
      api().Patch("/v1/emergency/default?reason=fire", {{"spec", {{"freeze", true}}}}).ok());
  ASSERT_TRUE(WaitFor("it was tried", [&] { return SinkStatus("hook")["last"]["attempts"] == 1; }));
  const std::string id = SinkStatus("hook")["last"]["id"];
  control.Kill9();
  ASSERT_TRUE(control.Start().ok());
  EXPECT_EQ(SinkStatus("hook")["waiting"], 1);

  Receiver receiver(address);
  ASSERT_TRUE(WaitFor("it arrives", [&] { return !receiver.posts().empty(); }));
  const auto post = receiver.posts()[0];
  EXPECT_EQ(post.headers.at("X-Weir-Delivery"), id);
  const Json body = Json::parse(post.body);
  EXPECT_EQ(body["id"], id);
  EXPECT_EQ(body["summary"], "emergency: freeze on, by test:alice: fire");
  ASSERT_TRUE(WaitFor("nothing waits", [&] { return SinkStatus("hook")["waiting"] == 0; }));
  EXPECT_EQ(control.Stop(), 0);
  ASSERT_TRUE(control.Start().ok());
  EXPECT_EQ(SinkStatus("hook")["waiting"], 0);
  EXPECT_EQ(receiver.posts().size(), 1u) << "told twice";
}

TEST_F(Sinks, AnUnreadableSecretIsShownAndNothingGoesOut) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(0));
  Receiver receiver;
  const std::string key = dir.path() + "/hook.key";
  ASSERT_EQ(PutSink("hook", {{"url", receiver.url()}, {"secret_file", key}}).status, 201);
  const Output refused = Weir({"sink", "test", "hook"});
  EXPECT_EQ(refused.exit_code, 1) << refused.Text();
  EXPECT_NE(refused.out.find("NOT told, secret_file: "), std::string::npos) << refused.Text();
  EXPECT_NE(Problem().find(key), std::string::npos);
  EXPECT_TRUE(receiver.posts().empty());
  Write("hook.key", "k");
  const Output told = Weir({"sink", "test", "hook"});
  EXPECT_EQ(told.exit_code, 0) << told.Text();
  EXPECT_EQ(told.out, "sink hook: told, status 200\n");
  EXPECT_EQ(receiver.posts().at(0).headers.at("X-Weir-Event"), "test");
  EXPECT_EQ(Problem(), "");
  EXPECT_EQ(Weir({"sink", "test", "hok"}).exit_code, 1);
}

TEST_F(Sinks, AreResourcesLikeAnyOther) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(0));
  const std::string file = Write("sinks.yaml", R"(apiVersion: weir/v1
kind: Sink
metadata: {name: chat, labels: {team: risk}}
spec: {url: "https://hooks.example.org/services/XyZ", format: slack, events: [rollout, emergency]}
)");
  const Output applied = Weir({"apply", "-f", file, "--no-wait"});
  ASSERT_EQ(applied.exit_code, 0) << applied.Text();
  const Output list = Weir({"get", "sinks", "-l", "team=risk"});
  EXPECT_NE(list.out.find("slack to https://hooks.example.org"), std::string::npos) << list.Text();
  EXPECT_EQ(list.out.find("XyZ"), std::string::npos);
  ASSERT_TRUE(api().Patch("/v1/sinks/chat", {{"spec", {{"enabled", false}}}}).ok());
  const Json sink = WeirJson({"get", "sink/chat"});
  EXPECT_EQ(sink["spec"]["enabled"], false);
  EXPECT_EQ(sink["spec"]["url"], "https://hooks.example.org/services/XyZ");
  EXPECT_EQ(sink["status"]["waiting"], 0);
  const Answer refused = PutSink("bad", {{"url", "hooks"}, {"events", {"rolout"}}});
  EXPECT_EQ(refused.status, 400) << refused;
  EXPECT_NE(refused.text.find("did you mean \\\"rollout\\\"?"), std::string::npos) << refused;
  EXPECT_EQ(Weir({"delete", "sink/chat"}).exit_code, 0);
  EXPECT_EQ(api().Get("/v1/sinks").json["items"].size(), 0u);
}

}  // namespace
}  // namespace weir::integration
