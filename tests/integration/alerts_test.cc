// SPDX-License-Identifier: Apache-2.0
// Alerts as a person meets them: listed, acknowledged, silenced, over restarts; and as other
// programs get them: a real Alertmanager, a command, a webhook.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "controlplane/alert/desk.h"
#include "controlplane/notify/notifier.h"
#include "tests/fakes/mailbox.h"
#include "tests/fakes/receiver.h"
#include "tests/integration/harness/cli.h"

namespace weir::integration {
namespace {

using fakes::Receiver;

constexpr char kAlertmanager[] = "/usr/bin/prometheus-alertmanager";

class Alertmanager {
 public:
  explicit Alertmanager(const std::string& dir)
      : address_(fmt::format("127.0.0.1:{}", FreePort())), process_(dir + "/alertmanager.log") {
    const std::string config = dir + "/alertmanager.yml";
    EXPECT_TRUE(
        WriteFileAtomic(config, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n").ok());
    const Status started = process_.Start(
        {kAlertmanager, "--config.file=" + config, "--storage.path=" + dir + "/alertmanager",
         "--web.listen-address=" + address_, "--cluster.listen-address="});
    EXPECT_TRUE(started.ok()) << started.ToString();
    EXPECT_TRUE(WaitFor("Alertmanager is ready", [&] {
      return Api(address_).Get("/-/ready").status == 200;
    })) << process_.Tail();
  }
  std::string url() const { return "http://" + address_; }
  // Those that are active there, of that name.
  std::vector<Json> Active(const std::string& name) const {
    std::vector<Json> found;
    const Answer answer = Api(address_).Get("/api/v2/alerts");
    for (const Json& alert : answer.json) {
      if (alert["labels"]["alertname"] == name) found.push_back(alert);
    }
    return found;
  }
  std::string Tail() const { return process_.Tail(); }

 private:
  const std::string address_;
  Process process_;
};

#define SKIP_WITHOUT_ALERTMANAGER()       \
  if (::access(kAlertmanager, X_OK) != 0) \
  GTEST_SKIP() << "NOT TESTED: " << kAlertmanager << " is missing; ops/deps installs it"

class Alerts : public CliTest {
 protected:
  // A rollout whose canary is slower than a limit that nothing keeps, which alerts and no more.
  void StartSlowRollout() {
    const Json trigger = {{"name", "slow"},      {"metric", "p95_latency_ms"}, {"comparison", ">"},
                          {"threshold", 0.0001}, {"severity", "warning"},      {"do", "alert"}};
    ASSERT_EQ(
        PutRollout(api(), RolloutResource("slow", "1.1.0", {{.percentage = 50, .duration = "1h"}},
                                          {{"triggers", {trigger}}}))
            .status,
        201);
  }
  Json Listed(const std::string& query = "") {
    return api().Get("/v1/alerts" + query).json.value("items", Json::array());
  }
  // The state of the alert a1; "" while there is none.
  std::string State() {
    for (const Json& alert : Listed("?state=all")) {
      if (alert["id"] == "a1") return alert["state"];
    }
    return "";
  }
  bool Shows(const std::vector<std::string>& command, const std::string& text) {
    return Weir(command).out.find(text) != std::string::npos;
  }
};

TEST_F(Alerts, ARolloutsAlertIsListedAcknowledgedSilencedAndSurvivesARestart) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  EXPECT_TRUE(Shows({"alert", "list"}, "no alerts are open"));
  Receiver hook;
  ASSERT_EQ(PutSink("hook", {{"url", hook.url()}, {"events", {"rollout_alert"}}}).status, 201);
  Traffic traffic(Addresses(), 300);
  ASSERT_NO_FATAL_FAILURE(StartSlowRollout());
  ASSERT_TRUE(WaitFor("it fires", [&] { return State() == "firing"; }));
  const Json alert = Listed().at(0);
  EXPECT_EQ(alert["policy"], "rollout/slow");
  EXPECT_EQ(alert["slo"], "slow");
  EXPECT_EQ(alert["model"], "fraud_detection");
  EXPECT_EQ(alert["version"], "1.1.0");
  EXPECT_EQ(alert["severity"], "warning");
  EXPECT_TRUE(Shows({"alert", "list"}, "rollout/slow/slow fraud_detection 1.1.0"));
  EXPECT_TRUE(Shows({"status"}, "weir alert ack a1")) << Weir({"status"}).Text();

  const Output mistyped = Weir({"alert", "ack", "a2"});
  EXPECT_EQ(mistyped.exit_code, 1);
  EXPECT_NE(mistyped.err.find("there is no open alert \"a2\" (did you mean \"a1\"?)"),
            std::string::npos)
      << mistyped.Text();
  const Output acked = Weir({"alert", "ack", "a1", "--reason", "a rehearsal"});
  EXPECT_EQ(acked.exit_code, 0) << acked.Text();
  EXPECT_NE(acked.out.find("alert a1 (rollout/slow/slow fraud_detection 1.1.0) is acknowledged by"),
            std::string::npos)
      << acked.Text();
  EXPECT_EQ(Listed()[0]["reason"], "a rehearsal");
  EXPECT_NE(api()
                .Get("/metrics")
                .text.find("weir_alerts{severity=\"warning\",state=\"acknowledged\"} 1\n"),
            std::string::npos);

  ASSERT_EQ(control.Stop(), 0);
  ASSERT_TRUE(control.Start().ok());
  EXPECT_EQ(State(), "acknowledged");
  EXPECT_EQ(Listed()[0]["started_at"], alert["started_at"]);
  // The rollout says it anew; who was told once is not told of what somebody looks after.
  ASSERT_TRUE(WaitFor("the rollout warns again", [&] {
    const Json events = api().Get("/v1/events?follow=false&since=0").json.value("items", Json());
    return std::any_of(events.begin(), events.end(), [](const Json& event) {
      return event["type"] == "rollout_alert" && event["data"].contains("acknowledged_by");
    });
  }));
  const Json status = api().Get("/v1/sinks/hook").json["status"];
  EXPECT_EQ(status["waiting"], 0) << status;
  EXPECT_EQ(status["delivered"], 0) << status;
  EXPECT_EQ(hook.posts().size(), 1u);

  const Output silenced =
      Weir({"alert", "silence", "--policy", "rollout/slow", "--for", "2h", "--name", "quiet"});
  EXPECT_EQ(silenced.exit_code, 0) << silenced.Text();
  EXPECT_NE(silenced.out.find("which fits 1 open alert"), std::string::npos) << silenced.Text();
  ASSERT_TRUE(WaitFor("it is silenced", [&] { return State() == "silenced"; }));
  EXPECT_EQ(Listed()[0]["silenced_by"], "quiet");
  EXPECT_TRUE(Shows({"alert", "silences"}, "policy=rollout/slow"));
  EXPECT_EQ(Weir({"alert", "unsilence", "quite"}).exit_code, 1);
  EXPECT_EQ(Weir({"alert", "unsilence", "quiet"}).exit_code, 0);
  ASSERT_TRUE(WaitFor("it no longer is", [&] { return State() == "acknowledged"; }));

  ASSERT_TRUE(api().Post("/v1/rollouts/slow/abort", {{"reason", "enough"}}).ok());
  ASSERT_TRUE(WaitFor("it ends with its rollout", [&] { return State() == "resolved"; }));
  EXPECT_TRUE(Listed().empty());
  EXPECT_TRUE(Shows({"alert", "list", "--all"}, "resolved"));
  EXPECT_EQ(api().Post("/v1/alerts/a1/ack", Json::object()).status, 409) << "it has ended";
}

TEST_F(Alerts, WrongQuestionsAreAnsweredWithWhatIsAllowed) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(0));
  for (const auto& [query, says] :
       {std::pair("?state=fireing", "did you mean \\\"firing\\\"?"),
        std::pair("?severity=urgent", "info, warning, high, critical"),
        std::pair("?limit=0", "0 is not in 1..1000"), std::pair("?limit=x", "limit"),
        std::pair("?policies=x", "policies")}) {
    const Answer answer = api().Get(std::string("/v1/alerts") + query);
    EXPECT_EQ(answer.status, 400) << query;
    EXPECT_NE(answer.text.find(says), std::string::npos) << answer.text;
  }
  EXPECT_EQ(api().Get("/v1/alerts?severity=medium&state=all").status, 200);
  EXPECT_EQ(api().Post("/v1/alerts/a1/ack", Json::object()).status, 404);
  EXPECT_EQ(api().Post("/v1/alerts/a1/ack", {{"reson", "x"}}).status, 400);
  const Output nothing = Weir({"alert", "silence", "--for", "2h"});
  EXPECT_EQ(nothing.exit_code, 2);
  EXPECT_NE(nothing.err.find("what is to be silent?"), std::string::npos) << nothing.Text();
  EXPECT_EQ(Weir({"alert", "silence", "--policy", "p", "--for", "never"}).exit_code, 2);
  EXPECT_EQ(Weir({"alert", "silence", "--severity", "urgent", "--for", "1h"}).exit_code, 2);
  EXPECT_EQ(Weir({"alert", "list", "--state", "loud"}).exit_code, 2);
  const Output named = Weir({"alert", "silence", "--policy", "check out", "--slo", "p99", "--for",
                             "90m", "--reason", "load test"});
  EXPECT_EQ(named.exit_code, 0) << named.Text();
  EXPECT_EQ(named.out.rfind("Silence/check-out-p99-until-20", 0), 0u) << named.Text();
  EXPECT_NE(named.out.find("which fits no alert that is open now"), std::string::npos);
  EXPECT_NE(Weir({"alert", "silences"}).out.find("load test"), std::string::npos);
}

TEST_F(Alerts, ACommandOfTheAllowListIsToldAndAnyOtherIsNot) {
  const std::string out = dir.path() + "/told";
  const std::string script = dir.path() + "/page";
  ASSERT_TRUE(
      WriteFileAtomic(script, "#!/bin/sh\necho \"$WEIR_ALERT_SEVERITY $1\" > " + out + "\n", 0755)
          .ok());
  control.more = {"--gate-command", script};
  ASSERT_NO_FATAL_FAILURE(StartCluster(0));
  ASSERT_EQ(PutSink("page", {{"format", "exec"}, {"command", {script, "now"}}}).status, 201);
  ASSERT_EQ(PutSink("evil", {{"format", "exec"}, {"command", {"/bin/echo"}}}).status, 201);
  ASSERT_EQ(PutSink("book", {{"format", "log"}, {"team", "risk"}}).status, 201);
  const Output told = Weir({"sink", "test", "page"});
  EXPECT_EQ(told.exit_code, 0) << told.Text();
  EXPECT_EQ(*ReadFile(out), "info now\n");
  const Output refused = Weir({"sink", "test", "evil"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.out.find("gate_commands"), std::string::npos) << refused.Text();
  EXPECT_EQ(Weir({"sink", "test", "book"}).exit_code, 0);
  EXPECT_NE(control.process().Tail(1000).find("[info] for risk this is a test of the sink book"),
            std::string::npos);
}

TEST_F(Alerts, AnAlertmanagerHasWhatHappens) {
  SKIP_WITHOUT_ALERTMANAGER();
  ASSERT_NO_FATAL_FAILURE(StartCluster(0));
  const Alertmanager manager(dir.path());
  ASSERT_EQ(PutSink("am", {{"format", "alertmanager"}, {"url", manager.url()}}).status, 201);
  const Output tested = Weir({"sink", "test", "am"});
  EXPECT_EQ(tested.exit_code, 0) << tested.Text();
  ASSERT_TRUE(
      api().Patch("/v1/emergency/default?reason=fire", {{"spec", {{"freeze", true}}}}).ok());
  ASSERT_TRUE(WaitFor("it is active there", [&] {
    return manager.Active("weir_emergency").size() == 1;
  })) << manager.Tail();
  EXPECT_EQ(manager.Active("weir_emergency")[0]["labels"]["severity"], "critical");
}

// From an observation to somebody's server, with a desk and a notifier but no control plane.
class Delivery : public testing::Test {
 protected:
  void PutSink(const std::string& name, domain::SinkSpec spec) {
    domain::Resource sink;
    sink.kind = domain::Kind::kSink;
    sink.name = name;
    sink.spec = std::move(spec);
    resources_[name] = std::move(sink);
  }
  void ForEach(domain::Kind kind, const std::function<void(const domain::Resource&)>& visit) {
    for (const auto& [name, resource] : resources_) {
      if (resource.kind == kind) visit(resource);
    }
  }
  // One look of an evaluator; then what is to be told is told.
  void Observe(const std::string& severity, size_t told) {
    control::alert::Observation observation;
    observation.policy = "checkout";
    observation.slo = "p99_latency_ms";
    observation.model = "fraud_detection";
    observation.version = "1.2.0";
    observation.is_firing = !severity.empty();
    observation.severity = severity;
    observation.summary = "p99_latency_ms of fraud_detection is 740, allowed are 500";
    observation.runbook_url = "https://wiki.example.org/p99";
    observation.value = 740;
    observation.threshold = 500;
    desk_.Observe(observation, Now());
    Tick(told);
  }
  void Tick(size_t told) {
    desk_.Tick(Now());
    for (size_t i = 0; i < told; ++i) ASSERT_TRUE(core_.RunAll(1)) << "nobody was told";
  }
  static control::alert::Moment Now() {
    return {Clock::System().MonotonicMs(), Clock::System().WallMs()};
  }

  fakes::TempDir dir_;
  fakes::Mailbox core_;
  std::map<std::string, domain::Resource> resources_;
  control::notify::Notifier notifier_{
      {Clock::System(), core_,
       [this](domain::Kind, const std::string& name) {
         const auto found = resources_.find(name);
         return found == resources_.end() ? nullptr : &found->second;
       },
       [this](domain::Kind kind, const auto& visit) { ForEach(kind, visit); }}};
  control::alert::Desk desk_{
      {[this](domain::Kind kind, const auto& visit) { ForEach(kind, visit); },
       [](const std::vector<control::store::AlertRow>&) { return OkStatus(); },
       [this](const control::alert::Telling& telling) {
         notifier_.Tell(telling.sink,
                        {telling.id, "alert", Clock::System().WallMs(), telling.data});
       },
       [](const Json&) {}}};
};

TEST_F(Delivery, AnAlertmanagerShowsItWhileItFiresAndForgetsItWhenItEnds) {
  SKIP_WITHOUT_ALERTMANAGER();
  const Alertmanager manager(dir_.path());
  PutSink("am", {.url = manager.url(), .format = "alertmanager", .team = "risk"});
  ASSERT_NO_FATAL_FAILURE(Observe("high", 1));
  ASSERT_EQ(notifier_.Counts().at("am").delivered, 1u) << notifier_.StatusOf("am");
  const std::vector<Json> active = manager.Active("p99_latency_ms");
  ASSERT_EQ(active.size(), 1u) << manager.Tail();
  EXPECT_EQ(active[0]["labels"], (Json{{"alertname", "p99_latency_ms"},
                                       {"severity", "high"},
                                       {"policy", "checkout"},
                                       {"model", "fraud_detection"},
                                       {"version", "1.2.0"},
                                       {"team", "risk"}}));
  EXPECT_EQ(active[0]["annotations"]["runbook_url"], "https://wiki.example.org/p99");
  EXPECT_EQ(active[0]["annotations"]["summary"],
            "p99_latency_ms of fraud_detection is 740, allowed are 500");
  ASSERT_NO_FATAL_FAILURE(Observe("high", 0));
  ASSERT_NO_FATAL_FAILURE(Observe("", 1));
  EXPECT_TRUE(WaitFor("it has ended there", [&] {
    return manager.Active("p99_latency_ms").empty();
  })) << manager.Tail();
}

TEST_F(Delivery, PagerDutyOpensAcknowledgesAndClosesOneIncident) {
  Receiver pagerduty;
  pagerduty.AnswerWith(202, R"({"status":"success"})");
  const std::string key = dir_.path() + "/key";
  ASSERT_TRUE(WriteFileAtomic(key, "R0UT1NG\n").ok());
  PutSink("pager", {.url = pagerduty.url() + "/v2/enqueue",
                    .format = "pagerduty",
                    .min_severity = "high",
                    .secret_file = key});
  ASSERT_NO_FATAL_FAILURE(Observe("warning", 0));
  ASSERT_NO_FATAL_FAILURE(Observe("critical", 1));
  ASSERT_TRUE(desk_.Acknowledge("a1", "alice", "", Now().wall_ms).ok());
  ASSERT_NO_FATAL_FAILURE(Tick(1));
  ASSERT_NO_FATAL_FAILURE(Observe("", 1));
  std::vector<std::string> actions;
  std::set<std::string> keys;
  for (const auto& post : pagerduty.posts()) {
    const Json event = Json::parse(post.body);
    actions.push_back(event["event_action"]);
    keys.insert(event["dedup_key"]);
    EXPECT_EQ(event["routing_key"], "R0UT1NG");
    EXPECT_EQ(event["payload"]["severity"], "critical");
  }
  EXPECT_EQ(actions, (std::vector<std::string>{"trigger", "acknowledge", "resolve"}));
  EXPECT_EQ(keys.size(), 1u);
}

TEST_F(Delivery, AWebhookHearsOfAPolicyInOneNotice) {
  Receiver hook;
  PutSink("hook", {.url = hook.url()});
  ASSERT_NO_FATAL_FAILURE(Observe("warning", 1));
  const Json body = Json::parse(hook.posts().at(0).body);
  EXPECT_EQ(body["type"], "alert");
  EXPECT_EQ(body["severity"], "warning");
  EXPECT_EQ(body["summary"],
            "firing: checkout/p99_latency_ms of fraud_detection 1.2.0: p99_latency_ms of "
            "fraud_detection is 740, allowed are 500");
  EXPECT_EQ(body["data"]["alerts"][0]["id"], "a1");
}

}  // namespace
}  // namespace weir::integration
