// SPDX-License-Identifier: Apache-2.0
// What an operator forces on one node: by a file, and by hand over the admin address, with the
// control plane there and away.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "shared/base/text.h"
#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

using testing::HasSubstr;

constexpr char kToken[] = "break-glass-0123456789";
constexpr char kPath[] = "/weir/v1/override";

class Override : public ClusterTest {
 protected:
  std::string file() const { return dir.path() + "/override.yaml"; }
  void Write(const std::string& text) { ASSERT_TRUE(WriteFileAtomic(file(), text).ok()); }
  void PutFlag(const std::string& name, const Json& spec) {
    const Answer answer = api().Put("/v1/flags/" + name, {{"apiVersion", "weir/v1"},
                                                          {"kind", "Flag"},
                                                          {"metadata", {{"name", name}}},
                                                          {"spec", spec}});
    ASSERT_EQ(answer.status, 201) << answer;
  }
  void SetKillSwitch(bool on) {
    ASSERT_EQ(api().Patch("/v1/emergency/default", {{"spec", {{"kill_switch", on}}}}).status, 200);
  }
  // What the node answers for a flag, "" while it does not know it.
  static std::string ReasonOf(const Node& node, const std::string& flag) {
    const Answer answer = node.api().Post("/weir/v1/explain", {{"key", "user-1"}, {"flag", flag}});
    if (!answer.ok() || answer.json["flags"].empty()) return "";
    return answer.json["flags"][0].value("reason", "");
  }
  static std::string ForcedOn(const Node& node) {
    const Answer ready = node.api().Get("/ready");
    return ready.json.is_object() ? ready.json.value("overrides", Json()).dump() : "";
  }
  std::string RowOf(const Node& node) const {
    const Json row = NodeRow(node.id());
    return row.is_object() ? row.value("overrides", Json::array()).dump() : "";
  }
  static bool HasLine(const Node& node, const std::string& line) {
    return ("\n" + node.admin().Get("/metrics").text).find("\n" + line + "\n") != std::string::npos;
  }
  static Answer Force(const Node& node, const Json& body, const std::string& token = kToken) {
    return node.admin().Call("POST", kPath, body.dump(), {{"Authorization", "Bearer " + token}});
  }
  static Answer Ask(const Node& node, const std::string& method) {
    return node.admin().Call(method, kPath, "",
                             {{"Authorization", std::string("Bearer ") + kToken}});
  }
  NodeOptions WithToken(const std::string& id) const {
    return {.id = id, .control = "", .more = {"--break-glass-token", kToken}};
  }
  static Json KillSwitch(bool on) {
    return {{"emergency", {{"kill_switch", on}}}, {"reason", "INC-7"}};
  }
};

TEST_F(Override, AFileForcesFromTheStartAndIsReadAgainOnSighup) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  ASSERT_NO_FATAL_FAILURE(PutFlag("ttft_pipeline", {{"enabled", true}}));
  ASSERT_NO_FATAL_FAILURE(PutFlag(
      "color", {{"variants", {{"blue", "#00f"}, {"red", "#f00"}}}, {"default_variant", "blue"}}));
  ASSERT_NO_FATAL_FAILURE(Write(
      fmt::format("flags: {{ttft_pipeline: off, color: red}}\npins: {{{}: \"1.1.0\"}}\n", kModel)));
  AddNode({.id = "forced", .control = "", .more = {"--override", file()}});
  const Node& forced = node(1);

  ASSERT_TRUE(WaitFor("override", [&] { return ReasonOf(forced, "color") == "OVERRIDE"; }));
  EXPECT_EQ(ReasonOf(forced, "ttft_pipeline"), "OVERRIDE");
  ASSERT_TRUE(WaitFor("the pin", [&] {
    return Infer(forced.api(), Requests()[0]).Header("x-weir-version") == "1.1.0";
  }));
  EXPECT_EQ(Infer(forced.api(), Requests()[0]).Header("x-weir-arm"), "pinned");
  const Answer color = forced.api().Post("/ofrep/v1/evaluate/flags/color", Json::object());
  EXPECT_EQ(color.json["value"], "#f00") << color;
  const std::string sentence = "flag ttft_pipeline is forced off by " + file();
  EXPECT_THAT(ForcedOn(forced), HasSubstr(sentence));
  EXPECT_TRUE(HasLine(forced, "weir_override_active 1"));
  EXPECT_THAT(forced.admin().Get("/metrics").text,
              HasSubstr("weir_feature_flags_rollout_percentage{feature=\"ttft_pipeline\"} 0\n"));
  ASSERT_TRUE(WaitFor("the control plane knows",
                      [&] { return RowOf(forced).find(sentence) != std::string::npos; }));

  const Node& free = node(0);
  EXPECT_EQ(ReasonOf(free, "ttft_pipeline"), "STATIC") << "one node only";
  EXPECT_EQ(Infer(free.api(), Requests()[0]).Header("x-weir-version"), "1.0.0");
  EXPECT_TRUE(HasLine(free, "weir_override_active 0"));
  EXPECT_EQ(RowOf(free), "[]");

  // An emergency goes over it, and ends as it came.
  ASSERT_NO_FATAL_FAILURE(SetKillSwitch(true));
  ASSERT_TRUE(WaitFor("killed", [&] { return ReasonOf(forced, "color") == "KILL_SWITCH"; }));
  EXPECT_TRUE(HasLine(forced, "weir_feature_flags_kill_switch{value=\"true\"} 1"));
  ASSERT_NO_FATAL_FAILURE(SetKillSwitch(false));
  ASSERT_TRUE(WaitFor("forced again", [&] { return ReasonOf(forced, "color") == "OVERRIDE"; }));

  ASSERT_NO_FATAL_FAILURE(Write("flags:\n  color: 12\n"));
  forced.Signal(SIGHUP);
  ASSERT_TRUE(WaitFor(
      "it says so", [&] { return ForcedOn(forced).find(":2: flags.color") != std::string::npos; }));
  EXPECT_EQ(ReasonOf(forced, "color"), "OVERRIDE") << "what stood before stands";
  EXPECT_EQ(forced.api().Get("/ready").status, 200);

  ASSERT_NO_FATAL_FAILURE(Write("flags: {ttft_pipeline: on}\n"));
  forced.Signal(SIGHUP);
  ASSERT_TRUE(WaitFor("read again", [&] { return ReasonOf(forced, "color") != "OVERRIDE"; }));
  EXPECT_EQ(ReasonOf(forced, "ttft_pipeline"), "OVERRIDE");
  ASSERT_TRUE(WaitFor("unpinned", [&] {
    return Infer(forced.api(), Requests()[0]).Header("x-weir-version") == "1.0.0";
  }));
  ASSERT_NO_FATAL_FAILURE(Write(""));
  forced.Signal(SIGHUP);
  ASSERT_TRUE(WaitFor("nothing", [&] { return HasLine(forced, "weir_override_active 0"); }));
  EXPECT_EQ(ForcedOn(forced), "[]");
  ASSERT_TRUE(WaitFor("nor known", [&] { return RowOf(forced) == "[]"; }));
}

