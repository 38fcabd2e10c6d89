// SPDX-License-Identifier: Apache-2.0
// `weir flag`, `weir explain` and `weir emergency` against running programs: what a person types,
// and what they and their scripts get.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>

#include "shared/base/clock.h"
#include "tests/integration/harness/cli.h"

namespace weir::integration {
namespace {

using testing::HasSubstr;

constexpr char kToken[] = "a-break-glass-token";

class FlagsCli : public CliTest {
 protected:
  // Exit 2, with this in the message and nothing on standard output.
  void ExpectUsage(const std::vector<std::string>& arguments, const std::string& message) {
    const Output output = Weir(arguments);
    EXPECT_EQ(output.exit_code, 2) << output.Text();
    EXPECT_THAT(output.err, HasSubstr(message)) << output.Text();
    EXPECT_EQ(output.out, "") << output.Text();
  }
  Json Spec(const std::string& name) { return WeirJson({"get", "flag/" + name})["spec"]; }
  // One decision of a node over OFREP.
  Answer Ask(Node& node, const std::string& flag, const std::string& key) {
    return node.api().Post("/ofrep/v1/evaluate/flags/" + flag,
                           {{"context", {{"targetingKey", key}}}});
  }
  std::string AdminOf(const Node& node) {
    const Result<std::string> ready = ReadFile(dir.path() + "/" + node.id() + ".ready");
    return ready.ok() ? Json::parse(*ready).value("admin", "") : "";
  }
};

TEST_F(FlagsCli, WhatIsSetStaysAndTheSeedIsNeverLost) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  const Output created =
      Weir({"flag", "create", "ttft", "--percent", "10", "--seed", "s-1", "--owner", "search",
            "--description", "warm queue", "--tag", "perf", "--tag", "beta", "--expires", "7d"});
  ASSERT_EQ(created.exit_code, 0) << created.Text();
  EXPECT_THAT(created.out, HasSubstr("ttft created at 10 %"));
  EXPECT_THAT(created.err, HasSubstr("1/1 nodes"));
  ASSERT_EQ(Weir({"flag", "create", "fast", "--requires", "ttft"}).exit_code, 0);
  EXPECT_EQ(Spec("fast")["requires"], Json::array({"ttft"}));
  EXPECT_EQ(Spec("fast")["rollout_percentage"], 100);

  const Output set = Weir({"flag", "set", "ttft", "--percent", "50", "--schedule", "2h: percent=75",
                           "--schedule", "2099-01-01T00:00:00Z: enabled=false"});
  ASSERT_EQ(set.exit_code, 0) << set.Text();
  EXPECT_THAT(set.out, HasSubstr("2099-01-01T00:00:00.000Z: enabled=false"));
  ASSERT_EQ(Weir({"flag", "disable", "ttft", "--reason", "too warm"}).exit_code, 0);
  Json spec = Spec("ttft");
  EXPECT_EQ(spec["enabled"], false);
  EXPECT_EQ(spec["rollout_percentage"], 50);
  EXPECT_EQ(spec["hash_seed"], "s-1");
  EXPECT_EQ(spec["owner"], "search");
  EXPECT_EQ(spec["tags"], (Json{"perf", "beta"}));
  ASSERT_EQ(spec["schedule"].size(), 2u) << spec;
  EXPECT_EQ(spec["schedule"][0]["set"]["rollout_percentage"], 75);
  ASSERT_EQ(Weir({"flag", "enable", "ttft"}).exit_code, 0);
  ASSERT_EQ(Weir({"flag", "set", "ttft", "--no-schedule"}).exit_code, 0);
  spec = Spec("ttft");
  EXPECT_EQ(spec["enabled"], true);
  EXPECT_EQ(spec["hash_seed"], "s-1");
  EXPECT_FALSE(spec.contains("schedule")) << spec;

