// SPDX-License-Identifier: Apache-2.0
// Every node and the control plane are restarted under load, behind a balancer that honours /ready,
// and nobody notices.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "shared/http/client.h"
#include "tests/integration/harness/cli.h"

namespace weir::integration {
namespace {

using ::testing::HasSubstr;

// Round robin over the nodes that said that they are ready, asked every 50 ms; a request that fails
// is not sent again.
class Balancer {
 public:
  Balancer(std::vector<std::string> nodes, int senders) : nodes_(std::move(nodes)) {
    ready_ = std::vector<std::atomic<bool>>(nodes_.size());
    prober_ = std::thread([this] { Probe(); });
    for (int i = 0; i < senders; ++i) senders_.emplace_back([this] { Send(); });
  }
  ~Balancer() { Stop(); }

  void Stop() {
    stop_.store(true);
    if (prober_.joinable()) prober_.join();
    for (std::thread& sender : senders_) {
      if (sender.joinable()) sender.join();
    }
  }
  uint64_t served() const { return served_.load(); }
  uint64_t failed() const { return failed_.load(); }
  std::string last_failure() const {
    const std::lock_guard lock(mutex_);
    return last_failure_;
  }

 private:
  static http::ClientOptions Patient() {
    http::ClientOptions options;
    options.timeout_ms = kPatienceMs;
    return options;
  }

  void Probe() {
    while (!stop_.load()) {
      for (size_t i = 0; i < nodes_.size(); ++i)
        ready_[i].store(Api(nodes_[i]).Get("/ready").status == 200);
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }

  void Send() {
    std::vector<std::unique_ptr<http::Client>> clients(nodes_.size());
    const std::string target = fmt::format("/v2/models/{}/infer", kModel);
    for (uint64_t turn = 0; !stop_.load(); ++turn) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      size_t at = next_.fetch_add(1);
      for (size_t tries = 0; tries < nodes_.size() && !ready_[at % nodes_.size()].load(); ++tries)
        ++at;
      at %= nodes_.size();
      if (!ready_[at].load()) {
        if (served() > 0) Fail("no node is ready");
        continue;
      }
      if (clients[at] == nullptr)
        clients[at] = std::make_unique<http::Client>(nodes_[at], Patient());
      const auto answer = clients[at]->Do(
          "POST", target,
          {{"Content-Type", "application/json"}, {"X-User-Id", std::to_string(turn)}},
          Requests()[turn % Requests().size()]);
      if (answer.ok() && answer->status == 200) {
        served_.fetch_add(1);
      } else {
        Fail(answer.ok() ? fmt::format("{}: {}", answer->status, answer->body)
                         : answer.status().ToString());
      }
    }
  }

  void Fail(const std::string& why) {
    failed_.fetch_add(1);
    const std::lock_guard lock(mutex_);
    last_failure_ = why;
  }

  const std::vector<std::string> nodes_;
  std::vector<std::atomic<bool>> ready_;
  std::atomic<bool> stop_{false};
  std::atomic<size_t> next_{0};
  std::atomic<uint64_t> served_{0};
  std::atomic<uint64_t> failed_{0};
  mutable std::mutex mutex_;  // senders and the test meet at the failure
  std::string last_failure_;
  std::thread prober_;
  std::vector<std::thread> senders_;
};

class Rolling : public CliTest {
 protected:
  void Drain(Node& node) {
    const Output drained =
        Weir({"node", "drain", node.id(), "--wait", "--quiet", "1s", "--reason", "an upgrade"});
    ASSERT_EQ(drained.exit_code, 0) << drained.Text();
    EXPECT_EQ(NodeRow(node.id())["state"], "draining");
    EXPECT_EQ(NodeRow(node.id())["open_requests"], 0);
  }
  // It comes back as it was: not ready, whoever asks.
  void RestartCordoned(Node& node) {
    ASSERT_EQ(node.Stop(), 0);
    const Status started = node.Start();
    ASSERT_TRUE(started.ok()) << started.ToString();
    ASSERT_TRUE(WaitFor("it is back", [&] {
      const Json row = NodeRow(node.id());
      return row.is_object() && row.value("state", "") == "draining" && row["cordoned"] == true &&
             row["snapshot"]["version"] != 0;
    }));
    const Answer ready = node.api().Get("/ready");
    EXPECT_EQ(ready.status, 503);
    EXPECT_THAT(ready.text, HasSubstr("cordoned: an upgrade"));
  }
  void Uncordon(Node& node) {
    const Output done = Weir({"node", "uncordon", node.id()});
    ASSERT_EQ(done.exit_code, 0) << done.Text();
    ASSERT_TRUE(WaitFor("it is ready", [&] { return IsReady(node); }));
  }
};

TEST_F(Rolling, NoRequestFailsWhileEverythingIsRestarted) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(3));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0"}));
  Balancer balancer(Addresses(), 2);
  ASSERT_TRUE(WaitFor("traffic", [&] { return balancer.served() > 20; }));
  for (const auto& node : nodes) {
    ASSERT_NO_FATAL_FAILURE(Drain(*node));
    if (node->id() == "n2") {  // the control plane as well, with a node cordoned
      ASSERT_EQ(control.Stop(), 0);
      const Status started = control.Start();
      ASSERT_TRUE(started.ok()) << started.ToString();
      const Output list = Weir({"node", "list"});
      ASSERT_TRUE(WaitFor("it knows who is cordoned", [&] {
        return Weir({"node", "list"}).out.find(": an upgrade") != std::string::npos;
      }));
    }
    ASSERT_NO_FATAL_FAILURE(RestartCordoned(*node));
    ASSERT_NO_FATAL_FAILURE(Uncordon(*node));
  }
  const uint64_t served = balancer.served();
  ASSERT_TRUE(WaitFor("all serve", [&] { return balancer.served() > served + 20; }));
  balancer.Stop();
  EXPECT_EQ(balancer.failed(), 0u) << balancer.last_failure();
  EXPECT_TRUE(WaitFor("the books agree, with nothing on its way", [&] {
    const Output audit = Weir({"-o", "json", "telemetry", "audit"});
    const Json books = audit.Json();
    if (audit.exit_code != 0 || books["items"].size() != 6)
      return testing::AssertionFailure() << audit.Text();
    for (const Json& row : books["items"]) {
      if (row["pending"] != 0 || row["declared_lost"] != 0)
        return testing::AssertionFailure() << books.dump();
    }
    return testing::AssertionSuccess();
  }));
  const Output audit = Weir({"audit", "verify"});
  EXPECT_EQ(audit.exit_code, 0) << audit.Text();
}

TEST_F(Rolling, DrainSaysWhatItWaitsFor) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0"}));
  Traffic traffic(Addresses(), 50);  // it does not look at /ready
  ASSERT_TRUE(WaitFor("traffic", [&] { return traffic.Counts().served > 10; }));
  const Output drain = Weir({"node", "drain", "n1", "--wait", "--timeout", "1500ms"});
  EXPECT_EQ(drain.exit_code, 4) << drain.Text();
  EXPECT_THAT(drain.err, HasSubstr("not drained within 1500ms"));
  EXPECT_EQ(traffic.Stop().failed, 0u) << "it goes on answering";
  EXPECT_EQ(Weir({"node", "drain", "n9"}).exit_code, 1);
  EXPECT_EQ(Weir({"node", "uncordon", "n1"}).exit_code, 0);
  EXPECT_EQ(Weir({"node", "uncordon", "n1"}).exit_code, 1) << "it is not cordoned";
}

}  // namespace
}  // namespace weir::integration