TEST_F(Override, ABadFileAtStartIsRefusedWithFileLineAndKey) {
  ASSERT_NO_FATAL_FAILURE(Write("flags: {a: on}\npin: {m: \"1\"}\n"));
  Node bad(dir.path(),
           {.id = "bad", .control = "http://127.0.0.1:1", .more = {"--override", file()}});
  const Output output = RunProgram(bad.Arguments());
  EXPECT_EQ(output.exit_code, 2) << output.Text();
  EXPECT_THAT(output.err, HasSubstr(file() + ":2: pin"));
  EXPECT_THAT(output.err, HasSubstr("did you mean \"pins\""));
}

TEST_F(Override, OnlyTheBreakGlassTokenOnTheAdminAddressForces) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  AddNode(WithToken("guarded"));
  ASSERT_NO_FATAL_FAILURE(PutFlag("checkout", {{"enabled", true}}));
  const Node& guarded = node(1);
  ASSERT_TRUE(WaitFor("on", [&] { return ReasonOf(guarded, "checkout") == "STATIC"; }));

  const Answer disabled = Force(node(0), KillSwitch(true));
  EXPECT_EQ(disabled.status, 403) << "without the setting";
  EXPECT_THAT(disabled.text, HasSubstr("--break-glass-token-file"));
  EXPECT_EQ(guarded.admin().Post(kPath, KillSwitch(true)).status, 401);
  EXPECT_EQ(Force(guarded, KillSwitch(true), "break-glass-0123456788").status, 401);
  EXPECT_EQ(Force(guarded, KillSwitch(true), "").status, 401);
  EXPECT_EQ(guarded.admin().Get(kPath).status, 401);
  const Answer application = guarded.api().Call(
      "POST", kPath, KillSwitch(true).dump(), {{"Authorization", std::string("Bearer ") + kToken}});
  EXPECT_EQ(application.status, 404) << "not for applications";
  EXPECT_EQ(ReasonOf(guarded, "checkout"), "STATIC");

  const Answer wrong = Force(guarded, {{"emergency", {{"kill", true}}}, {"reason", "r"}});
  EXPECT_EQ(wrong.status, 400);
  EXPECT_THAT(wrong.text, HasSubstr("emergency.kill"));
  const Answer applied = Force(guarded, KillSwitch(true));
  ASSERT_EQ(applied.status, 200) << applied;
  EXPECT_EQ(applied.json["applied"], true);
  EXPECT_EQ(applied.json["kept"], true);
  EXPECT_LT(applied.json["took_ms"].get<double>(), 1000.0 * kSlowness);
  EXPECT_EQ(ReasonOf(guarded, "checkout"), "KILL_SWITCH") << "before it answered";
  EXPECT_EQ(ReasonOf(node(0), "checkout"), "STATIC") << "one node only";
}