  const Output again = Weir({"flag", "create", "ttft"});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.err, HasSubstr("weir flag set ttft"));
  const Output shown = Weir({"flag", "show", "ttft"});
  EXPECT_EQ(shown.exit_code, 0) << shown.Text();
  for (const char* part : {"serves         50 %", "seed           s-1", "owner          search"})
    EXPECT_THAT(shown.out, HasSubstr(part));
  const Output list = Weir({"flag", "list"});
  EXPECT_THAT(list.out, HasSubstr("search"));
  EXPECT_EQ(Weir({"-o", "name", "flag", "list"}).out, "Flag/fast\nFlag/ttft\n");
}

TEST_F(FlagsCli, VariantFlagsAnswerByContext) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  const std::string rule =
      Write("rule.json", R"({"if": [{"==": [{"var": "tier"}, "gold"]}, "large"]})");
  const Output created = Weir({"flag", "create", "size", "--variants", R"({"small":8,"large":32})",
                               "--default", "small", "--targeting", rule});
  ASSERT_EQ(created.exit_code, 0) << created.Text();
  const std::string list = Weir({"flag", "list"}).out;
  EXPECT_THAT(list, HasSubstr("number"));
  EXPECT_THAT(list, HasSubstr("by rule, else small"));

  const Json gold =
      WeirJson({"flag", "eval", "size", "--key", "u", "--context", R"({"tier": "gold"})"});
  EXPECT_EQ(gold["value"], 32) << gold;
  EXPECT_EQ(gold["variant"], "large");
  EXPECT_EQ(gold["reason"], "TARGETING_MATCH");
  const std::string context = Write("context.json", R"({"tier": "tin"})");
  const Output tin = Weir({"flag", "eval", "size", "--key", "u", "--context", "@" + context});
  EXPECT_EQ(tin.out, "size for u: small = 8 (DEFAULT)\n") << tin.Text();
  const Output why =
      Weir({"explain", "--key", "u", "--flag", "size", "--context", R"({"tier": "gold"})"});
  EXPECT_THAT(why.out, HasSubstr("large = 32")) << why.Text();

  ExpectUsage({"flag", "eval", "size", "--key", "u", "--context", "[1]"}, "--context: [1] is not");
  ExpectUsage({"flag", "eval", "size", "--key", "u", "--context", "prod"},
              "--context: prod: not JSON");
  ExpectUsage({"explain", "--key", "u", "--context", "@" + dir.path() + "/none"}, "--context: ");
  ExpectUsage({"flag", "create", "x", "--variants", "{}", "--percent", "5"}, "--percent: ");
}

TEST_F(FlagsCli, CountSaysHowKeysSpread) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_EQ(Weir({"flag", "create", "checkout", "--percent", "10"}).exit_code, 0);
  // Python: MD5 of "user-1:checkout" … "user-1000:checkout" puts 102 below 10 %.
  const Output table = Weir({"flag", "eval", "checkout", "--key", "user-", "--count", "1000"});
  ASSERT_EQ(table.exit_code, 0) << table.Text();
  EXPECT_THAT(table.out, HasSubstr("102")) << table.Text();
  EXPECT_THAT(table.out, HasSubstr("10.2 %")) << table.Text();
  EXPECT_THAT(table.out, HasSubstr("898")) << table.Text();
}

TEST_F(FlagsCli, ExplainNeedsNoServerWithAFile) {
  const std::string file = Write("flags.yaml",
                                 "ttft_pipeline:\n"
                                 "  enabled: true\n"
                                 "  rollout_percentage: 18\n"
                                 "  hash_seed: ttft-pipeline-2025-01-08\n"
                                 "  speculation:\n"
                                 "    enabled: false\n");
  // DECISIONS: user-2 has bucket 17159, request-123 31573.
  const Json in = WeirJson({"explain", "--key", "user-2", "--file", file});
  ASSERT_EQ(in["flags"].size(), 2u) << in;
  EXPECT_EQ(in["flags"][0]["enabled"], true);
  EXPECT_EQ(in["flags"][0]["bucket"], 17159);
  EXPECT_EQ(in["flags"][1]["reason"], "DISABLED");
  EXPECT_TRUE(in["snapshot"].is_null());
  const Json out =
      WeirJson({"explain", "--key", "request-123", "--file", file, "--flag", "ttft_pipeline"});
  EXPECT_EQ(out["flags"][0]["enabled"], false);
  const std::string flagd = Write("flagd.json", R"({"flags": {"size": {"state": "ENABLED",
    "variants": {"s": 8, "l": 32}, "defaultVariant": "s",
    "targeting": {"if": [{"ends_with": [{"var": "email"}, "@x.org"]}, "l"]}}}})");
  const Json variant =
      WeirJson({"explain", "--key", "k", "--file", flagd, "--context", R"({"email": "a@x.org"})"});
  EXPECT_EQ(variant["flags"][0]["value"], 32) << variant;
  ExpectUsage({"explain", "--key", "k", "--file", dir.path() + "/none.yaml"}, "none.yaml");
  const std::string bad = Write("bad.yaml", "a:\n  enabled: true\n  rollout_percentage: 140\n");
  ExpectUsage({"explain", "--key", "k", "--file", bad}, "140");
}

