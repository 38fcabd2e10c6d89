// SPDX-License-Identifier: Apache-2.0
// OpenFeature clients on a real node: flags of a flagd file and rollout flags, changes told by the
// event stream, and what a node says when it stops.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/fakes/event_source.h"
#include "tests/integration/harness/cli.h"

namespace weir::integration {
namespace {

using fakes::Event;
using fakes::EventSource;

constexpr char kFolder[] = WEIR_SOURCE_DIR "/tests/integration/ofrep_sdk/";
constexpr char kAll[] = "/ofrep/v1/evaluate/flags";

class Ofrep : public CliTest {
 protected:
  void StartWithFlags(std::vector<std::string> node_settings = {}) {
    ASSERT_NO_FATAL_FAILURE(StartCluster(0));
    for (const char* file : {"flags.json", "rollouts.yaml"}) {
      const Output applied = Weir({"apply", "-f", std::string(kFolder) + file});
      ASSERT_EQ(applied.exit_code, 0) << applied.Text();
    }
    AddNode({.id = "n1", .control = "", .more = std::move(node_settings)});
    ASSERT_TRUE(WaitFor("flags", [&] { return One("checkout").status == 200; }));
  }
  void TearDown() override {
    for (const auto& node : nodes) node->Stop();  // ends the streams
    sources_.clear();
    CliTest::TearDown();
  }

  Answer One(const std::string& key, const Json& context = Json::object()) {
    return node(0).api().Post(std::string(kAll) + "/" + key, {{"context", context}});
  }
  Answer All(std::vector<http::Header> headers = {}) {
    return node(0).api().Call("POST", kAll, R"({"context": {"targetingKey": "user-1"}})",
                              std::move(headers));
  }
  EventSource& Listen(Node& node, const std::vector<http::Header>& headers = {}) {
    sources_.push_back(std::make_unique<EventSource>(node.address(), "/ofrep/v1/stream", headers));
    EXPECT_TRUE(sources_.back()->HasText("\n\n"));
    return *sources_.back();
  }
  void KillSwitch(bool on) {
    const Answer answer = api().Patch("/v1/emergency/default", {{"spec", {{"kill_switch", on}}}});
    ASSERT_EQ(answer.status, 200) << answer;
  }
  // Takes events until one came after which the flag answers so.
  testing::AssertionResult ToldThat(EventSource& source, const std::string& flag, bool value) {
    while (const auto event = source.Next(kPatienceMs)) {
      if (Json::parse(event->data)["type"] != "refetchEvaluation") {
        return testing::AssertionFailure() << event->data;
      }
      if (One(flag).json["value"] == value) return testing::AssertionSuccess();
    }
    return testing::AssertionFailure() << flag << " is " << One(flag).text;
  }

