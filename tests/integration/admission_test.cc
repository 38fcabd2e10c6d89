// SPDX-License-Identifier: Apache-2.0
// What nodes let in: a Limit that people apply, what policies lay over it, and that both end.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "shared/http/client.h"
#include "tests/integration/harness/cli.h"
#include "tests/integration/harness/service.h"

namespace weir::integration {
namespace {

using testing::HasSubstr;

// So many clients that ask one after the other, each as a user of its own, as fast as they can.
class Crowd {
 public:
  struct Counts {
    uint64_t served = 0;
    uint64_t shed = 0;  // 429
    uint64_t other = 0;
    std::string last_shed, last_other;
    bool every_shed_says_when = true;
    std::vector<bool> is_served;  // of each client, its last answer
  };
  Crowd(std::string address, int clients) : address_(std::move(address)) {
    counts_.is_served.resize(static_cast<size_t>(clients));
    for (int i = 0; i < clients; ++i) threads_.emplace_back([this, i] { Ask(i); });
  }
  ~Crowd() { Stop(); }
  Counts counts() const {
    const std::lock_guard lock(mutex_);
    return counts_;
  }
  void Mark() {
    const std::lock_guard lock(mutex_);
    counts_.served = counts_.shed = counts_.other = 0;
  }
  Counts Stop() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    return counts();
  }

 private:
  void Ask(int client) {
    http::Client http("http://" + address_);
    const std::vector<http::Header> headers = {{"x-user-id", fmt::format("user-{}", client)}};
    while (!stop_) {
      const auto answer =
          http.Do("POST", fmt::format("/v2/models/{}/infer", kModel), headers, Requests()[0]);
      const std::lock_guard lock(mutex_);
      const bool served = answer.ok() && answer->status == 200;
      counts_.is_served[static_cast<size_t>(client)] = served;
      if (served) {
        ++counts_.served;
      } else if (answer.ok() && answer->status == 429) {
        ++counts_.shed;
        counts_.last_shed = answer->body;
        counts_.every_shed_says_when &=
            !answer->Header("Retry-After").empty() && !answer->Header("retry-after-ms").empty();
      } else {
        ++counts_.other;
        counts_.last_other = answer.ok() ? answer->body : answer.status().ToString();
      }
    }
  }

  const std::string address_;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;
  Counts counts_;
  std::vector<std::thread> threads_;
};

class Admission : public CliTest {
 protected:
  // A model that one service answers, in 20 ms.
  void StartWithService(int nodes = 1) {
    ASSERT_NO_FATAL_FAILURE(StartCluster(nodes));
    service.delay_ms = 20;
    const Answer answer = api().Put(
        std::string("/v1/models/") + kModel + "?reason=a%20service",
        {{"apiVersion", "weir/v1"},
         {"kind", "Model"},
         {"metadata", {{"name", kModel}}},
         {"spec",
          {{"stable", "1.0.0"},
           {"versions",
            {{"1.0.0", {{"runtime", "oip"}, {"urls", Json::array({service.url()})}}}}}}}});
    ASSERT_TRUE(answer.ok()) << answer;
    ASSERT_TRUE(WaitFor("it is READY", [&] { return VersionIs("1.0.0", "READY"); }));
  }
  // As a person does it: a file and `weir apply`, which waits for the nodes.
  void ApplyLimit(const std::string& spec) {
    const std::string file = Write("limit.yaml", fmt::format("apiVersion: weir/v1\nkind: Limit\n"
                                                             "metadata: {{name: {}}}\nspec: {}\n",
                                                             kModel, spec));
    const Output applied = Weir({"apply", "-f", file, "--reason", "a test"});
    ASSERT_EQ(applied.exit_code, 0) << applied.Text();
  }
  // As a policy does it.
  void LayActs(const Json& acts) {
    const Answer answer = api().Patch(fmt::format("/v1/limits/{}?reason=an%20act", kModel),
                                      {{"spec", {{"acts", acts}}}});
    ASSERT_TRUE(answer.ok()) << answer;
    ASSERT_TRUE(WaitFor("nodes have it", [&] { return EveryoneIsAtHead(); }));
  }
  static std::string InMs(int64_t ms) { return FormatTimeMs(Clock::System().WallMs() + ms); }
  // A number of /metrics; -1 while there is none.
  double Metric(const std::string& name) {
    const Answer answer = node(0).api().Get("/metrics");
    const size_t at = answer.text.find("\n" + name + " ");
    if (at == std::string::npos) return -1;
    return std::strtod(answer.text.c_str() + at + name.size() + 2, nullptr);
  }
  testing::AssertionResult EverybodyIsServed(Crowd& crowd) {
    crowd.Mark();
    return WaitFor("a hundred answers and no refusal", [&] {
      const Crowd::Counts counts = crowd.counts();
      if (counts.shed + counts.other > 0) crowd.Mark();
      return counts.shed + counts.other == 0 && counts.served >= 100;
    });
  }

