// SPDX-License-Identifier: Apache-2.0
// `weir policy` as a person runs it: what it asks the admin API for, and what it makes of the
// answers. The API is played by the test, so that every state can be shown.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>

#include "shared/http/server.h"
#include "tests/integration/harness/cli.h"

namespace weir::integration {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const Json& Policy() {
  static const Json kPolicy = Json::parse(R"({
    "apiVersion": "weir/v1", "kind": "Policy",
    "metadata": {"name": "quick", "revision": 7, "updated_at": "2026-11-28T20:00:00.000Z",
                 "updated_by": "alice@host"},
    "spec": {"description": "answers are quick", "priority": 10, "dry_run": true,
             "selector": {"team": "risk"}, "cooldown": "1m", "max_executions": 5,
             "budget_window": "5m",
             "slos": [{"name": "p95", "metric": "p95_latency_ms", "comparison": "<=",
                       "threshold": 200, "window": "1m"},
                      {"name": "budget", "metric": "error_rate", "comparison": "<=",
                       "target": 0.999, "window": "30d"}],
             "remediations": [{"action": "shed_load", "share": 0.1, "slos": ["p95"],
                               "duration": "30s"}]},
    "status": {"state": "violated", "dry_run": true,
      "slos": [{"name": "p95", "model": "fraud_detection", "version": "1.1.0", "state": "violated",
                "severity": "high", "value": 412.7, "comparison": "<=", "threshold": 200,
                "samples": 1200, "since": "2026-11-28T20:00:00.000Z",
                "text": "p95_latency_ms is 413 ms; 200 ms is allowed"},
               {"name": "budget", "model": "fraud_detection", "state": "ok", "value": 0.4,
                "comparison": "<=", "threshold": 14.4, "samples": 90000,
                "since": "2026-11-28T19:00:00.000Z"}],
      "executor": {"state": "ready", "executions": 1, "max_executions": 5},
      "violations": 3, "remediations": 0, "dry_run_actions": 2,
      "suppressed": {"cooldown": 4, "budget": 0, "loop": 0, "outranked": 1},
      "last": [{"at": "2026-11-28T20:01:30.000Z", "action": "shed_load",
                "target": "fraud_detection", "slo": "p95", "result": "suppressed",
                "reason": "cooldown"},
               {"at": "2026-11-28T20:01:00.000Z", "action": "shed_load",
                "target": "fraud_detection", "slo": "p95", "result": "dry_run",
                "reason": "p95 above 200 ms", "revision": 0}]}})");
  return kPolicy;
}

// Answers from a list, and remembers what it was asked.
class FakeApi {
 public:
  FakeApi() {
    http::ServerOptions options;
    options.listen = "127.0.0.1:0";
    EXPECT_TRUE(server_
                    .Start(options,
                           [this](std::shared_ptr<http::Exchange> exchange) {
                             exchange->Respond(Answer(exchange->request()));
                           })
                    .ok());
  }
  ~FakeApi() { server_.Stop(); }
  std::string url() const { return "http://" + server_.address(); }
  // "GET /v1/policies {body}" → what is answered.
  void Set(const std::string& request, Json answer, int status = 200) {
    const std::lock_guard lock(mutex_);
    answers_[request] = {std::move(answer), status};
  }
  std::vector<std::string> asked() const {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

 private:
  http::Response Answer(const http::Request& request) {
    const std::lock_guard lock(mutex_);
    const std::string line = fmt::format("{} {}", request.method, request.target);
    asked_.push_back(request.body.empty() ? line : fmt::format("{} {}", line, request.body));
    http::Response response;
    const auto found = answers_.find(line);
    if (found == answers_.end()) {
      response.status = 404;
      response.body =
          R"({"title": "not found", "status": 404, "detail": "there is no such policy"})";
      return response;
    }
    response.status = found->second.second;
    response.body = found->second.first.dump();
    return response;
  }

  mutable std::mutex mutex_;  // the server's worker and the test meet here
  std::map<std::string, std::pair<Json, int>> answers_;
  std::vector<std::string> asked_;
  http::Server server_;
};

class PolicyCli : public testing::Test {
 protected:
  Output Weir(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {Program("weir"), "--server", fake_.url(), "policy"});
    return RunProgram(arguments, {{"XDG_CONFIG_HOME", dir_.path()}, {"NO_COLOR", "1"}});
  }
  fakes::TempDir dir_;
  FakeApi fake_;
};