  std::vector<std::unique_ptr<EventSource>> sources_;
};

TEST_F(Ofrep, FlagsOfAFlagdFileAnswerAsFlagdWould) {
  ASSERT_NO_FATAL_FAILURE(StartWithFlags());
  const Answer banner = One("banner");
  EXPECT_EQ(banner.json["value"], true) << banner;
  EXPECT_EQ(banner.json["variant"], "on");
  EXPECT_EQ(banner.json["reason"], "STATIC");
  const Answer dark = One("theme", {{"email", "ann@example.com"}});
  EXPECT_EQ(dark.json["value"], "#111") << dark;
  EXPECT_EQ(dark.json["reason"], "TARGETING_MATCH");
  EXPECT_EQ(dark.json["metadata"]["team"], "design");
  EXPECT_EQ(One("theme", {{"email", "bob@other.org"}}).json["value"], "#fff");
  EXPECT_EQ(One("max-items").json["value"], 250.5);
  EXPECT_EQ(One("limits").json["value"], Json::parse(R"({"rps": 10, "regions": ["eu", "us"]})"));
  const Answer retired = One("retired");
  EXPECT_EQ(retired.status, 200);
  EXPECT_FALSE(retired.json.contains("value")) << "the code's default holds: " << retired;
  EXPECT_EQ(retired.json["reason"], "DISABLED");
}

TEST_F(Ofrep, RolloutFlagsAnswerTrueOrFalseAndKeysAreDecoded) {
  ASSERT_NO_FATAL_FAILURE(StartWithFlags());
  EXPECT_EQ(One("checkout").json["value"], true);
  EXPECT_EQ(One("off").json["value"], false);
  const Answer half = One("half%2Doff", {{"targetingKey", "user-1"}});
  EXPECT_TRUE(half.json["value"].is_boolean()) << half;
  EXPECT_EQ(half.json["reason"], "SPLIT");
  EXPECT_EQ(One("half%2Doff").status, 400);
  EXPECT_EQ(One("half%2Doff").json["errorCode"], "TARGETING_KEY_MISSING");
  EXPECT_EQ(One("unknown").status, 404);
  EXPECT_EQ(node(0).api().Get(std::string(kAll) + "/checkout").status, 405);
  const std::string metrics = node(0).api().Get("/metrics").text;
  for (const char* line : {"weir_requests_total{endpoint=\"ofrep\",status=\"200\"}",
                           "weir_requests_total{endpoint=\"ofrep\",status=\"404\"} 1"}) {
    EXPECT_NE(metrics.find(line), std::string::npos) << line << "\n" << metrics;
  }
}

TEST_F(Ofrep, TheStreamTellsOfTheKillSwitchOnAndOff) {
  ASSERT_NO_FATAL_FAILURE(StartWithFlags());
  const Answer before = All();
  const std::string etag = before.Header("ETag");
  EXPECT_EQ(All({{"If-None-Match", etag}}).status, 304);
  EXPECT_EQ(All({{"If-None-Match", etag}}).text, "");
  EXPECT_EQ(before.json["eventStreams"][0]["url"],
            "http://" + node(0).address() + "/ofrep/v1/stream");

  EventSource& source = Listen(node(0));
  ASSERT_NO_FATAL_FAILURE(KillSwitch(true));
  EXPECT_TRUE(ToldThat(source, "checkout", false));
  const Answer off = All({{"If-None-Match", etag}});
  EXPECT_EQ(off.status, 200);
  for (const Json& flag : off.json["flags"]) {
    if (flag["key"] == "theme" || flag["key"] == "limits" || flag["key"] == "max-items") {
      EXPECT_FALSE(flag.contains("value")) << "no off variant: " << flag;
    } else {
      EXPECT_EQ(flag.value("value", true), false) << flag;
    }
    EXPECT_EQ(flag["metadata"]["weirReason"], "KILL_SWITCH") << flag;
  }
  ASSERT_NO_FATAL_FAILURE(KillSwitch(false));
  EXPECT_TRUE(ToldThat(source, "checkout", true));
  EXPECT_EQ(All({{"If-None-Match", etag}}).status, 304) << "exactly what it was";
}

TEST_F(Ofrep, AnIdOfOneNodeIsUnderstoodByAnother) {
  ASSERT_NO_FATAL_FAILURE(StartWithFlags());
  AddNode({.id = "n2", .control = "", .more = {}});
  ASSERT_TRUE(WaitFor("head", [&] { return EveryoneIsAtHead(); }));
  EventSource& first = Listen(node(0));
  const std::string before = Listen(node(0)).last_id();
  const Output changed = Weir({"flag", "set", "checkout", "--percent", "0"});
  ASSERT_EQ(changed.exit_code, 0) << changed.Text();
  ASSERT_TRUE(WaitFor("head", [&] { return EveryoneIsAtHead(); }));
  EXPECT_EQ(One("checkout").json["value"], false);
  std::string seen;
  ASSERT_TRUE(WaitFor("the change is told", [&] {
    seen = first.last_id();
    return seen != before && seen == Listen(node(0)).last_id();
  }));

  ASSERT_TRUE(WaitFor("the id of the other node", [&] {
    return Listen(node(1)).last_id() == seen;
  })) << "the same flags have the same id everywhere";
  EventSource& second = Listen(node(1), {{"Last-Event-ID", seen}});
  ASSERT_EQ(Weir({"flag", "set", "checkout", "--percent", "100"}).exit_code, 0);
  ASSERT_TRUE(second.Next(kPatienceMs).has_value());
  EXPECT_NE(second.last_id(), seen);
  EXPECT_EQ(second.waiting(), 0u) << "nothing was told before the change";

  EventSource& late = Listen(node(1), {{"Last-Event-ID", seen}});
  EXPECT_TRUE(late.Next(kPatienceMs).has_value());
}

TEST_F(Ofrep, AStreamEndsCleanlyWhenTheNodeStops) {
  ASSERT_NO_FATAL_FAILURE(StartWithFlags());
  EventSource& source = Listen(node(0));
  const int64_t start_ms = NowMs();
  EXPECT_EQ(node(0).Stop(), 0);
  EXPECT_LT(NowMs() - start_ms, 8000 * kSlowness) << "open streams hold up no drain";
  const std::optional<Status> end = source.End();
  ASSERT_TRUE(end.has_value());
  EXPECT_TRUE(end->ok()) << end->ToString();
}

TEST_F(Ofrep, TokensAndOriginsComeFromTheNodesSettings) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(0));
  const std::string file = Write("tokens", "token-one,token-two");
  AddNode({.id = "n1",
           .control = "",
           .more = {"--ofrep-tokens-file", file, "--cors-origins", "https://shop.example"}});
  EXPECT_EQ(All().status, 401);
  const Answer answer =
      All({{"Authorization", "Bearer token-two"}, {"Origin", "https://shop.example"}});
  EXPECT_EQ(answer.status, 200) << answer;
  EXPECT_EQ(answer.Header("Access-Control-Allow-Origin"), "https://shop.example");
  EXPECT_EQ(All({{"X-API-Key", "token-one"}}).status, 200);
}

}  // namespace
}  // namespace weir::integration