TEST_F(Override, BreakGlassWorksWithNoControlPlaneAndNoSnapshotAndOutlivesARestart) {
  nodes.push_back(
      std::make_unique<Node>(dir.path(), NodeOptions{.id = "alone",
                                                     .control = "http://127.0.0.1:1",
                                                     .more = {"--break-glass-token", kToken}}));
  ASSERT_TRUE(node(0).Start().ok());
  const Answer applied = Force(node(0), KillSwitch(true));
  ASSERT_EQ(applied.status, 200) << applied;
  EXPECT_THAT(applied.json["overrides"].dump(), HasSubstr("kill switch on by hand since 20"));
  EXPECT_EQ(node(0).api().Get("/ready").status, 503) << "it still has no snapshot";
  EXPECT_TRUE(HasLine(node(0), "weir_kill_switch 1"));
  node(0).Kill9();
  ASSERT_TRUE(node(0).Start().ok());
  EXPECT_THAT(ForcedOn(node(0)), HasSubstr("INC-7"));
  EXPECT_TRUE(HasLine(node(0), "weir_kill_switch 1"));
  EXPECT_EQ(Ask(node(0), "GET").json["by_hand"]["emergency"]["kill_switch"]["reason"], "INC-7");
  EXPECT_EQ(Ask(node(0), "DELETE").status, 200);
  EXPECT_TRUE(HasLine(node(0), "weir_kill_switch 0"));
  EXPECT_EQ(ForcedOn(node(0)), "[]");
}

TEST_F(Override, ALocalEmergencyIsSeenUntilTheControlPlaneSaysTheSame) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(0));
  AddNode(WithToken("n1"));
  ASSERT_NO_FATAL_FAILURE(PutFlag("checkout", {{"enabled", true}}));
  ASSERT_TRUE(WaitFor("on", [&] { return ReasonOf(node(0), "checkout") == "STATIC"; }));
  control.Kill9();
  ASSERT_TRUE(WaitFor("stale", [&] { return node(0).api().Get("/ready").json["stale"] == true; }));
  ASSERT_EQ(Force(node(0), KillSwitch(true)).status, 200);
  EXPECT_EQ(ReasonOf(node(0), "checkout"), "KILL_SWITCH");
  EXPECT_THAT(ForcedOn(node(0)), testing::Not(HasSubstr("the control plane")));

  ASSERT_TRUE(control.Start().ok());
  ASSERT_TRUE(WaitFor("the control plane knows", [&] {
    return RowOf(node(0)).find("the control plane has it off") != std::string::npos;
  }));
  EXPECT_THAT(RowOf(node(0)), HasSubstr("kill switch on by hand since 20"));
  EXPECT_THAT(ForcedOn(node(0)), HasSubstr("the control plane has it off"));
  EXPECT_EQ(ReasonOf(node(0), "checkout"), "KILL_SWITCH") << "it stays while they differ";

  ASSERT_NO_FATAL_FAILURE(SetKillSwitch(true));
  ASSERT_TRUE(WaitFor("reconciled", [&] { return ForcedOn(node(0)) == "[]"; }));
  EXPECT_EQ(ReasonOf(node(0), "checkout"), "KILL_SWITCH") << "the control plane's own";
  ASSERT_TRUE(WaitFor("known", [&] { return RowOf(node(0)) == "[]"; }));
  EXPECT_THAT(ReadFile(node(0).process().log()).value(), HasSubstr("the control plane has it on"));
  ASSERT_NO_FATAL_FAILURE(SetKillSwitch(false));
  ASSERT_TRUE(WaitFor("on again", [&] { return ReasonOf(node(0), "checkout") == "STATIC"; }));
  EXPECT_TRUE(HasLine(node(0), "weir_override_active 0"));
}

TEST_F(Override, WhatIsForcedByHandGoesOverTheFileAndComesBackToIt) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(0));
  ASSERT_NO_FATAL_FAILURE(Write("flags: {checkout: off}\n"));
  NodeOptions options = WithToken("n1");
  options.more.insert(options.more.end(), {"--override", file()});
  AddNode(options);
  ASSERT_NO_FATAL_FAILURE(PutFlag("checkout", {{"enabled", true}}));
  const auto is_on = [&] {
    const Answer answer = node(0).api().Post("/ofrep/v1/evaluate/flags/checkout", Json::object());
    return answer.ok() && answer.json["value"] == true;
  };
  ASSERT_TRUE(WaitFor("known", [&] { return ReasonOf(node(0), "checkout") == "OVERRIDE"; }));
  EXPECT_FALSE(is_on());
  ASSERT_EQ(Force(node(0), {{"flags", {{"checkout", "on"}}}, {"reason", "INC-9"}}).status, 200);
  EXPECT_TRUE(is_on());
  EXPECT_THAT(ForcedOn(node(0)), HasSubstr("flag checkout is forced on by hand since 20"));
  ASSERT_EQ(Force(node(0), {{"flags", {{"checkout", nullptr}}}, {"reason", "over"}}).status, 200);
  EXPECT_FALSE(is_on());
  EXPECT_THAT(ForcedOn(node(0)), HasSubstr("flag checkout is forced off by " + file()));
}

}  // namespace
}  // namespace weir::integration