TEST_F(FlagsCli, FlagsMoveBetweenWeirFlagdAndUnleash) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_EQ(Weir({"flag", "create", "ttft", "--percent", "10", "--seed", "s-1"}).exit_code, 0);
  ASSERT_EQ(Weir({"flag", "create", "size", "--variants", R"({"small":8,"large":32})", "--default",
                  "small"})
                .exit_code,
            0);
  const std::string saved = dir.path() + "/saved.yaml";
  const Output exported = Weir({"flag", "export", "-o", saved});
  ASSERT_EQ(exported.exit_code, 0) << exported.Text();
  const Json before = WeirJson({"flag", "list"});
  ASSERT_EQ(Weir({"delete", "flag/ttft", "--force"}).exit_code, 0);
  ASSERT_EQ(Weir({"delete", "flag/size", "--force"}).exit_code, 0);
  const Output back = Weir({"flag", "import", "--format", "weir", saved});
  ASSERT_EQ(back.exit_code, 0) << back.Text();
  EXPECT_THAT(back.out, HasSubstr("Flag/ttft created"));
  const Json after = WeirJson({"flag", "list"});
  ASSERT_EQ(after["items"].size(), 2u);
  for (size_t i = 0; i < 2; ++i) EXPECT_EQ(after["items"][i]["spec"], before["items"][i]["spec"]);

  // As flagd definitions under other names: the same answers for a variant flag.
  const Output definitions = Weir({"flag", "export", "--format", "flagd", "size"});
  ASSERT_EQ(definitions.exit_code, 0) << definitions.Text();
  Json flagd = definitions.Json();
  ASSERT_TRUE(flagd["flags"].contains("size")) << definitions.Text();
  flagd["flags"]["size2"] = flagd["flags"]["size"];
  flagd["flags"].erase("size");
  flagd["flags"]["broken"] = {
      {"state", "ENABLED"}, {"variants", {{"a", 1}}}, {"defaultVariant", "b"}};
  const std::string file = Write("flagd.json", flagd.dump());
  const Output dry = Weir({"flag", "import", "--format", "flagd", file, "--dry-run"});
  EXPECT_EQ(dry.exit_code, 0) << dry.Text();
  EXPECT_EQ(Weir({"get", "flag/size2"}).exit_code, 1) << "a dry run changes nothing";
  const Output imported = Weir({"flag", "import", "--format", "flagd", file, "--reason", "moved"});
  ASSERT_EQ(imported.exit_code, 0) << imported.Text();
  EXPECT_THAT(imported.err, HasSubstr("broken")) << "says which flag is disabled";
  EXPECT_EQ(WeirJson({"flag", "eval", "size2", "--key", "k"})["value"], 8);
  EXPECT_EQ(WeirJson({"flag", "eval", "broken", "--key", "k"})["reason"], "ERROR");

  const std::string unleash = Write("unleash.json", R"({"version": 2, "features": [
    {"name": "shop", "enabled": true, "strategies": [{"name": "flexibleRollout",
     "parameters": {"rollout": "25", "stickiness": "userId", "groupId": "shop"}}]},
    {"name": "odd", "enabled": true, "strategies": [{"name": "moonPhase", "parameters": {}}]}]})");
  const Output moved = Weir({"flag", "import", "--format", "unleash", unleash});
  ASSERT_EQ(moved.exit_code, 0) << moved.Text();
  EXPECT_EQ(Spec("shop")["rollout_percentage"], 25);
  EXPECT_EQ(Spec("odd")["enabled"], false);
  EXPECT_THAT(moved.err, HasSubstr("moonPhase"));

  EXPECT_EQ(Weir({"flag", "import", "--format", "flagd", saved}).exit_code, 1);
  ExpectUsage({"flag", "import", "--format", "launchpad", file}, "launchpad");
  ExpectUsage({"flag", "export", "-o", "json"}, "--format");
  const Output nearest = Weir({"flag", "export", "sise"});
  EXPECT_EQ(nearest.exit_code, 1);
  EXPECT_THAT(nearest.err, HasSubstr("did you mean \"size\""));
}