TEST_F(PolicyCli, ListsWhetherObjectivesHoldAndWhatWasDoneLast) {
  fake_.Set("GET /v1/policies", {{"items", {Policy()}}});
  const Output output = Weir({"list"});
  EXPECT_EQ(output.exit_code, 0) << output.Text();
  EXPECT_THAT(
      output.out,
      AllOf(HasSubstr("NAME   STATE     MODE     OBJECTIVES  PRIORITY  LAST ACT"),
            HasSubstr("quick  violated  dry run  1/2 hold    10        shed_load dry_run")));
  EXPECT_EQ(Weir({"list", "-o", "name"}).out, "Policy/quick\n");
  EXPECT_EQ(Weir({"list", "-o", "json"}).Json()["items"][0], Policy());
}

TEST_F(PolicyCli, ShowsValuesBesideWhatMustHold) {
  fake_.Set("GET /v1/policies/quick", Policy());
  const Output output = Weir({"show", "quick"});
  EXPECT_EQ(output.exit_code, 0) << output.Text();
  for (const char* part :
       {"state          violated", "mode           dry run", "models         with team=risk",
        "objective      p95: p95_latency_ms <= 200 ms over 1m",
        "objective      budget: 99.9 % of requests good, by burn rates",
        "remediation    shed_load for 30s, only of p95",
        "counted        3 violations, 0 acts, 2 in dry run",
        "held back      4 by cooldown, 1 by outranked", "budget         1 of 5 acts used",
        "p95        fraud_detection 1.1.0  violated, high  412.7 ms     <= 200 ms",
        "budget     fraud_detection        ok              burns 0.4 x  <= burns 14.4 x",
        "p95_latency_ms is 413 ms; 200 ms is allowed", "p95 above 200 ms"})
    EXPECT_THAT(output.out, HasSubstr(part));
  EXPECT_EQ(Weir({"show", "quick", "-o", "json"}).Json(), Policy());
}

TEST_F(PolicyCli, SaysWhatSwitchesItOffOrMakesItRehearse) {
  Json policy = Policy();
  policy["spec"]["dry_run"] = false;  // the flag of all policies says otherwise
  fake_.Set("GET /v1/policies/quick", policy);
  EXPECT_THAT(Weir({"show", "quick"}).out, HasSubstr("mode           dry run"));
  policy["status"]["state"] = "disabled";
  policy["status"]["reason"] = "the flag qos_monitor is off";
  fake_.Set("GET /v1/policies/quick", policy);
  EXPECT_THAT(Weir({"show", "quick"}).out,
              HasSubstr("state          disabled: the flag qos_monitor is off"));
}

TEST_F(PolicyCli, AnOpenExecutorNamesTheCommandThatHelps) {
  Json open = Policy();
  open["status"]["executor"] = {{"state", "open"},
                                {"reason", "scale_up and scale_down in turn"},
                                {"since", "2026-11-28T20:05:00.000Z"}};
  fake_.Set("GET /v1/policies/quick", open);
  fake_.Set("GET /v1/policies", {{"items", {open}}});
  EXPECT_THAT(Weir({"show", "quick"}).out,
              AllOf(HasSubstr("EXECUTOR OPEN"), HasSubstr("scale_up and scale_down in turn"),
                    HasSubstr("weir policy reset quick")));
  EXPECT_THAT(Weir({"list"}).out, HasSubstr("executor OPEN"));
  fake_.Set("POST /v1/policies/quick/reset", Policy());
  const Output reset = Weir({"reset", "quick", "--reason", "mended"});
  EXPECT_EQ(reset.exit_code, 0) << reset.Text();
  EXPECT_THAT(reset.out, HasSubstr("policy/quick reset"));
  EXPECT_THAT(fake_.asked(),
              testing::Contains("POST /v1/policies/quick/reset {\"reason\":\"mended\"}"));
}

