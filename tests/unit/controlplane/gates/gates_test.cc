// SPDX-License-Identifier: Apache-2.0
#include "controlplane/gates/gates.h"

#include <gtest/gtest.h>

#include <atomic>

#include "shared/base/text.h"
#include "shared/http/server.h"
#include "tests/fakes/mailbox.h"
#include "tests/fakes/temp_dir.h"

namespace weir::control::gates {
namespace {

class GatesTest : public testing::Test {
 protected:
  GatesTest() {
    model_.kind = domain::Kind::kModel;
    model_.name = "fraud";
    model_.spec = domain::ModelSpec{.stable = "1.0.0"};
    rollout_.kind = domain::Kind::kRollout;
    rollout_.name = "r";
    domain::RolloutSpec spec;
    spec.model = "fraud";
    spec.candidate = "1.1.0";
    spec.phases = {{.name = "canary", .percentage = 2.5, .rollback = {}},
                   {.name = "all", .percentage = 100, .rollback = {}}};
    rollout_.spec = spec;
    rollout_.status.emplace();
    rollout_.status->state = "progressing";
    rollout_.status->entered = {{1000}};
  }
  void Make() {
    gates_ = std::make_unique<Gates>(GatesOptions{
        clock_, core_,
        [this](domain::Kind kind, const std::string&) {
          return kind == domain::Kind::kModel ? &model_ : exists_ ? &rollout_ : nullptr;
        },
        allowed_, [] { return std::string("http://127.0.0.1:7080"); }});
  }
  domain::Gate& gate() {
    auto& gates = rollout_.As<domain::RolloutSpec>().phases[0].gates;
    if (gates.empty()) gates.emplace_back();
    return gates[0];
  }
  void UseCommand(const std::string& body) {
    const std::string path = dir_.path() + "/test";
    ASSERT_TRUE(WriteFileAtomic(path, "#!/bin/sh\n" + body, 0755).ok());
    gate().type = "automated_test";
    gate().command = {path};
    allowed_ = {dir_.path()};
    Make();
  }
  rollout::GateState Ask() { return gates_->Ask(rollout_, 0, 0, 0); }
  // The next attempt, to its end.
  rollout::GateState AskAndWait() {
    Ask();
    EXPECT_TRUE(core_.RunAll(1));
    return Ask();
  }
  uint64_t Attempts() {
    const auto text = ReadFile(dir_.path() + "/attempts");
    return text.ok() ? Split(*text, '\n').size() - 1 : 0;
  }