TEST_F(FlagsCli, StaleNamesTheReason) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_EQ(Weir({"flag", "create", "old", "--percent", "10", "--expires", "2020-02-03T00:00:00Z"})
                .exit_code,
            0);
  ASSERT_EQ(Weir({"flag", "create", "new", "--percent", "10", "--expires", "7d"}).exit_code, 0);
  const Json stale = WeirJson({"flag", "list", "--stale"});
  ASSERT_EQ(stale["items"].size(), 1u) << stale;
  EXPECT_EQ(stale["items"][0]["metadata"]["name"], "old");
  EXPECT_EQ(stale["items"][0]["stale"], Json::array({"expired on 2020-02-03"}));
  EXPECT_THAT(Weir({"flag", "list", "--stale"}).out, HasSubstr("expired on 2020-02-03"));
}

TEST_F(FlagsCli, DecisionsAreCountedAndShown) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_EQ(Weir({"flag", "create", "checkout", "--percent", "10"}).exit_code, 0);
  for (int i = 1; i <= 100; ++i) {
    const Answer answer = Ask(node(0), "checkout", fmt::format("user-{}", i));
    ASSERT_EQ(answer.status, 200) << answer;
  }
  const auto stats = [&] { return api().Get("/v1/flags/checkout").json["status"]["stats"]; };
  ASSERT_TRUE(WaitFor("100 are counted",
                      [&] { return stats().is_object() && stats().value("total", 0) == 100; }));
  const Output shown = Weir({"flag", "show", "checkout"});
  // Python: of user-1 … user-100 with seed "checkout", 14 are below 10 %.
  EXPECT_THAT(shown.out, HasSubstr("evaluated      100 times since "));
  EXPECT_THAT(shown.out, HasSubstr("(14 %; configured 10 %)")) << shown.Text();
  ASSERT_EQ(Weir({"flag", "set", "checkout", "--percent", "20"}).exit_code, 0);
  EXPECT_THAT(Weir({"flag", "show", "checkout"}).out,
              HasSubstr("not since it last changed; before that, 20"));
  Output events;
  ASSERT_TRUE(WaitFor("an event", [&] {
    events = Weir({"event", "list", "--type", "flag_decision"});
    return !events.out.empty();
  }));
  EXPECT_THAT(events.out, HasSubstr("Feature flag decision: checkout for #"));
  EXPECT_THAT(events.out, HasSubstr(" on n1"));
  EXPECT_EQ(events.out.find("user-"), std::string::npos) << "keys are not told";
}