TEST_F(PolicyCli, ABacktestSaysWhatItWouldHaveSeenAndDone) {
  fake_.Set("GET /v1/policies/quick", Policy());
  fake_.Set("POST /v1/policies/quick/backtest",
            Json::parse(R"({"from": "2026-11-27T20:00:00.000Z", "to": "2026-11-28T20:00:00.000Z",
      "step_ms": 10000,
      "slos": [{"name": "p95", "model": "fraud_detection", "violations": 2, "violated_ms": 90000,
                "first_at": "2026-11-28T03:12:40.000Z", "worst": 618},
               {"name": "budget", "model": "fraud_detection", "violations": 0, "first_at": null,
                "violated_ms": 0, "worst": 1.25}],
      "actions": [{"at": "2026-11-28T03:12:40.000Z", "action": "shed_load",
                   "target": "fraud_detection", "slo": "p95", "value": 618, "result": "acted"}]})"));
  const Output output = Weir({"backtest", "quick", "--since", "24h"});
  EXPECT_EQ(output.exit_code, 0) << output.Text();
  EXPECT_THAT(
      output.out,
      AllOf(HasSubstr("2026-11-27T20:00:00.000Z to 2026-11-28T20:00:00.000Z, every 10s"),
            HasSubstr("p95        fraud_detection  2           90s  2026-11-28T03:12:40.000Z"
                      "  618 ms"),
            HasSubstr("burns 1.25 x"), HasSubstr("shed_load")));
  EXPECT_THAT(fake_.asked(),
              testing::Contains("POST /v1/policies/quick/backtest {\"since\":\"24h\"}"));
  const Output span = Weir({"backtest", "quick", "--from", "2026-11-27T20:00:00Z", "-o", "json"});
  EXPECT_EQ(span.Json()["step_ms"], 10000);
}

TEST_F(PolicyCli, SwitchesChangeOneFieldWithAReason) {
  Json acting = Policy();
  acting["spec"]["dry_run"] = false;
  acting["status"]["dry_run"] = false;
  const std::string patch = "PATCH /v1/policies/quick?reason=a%20quiet%20week";
  fake_.Set(patch, acting);
  const Output output = Weir({"dry-run", "quick", "off", "--reason", "a quiet week"});
  EXPECT_EQ(output.exit_code, 0) << output.Text();
  EXPECT_EQ(output.out, "policy/quick: acts\n");
  EXPECT_EQ(Weir({"disable", "quick", "--reason", "a quiet week"}).exit_code, 0);
  EXPECT_EQ(Weir({"enable", "quick", "--reason", "a quiet week"}).exit_code, 0);
  EXPECT_THAT(fake_.asked(), ElementsAre(patch + " {\"spec\":{\"dry_run\":false}}",
                                         patch + " {\"spec\":{\"enabled\":false}}",
                                         patch + " {\"spec\":{\"enabled\":true}}"));
}

TEST_F(PolicyCli, WhatIsWrongHasItsExitCode) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> usage = {
      {{"dry-run", "quick", "maybe"}, "maybe"},
      {{"backtest", "quick", "--since", "yesterday"}, "--since"},
      {{"backtest", "quick", "--since", "0s"}, "--since"},
      {{"backtest", "quick", "--to", "2026-11-27T20:00:00Z"}, "needs --from"},
      {{"backtest", "quick", "--from", "noon"}, "--from"},
      {{"backtest", "quick", "--from", "2026-11-27T20:00:00Z", "--to", "2026-11-26T20:00:00Z"},
       "is not after --from"},
      {{"lst"}, "did you mean \"list\""},
      {{"show"}, "name"}};
  for (const auto& [arguments, message] : usage) {
    const Output output = Weir(arguments);
    EXPECT_EQ(output.exit_code, 2) << output.Text();
    EXPECT_EQ(output.out, "") << output.Text();
    EXPECT_THAT(output.err, HasSubstr(message)) << output.Text();
  }
  EXPECT_THAT(fake_.asked(), ElementsAre()) << "nothing was asked";
  const Output absent = Weir({"show", "slow"});
  EXPECT_EQ(absent.exit_code, 1) << absent.Text();
  EXPECT_THAT(absent.err, HasSubstr("there is no such policy"));
  const Output away =
      RunProgram({Program("weir"), "--server", "http://127.0.0.1:1", "policy", "list"}, {});
  EXPECT_EQ(away.exit_code, 3) << away.Text();
}

}  // namespace
}  // namespace weir::integration