  fakes::TempDir dir_;
  fakes::Mailbox core_;
  ManualClock clock_;
  domain::Resource model_;
  domain::Resource rollout_;
  bool exists_ = true;
  std::vector<std::string> allowed_;
  std::unique_ptr<Gates> gates_;
};

TEST_F(GatesTest, ACommandIsTriedAgainUntilItPassesAndThenNoMore) {
  UseCommand("cd " + dir_.path() +
             "; echo x >> attempts; [ $(wc -l < attempts) -ge 3 ] && exit 0; echo not yet; exit 7");
  EXPECT_EQ(Ask().reason, "the first attempt is under way");
  ASSERT_TRUE(core_.RunAll(1));
  rollout::GateState state = Ask();
  EXPECT_FALSE(state.passed);
  EXPECT_FALSE(state.failed);
  EXPECT_EQ(state.reason, "attempt 1: exit code 7 (tried every 1m): not yet");
  clock_.AdvanceMs(59'999);
  Ask();
  EXPECT_EQ(Attempts(), 1u) << "not due";
  clock_.AdvanceMs(1);
  EXPECT_EQ(AskAndWait().reason, "attempt 2: exit code 7 (tried every 1m): not yet");
  clock_.AdvanceMs(60'000);
  state = AskAndWait();
  EXPECT_TRUE(state.passed);
  EXPECT_EQ(state.reason, "attempt 3: exit code 0");
  clock_.AdvanceMs(600'000);
  EXPECT_TRUE(Ask().passed);
  ASSERT_TRUE(core_.RunAll(0));
  EXPECT_EQ(Attempts(), 3u);
}

TEST_F(GatesTest, ACommandKnowsWhatItTests) {
  UseCommand(
      "echo $WEIR_ROLLOUT $WEIR_PHASE $WEIR_SUBJECT $WEIR_CANDIDATE $WEIR_STABLE "
      "$WEIR_PERCENTAGE $WEIR_API; exit 1");
  EXPECT_EQ(AskAndWait().reason,
            "attempt 1: exit code 1 (tried every 1m): r canary model/fraud 1.1.0 1.0.0 2.5 "
            "http://127.0.0.1:7080");
}

TEST_F(GatesTest, ACommandThatHangsIsKilledAndSaysSo) {
  UseCommand("echo waiting; sleep 300");
  gate().timeout.ms = 200;
  EXPECT_EQ(AskAndWait().reason, "attempt 1: killed after 200ms (tried every 1m): waiting");
}

TEST_F(GatesTest, ARefusalNamesTheSetting) {
  UseCommand("true");
  allowed_.clear();
  Make();
  const rollout::GateState state = AskAndWait();
  EXPECT_FALSE(state.passed);
  EXPECT_FALSE(state.failed);
  EXPECT_NE(state.reason.find("gate_commands"), std::string::npos) << state.reason;
}

TEST_F(GatesTest, AnotherSpecAndAnotherEntryOfThePhaseAskAnew) {
  UseCommand("echo x >> " + dir_.path() + "/attempts");
  EXPECT_TRUE(AskAndWait().passed);
  rollout_.As<domain::RolloutSpec>().description = "changed";
  EXPECT_FALSE(Ask().passed);
  ASSERT_TRUE(core_.RunAll(1));
  EXPECT_TRUE(Ask().passed);
  EXPECT_EQ(Attempts(), 2u);
  rollout_.status->entered[0].ms = 2000;
  EXPECT_FALSE(Ask().passed);
  ASSERT_TRUE(core_.RunAll(1));
  EXPECT_TRUE(Ask().passed);
  rollout_.revision = 77;  // an approval, say
  EXPECT_TRUE(Ask().passed);
}

TEST_F(GatesTest, WhatTheOldSpecFoundIsNotTakenForTheNew) {
  UseCommand("true");
  Ask();
  rollout_.As<domain::RolloutSpec>().description = "changed";
  gate().type = "prometheus";
  gate().url = "http://127.0.0.1:1";
  gate().query = "up";
  gate().condition = "> 0";
  Ask();
  ASSERT_TRUE(core_.RunAll(2));
  EXPECT_FALSE(Ask().passed) << Ask().reason;
}

TEST_F(GatesTest, ARolloutThatEndsTakesItsCommandsWithIt) {
  UseCommand("echo x >> " + dir_.path() + "/attempts; exec sleep 300");
  gate().timeout.ms = 300'000;
  Ask();
  const int64_t end_ms = Clock::System().MonotonicMs() + 10'000;
  while (Attempts() == 0 && Clock::System().MonotonicMs() < end_ms) std::this_thread::yield();
  gates_->Tick();  // still wanted
  rollout_.status->state = "aborted";
  gates_->Tick();
  EXPECT_TRUE(core_.RunAll(1)) << "the command was killed";
}

TEST_F(GatesTest, StopKillsWhatRuns) {
  UseCommand("echo x >> " + dir_.path() + "/attempts; exec sleep 300");
  gate().timeout.ms = 300'000;
  Ask();
  const int64_t end_ms = Clock::System().MonotonicMs() + 10'000;
  while (Attempts() == 0 && Clock::System().MonotonicMs() < end_ms) std::this_thread::yield();
  const int64_t before_ms = Clock::System().MonotonicMs();
  gates_.reset();
  EXPECT_LT(Clock::System().MonotonicMs() - before_ms, 5000);
}

TEST_F(GatesTest, AnAddressPassesWhenItAnswers2xx) {
  std::atomic<int> status{503};
  http::Server server;
  ASSERT_TRUE(server
                  .Start({},
                         [&](const std::shared_ptr<http::Exchange>& exchange) {
                           const bool is_right = exchange->request().target == "/check?deep=1";
                           exchange->Respond({.status = is_right ? status.load() : 404,
                                              .headers = {},
                                              .body = "db is away",
                                              .content_type = "text/plain"});
                         })
                  .ok());
  gate().type = "automated_test";
  gate().url = "http://" + server.address() + "/check?deep=1";
  gate().every.ms = 5000;
  Make();
  EXPECT_EQ(AskAndWait().reason, "attempt 1: status 503 (tried every 5s): db is away");
  status = 204;
  clock_.AdvanceMs(5000);
  const rollout::GateState state = AskAndWait();
  EXPECT_TRUE(state.passed) << state.reason;
  server.Stop();
}

TEST_F(GatesTest, PrometheusIsAskedEvery15sAndMayCloseAgain) {
  std::atomic<int> value{1};
  std::atomic<int> asked{0};
  http::Server server;
  ASSERT_TRUE(server
                  .Start({},
                         [&](const std::shared_ptr<http::Exchange>& exchange) {
                           ++asked;
                           const bool is_right =
                               exchange->request().path == "/prom/api/v1/query" &&
                               exchange->request().Query("query") == "sum(rate(x[1m])) > 0";
                           exchange->Respond(
                               {.status = is_right ? 200 : 404,
                                .headers = {},
                                .body = R"({"status":"success","data":{"resultType":"scalar",)"
                                        R"("result":[1,")" +
                                        std::to_string(value.load()) + "\"]}}",
                                .content_type = ""});
                         })
                  .ok());
  gate().type = "prometheus";
  gate().url = "http://" + server.address() + "/prom";
  gate().query = "sum(rate(x[1m])) > 0";
  gate().condition = ">= 1";
  Make();
  EXPECT_TRUE(AskAndWait().passed);
  value = 0;
  clock_.AdvanceMs(14'999);
  EXPECT_TRUE(Ask().passed);
  EXPECT_EQ(asked, 1);
  clock_.AdvanceMs(1);
  EXPECT_EQ(AskAndWait().reason, "the value is 0, required >= 1");
  value = 1;
  clock_.AdvanceMs(15'000);
  EXPECT_TRUE(AskAndWait().passed);
  clock_.AdvanceMs(3'600'000);  // paused
  EXPECT_FALSE(Ask().passed) << "what it said an hour ago says nothing of now";
  ASSERT_TRUE(core_.RunAll(1));
  EXPECT_TRUE(Ask().passed);
  server.Stop();
  clock_.AdvanceMs(15'000);
  const rollout::GateState away = AskAndWait();
  EXPECT_FALSE(away.passed || away.failed);
  EXPECT_EQ(away.reason.find("Prometheus: 127.0.0.1:"), 0u) << away.reason;
}

TEST_F(GatesTest, TimeIsAnsweredAtOnce) {
  gate().type = "time_based";
  gate().duration.ms = 5000;
  Make();
  EXPECT_EQ(gates_->Ask(rollout_, 0, 0, 1000).reason, "4s more of 5s");
  EXPECT_TRUE(gates_->Ask(rollout_, 0, 0, 5000).passed);
}

}  // namespace
}  // namespace weir::control::gates