  Service service{0.5};
};

const std::string kOf = fmt::format("{{model=\"{}\"}}", kModel);

TEST_F(Admission, ALimitThatIsAppliedHoldsUnderLoadAndEndsWhenItIsRemoved) {
  ASSERT_NO_FATAL_FAILURE(StartWithService());
  Crowd crowd(node(0).address(), 12);
  ASSERT_TRUE(EverybodyIsServed(crowd));
  ASSERT_NO_FATAL_FAILURE(ApplyLimit("{max_concurrent: 2, max_queue: 3}"));
  ASSERT_TRUE(WaitFor("429", [&] { return crowd.counts().shed > 20; }));
  for (int i = 0; i < 50; ++i) {
    EXPECT_LE(Metric("weir_admission_inflight" + kOf), 2);
    EXPECT_LE(Metric("weir_admission_queue_length" + kOf), 3);
  }
  const uint64_t calls = service.calls();
  ASSERT_TRUE(WaitFor("the service works on", [&] { return service.calls() > calls + 50; }));
  const Crowd::Counts counts = crowd.counts();
  EXPECT_THAT(counts.last_shed,
              HasSubstr("2 of 2 slots are taken, and 3 of 3 places in the queue"));
  EXPECT_TRUE(counts.every_shed_says_when);
  EXPECT_EQ(counts.other, 0u) << counts.last_other;

  const Output removed = Weir({"delete", fmt::format("limit/{}", kModel), "--reason", "enough"});
  ASSERT_EQ(removed.exit_code, 0) << removed.Text();
  ASSERT_TRUE(EverybodyIsServed(crowd));
  crowd.Stop();
  // What was turned away is neither an error nor a request of the version.
  ASSERT_TRUE(WaitFor("nothing pending", [&] { return NothingPending(); }));
  EXPECT_EQ(Metric(fmt::format("weir_inference_errors_total{{model=\"{}\",model_version=\"1.0.0\","
                               "arm=\"stable\"}}",
                               kModel)),
            0);
  const Json row = NodeRow("n1");
  EXPECT_GT(row["memory_bytes"].get<uint64_t>(), 1'000'000u) << row;
}

TEST_F(Admission, WhatPoliciesLaidOverItEndsWithoutTheControlPlane) {
  ASSERT_NO_FATAL_FAILURE(StartWithService());
  ASSERT_NO_FATAL_FAILURE(ApplyLimit("{max_concurrent: 64}"));
  Crowd crowd(node(0).address(), 12);
  ASSERT_TRUE(EverybodyIsServed(crowd));
  const std::string until = InMs(4000);
  ASSERT_NO_FATAL_FAILURE(LayActs(
      Json::array({{{"policy", "p"}, {"action", "shed_load"}, {"value", 0.5}, {"until", until}}})));
  crowd.Mark();
  ASSERT_TRUE(WaitFor("somebody is turned away", [&] { return crowd.counts().shed > 50; }));
  const Crowd::Counts during = crowd.counts();
  EXPECT_THAT(during.last_shed, HasSubstr("a policy turns 50 % of the callers"));
  // One caller is wholly in or wholly out.
  const auto in = std::count(during.is_served.begin(), during.is_served.end(), true);
  EXPECT_GT(in, 0);
  EXPECT_LT(in, 12);
  control.Kill9();
  ASSERT_TRUE(EverybodyIsServed(crowd));
  EXPECT_GE(FormatTimeMs(Clock::System().WallMs()), until);
}

TEST_F(Admission, AThrottleSlowsTheNodeDown) {
  ASSERT_NO_FATAL_FAILURE(StartWithService());
  ASSERT_NO_FATAL_FAILURE(ApplyLimit("{max_concurrent: 64}"));
  Crowd crowd(node(0).address(), 4);
  ASSERT_TRUE(EverybodyIsServed(crowd));
  ASSERT_NO_FATAL_FAILURE(LayActs(Json::array(
      {{{"policy", "p"}, {"action", "throttle"}, {"value", 20}, {"until", InMs(4500)}}})));
  crowd.Mark();
  const int64_t start_ms = NowMs();
  ASSERT_TRUE(WaitFor("a second", [&] { return NowMs() - start_ms > 1000; }));
  const Crowd::Counts during = crowd.counts();
  const double seconds = static_cast<double>(NowMs() - start_ms) / 1000;
  EXPECT_LE(static_cast<double>(during.served), 20 * seconds + 12) << "and what was on its way";
  EXPECT_THAT(during.last_shed, HasSubstr("this node takes 20 requests a second"));
  ASSERT_TRUE(EverybodyIsServed(crowd));
}

TEST_F(Admission, ABrokenCircuitAnswersAtOnceUntilItEnds) {
  ASSERT_NO_FATAL_FAILURE(StartWithService());
  ASSERT_NO_FATAL_FAILURE(ApplyLimit("{max_concurrent: 64}"));
  ASSERT_NO_FATAL_FAILURE(LayActs(Json::array({{{"policy", "p"},
                                                {"action", "circuit_break"},
                                                {"version", "1.0.0"},
                                                {"until", InMs(2000)},
                                                {"reason", "error_rate is 0.4"}}})));
  const uint64_t calls = service.calls();
  const Answer broken = Infer(node(0).api(), Requests()[0], "u");
  EXPECT_EQ(broken.status, 503) << broken;
  EXPECT_THAT(broken.text, HasSubstr("is held back by a policy: error_rate is 0.4"));
  EXPECT_FALSE(broken.Header("Retry-After").empty());
  EXPECT_EQ(service.calls(), calls);
  ASSERT_TRUE(WaitFor("it is answered again",
                      [&] { return Infer(node(0).api(), Requests()[0], "u").status == 200; }));
}

TEST_F(Admission, ARestartLoadsAVersionAnewAndFailsNobody) {
  ASSERT_NO_FATAL_FAILURE(StartWithService(2));
  ASSERT_NO_FATAL_FAILURE(ApplyLimit("{max_concurrent: 64}"));
  Crowd crowd(node(0).address(), 4);
  ASSERT_TRUE(EverybodyIsServed(crowd));
  const uint64_t checks = service.checks();
  ASSERT_NO_FATAL_FAILURE(LayActs(Json::array({{{"policy", "p"},
                                                {"action", "restart"},
                                                {"version", "1.0.0"},
                                                {"node", "n1"},
                                                {"value", 1}}})));
  const auto has_restarted = [](Node& node) {
    const Result<std::string> log = ReadFile(node.process().log());
    return log.ok() && log->find("is loaded anew") != std::string::npos;
  };
  ASSERT_TRUE(WaitFor("n1 loads it anew", [&] { return has_restarted(node(0)); }));
  ASSERT_TRUE(WaitFor("it is asked again", [&] { return service.checks() > checks; }));
  ASSERT_TRUE(WaitFor("it is READY", [&] { return VersionIs("1.0.0", "READY"); }));
  EXPECT_FALSE(has_restarted(node(1)));
  const Crowd::Counts counts = crowd.Stop();
  EXPECT_EQ(counts.other + counts.shed, 0u) << counts.last_other << counts.last_shed;
}

TEST_F(Admission, TheGovernorKeepsAServiceBusyAndItsQueueShort) {
  ASSERT_NO_FATAL_FAILURE(StartWithService());
  ASSERT_NO_FATAL_FAILURE(ApplyLimit("{max_concurrent: 2}"));
  ASSERT_TRUE(PutFlag("adaptive_governor", 100).ok());
  ASSERT_TRUE(WaitFor("nodes have it", [&] { return EveryoneIsAtHead(); }));
  ASSERT_TRUE(WaitFor("it governs", [&] { return Metric("weir_governor_u" + kOf) == 0; }));
  Crowd crowd(node(0).address(), 24);
  ASSERT_TRUE(WaitFor("it turns some away", [&] { return Metric("weir_governor_u" + kOf) > 0.2; }));
  crowd.Mark();
  const uint64_t calls = service.calls();
  ASSERT_TRUE(WaitFor("the service works on", [&] { return service.calls() > calls + 100; }));
  EXPECT_GT(crowd.counts().shed, 0u);
  EXPECT_EQ(crowd.counts().other, 0u) << crowd.counts().last_other;
  EXPECT_GT(
      Metric(fmt::format("weir_admission_shed_total{{model=\"{}\",reason=\"governor\"}}", kModel)),
      0);
}

}  // namespace
}  // namespace weir::integration