TEST_F(FlagsCli, TheGlassCanBeBrokenWithoutTheControlPlane) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(0));
  ASSERT_NO_FATAL_FAILURE(
      AddNode({.id = "open", .control = "", .more = {"--break-glass-token", kToken}}));
  ASSERT_NO_FATAL_FAILURE(AddNode({.id = "shut", .control = "", .more = {}}));
  ASSERT_EQ(Weir({"flag", "create", "checkout"}).exit_code, 0);
  ASSERT_TRUE(WaitFor("head", [&] { return EveryoneIsAtHead(); }));
  ASSERT_EQ(Ask(node(0), "checkout", "k").json["value"], true);
  ASSERT_TRUE(control.Stop().has_value());

  const std::string token = Write("token", std::string(kToken) + "\n");
  const std::string nodes = Write("nodes.txt", fmt::format("# all\n{}\nhttp://{}\n127.0.0.1:1\n",
                                                           AdminOf(node(0)), AdminOf(node(1))));
  const Output on = Weir({"-o", "json", "emergency", "kill-switch", "on", "--direct", "--nodes",
                          nodes, "--token-file", token, "--reason", "cut off"});
  EXPECT_EQ(on.exit_code, 1) << on.Text();
  const Json rows = on.Json()["items"];
  ASSERT_EQ(rows.size(), 3u) << on.Text();
  EXPECT_EQ(rows[0]["state"], "applied") << on.Text();
  EXPECT_EQ(rows[1]["state"], "refused") << on.Text();
  EXPECT_EQ(rows[2]["state"], "unreachable") << on.Text();
  EXPECT_EQ(Ask(node(0), "checkout", "k").json["value"], false);
  EXPECT_EQ(Ask(node(1), "checkout", "k").json["value"], true);

  ASSERT_TRUE(control.Start().ok());
  ASSERT_TRUE(WaitFor("it is told", [&] {
    const Json row = NodeRow("open");
    return row.is_object() && row.value("overrides", Json::array()).size() == 1;
  }));
  EXPECT_THAT(Weir({"emergency", "show"}).out, HasSubstr("OVERRIDE on open"));
  EXPECT_THAT(Weir({"node", "list"}).out, HasSubstr("OVERRIDDEN"));
  EXPECT_THAT(Weir({"node", "show", "open"}).out, HasSubstr("cut off"));
  EXPECT_THAT(Weir({"status"}).out, HasSubstr("OVERRIDE   on node open"));
  const std::string one = Write("one.txt", AdminOf(node(0)));
  const Output off = Weir({"emergency", "kill-switch", "off", "--direct", "--nodes", one,
                           "--token-file", token, "--reason", "over"});
  EXPECT_EQ(off.exit_code, 0) << off.Text();
  EXPECT_EQ(Ask(node(0), "checkout", "k").json["value"], true);
}

TEST_F(FlagsCli, WrongInputIsNamedBeforeAnythingIsAsked) {
  ExpectUsage({"flag", "create", "x", "--percent", "140"}, "--percent: 140 is not in 0..100");
  ExpectUsage({"flag", "create", "x", "--percent", "nan"}, "--percent: nan is not in 0..100");
  ExpectUsage({"flag", "set", "x", "--percent", "ten"}, "\"ten\" is not a number in 0..100");
  ExpectUsage({"flag", "set", "x"}, "something to set");
  ExpectUsage({"flag", "set", "x", "--schedule", "tomorrow"}, "--schedule: \"tomorrow\"");
  ExpectUsage({"flag", "set", "x", "--schedule", "soon: percent=5"}, "\"soon\" is neither a time");
  ExpectUsage({"flag", "set", "x", "--schedule", "2h: percent=500"}, "500 is not in 0..100");
  ExpectUsage({"flag", "set", "x", "--schedule", "2h: precent=5"}, "did you mean \"percent\"");
  ExpectUsage({"flag", "create", "x", "--expires", "later"}, "--expires: \"later\"");
  ExpectUsage({"flag", "create", "x", "--variants", "{a"}, "--variants: ");
  ExpectUsage({"flag", "eval", "x"}, "--key or --count");
  ExpectUsage({"flag", "lst"}, "did you mean \"list\"");
  const std::string nodes = Write("nodes.txt", "# nobody\n");
  ExpectUsage({"emergency", "baseline", "on", "--direct", "--reason", "r"}, "--nodes FILE");
  ExpectUsage({"emergency", "baseline", "on", "--direct", "--nodes", nodes}, "--reason");
  ExpectUsage({"emergency", "baseline", "on", "--direct", "--reason", "r", "--nodes", nodes},
              "names no node");
  const std::string good = Write("good.txt", "127.0.0.1:1\n");
  ExpectUsage({"emergency", "baseline", "on", "--direct", "--reason", "r", "--nodes", good},
              "WEIR_BREAK_GLASS_TOKEN");
}

}  // namespace
}  // namespace weir::integration
