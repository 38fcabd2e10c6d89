// SPDX-License-Identifier: Apache-2.0
// The node's bus against the control plane's own, over real sockets and with real keys.
#include "dataplane/bus/bus.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/publish/bus.h"
#include "shared/codec/domain_fields.h"
#include "shared/codec/msgpack.h"
#include "shared/http/server.h"
#include "tests/fakes/temp_dir.h"

namespace weir::node::bus {
namespace {

using control::catalog::Committed;
using control::catalog::EntryBody;
using control::publish::NodesView;

constexpr std::chrono::seconds kDeadline(20);

EntryBody Flag(const std::string& name, uint32_t threshold) {
  domain::FlagEntry flag;
  flag.name = name;
  flag.enabled = true;
  flag.threshold = threshold;
  return {domain::EntryKind::kFlag, name, codec::ToMsgpack(flag)};
}

// A value that other threads set and the test waits for; hence the mutex.
template <class T>
class Watched {
 public:
  void Change(const std::function<void(T&)>& change) {
    const std::lock_guard lock(mutex_);
    change(value_);
    changed_.notify_all();
  }
  // True as soon as it holds, false at the deadline.
  bool WaitUntil(const std::function<bool(const T&)>& holds) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kDeadline, [&] { return holds(value_); });
  }
  T Get() {
    const std::lock_guard lock(mutex_);
    return value_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  T value_{};
};

// A control plane without its core: bootstrap and enrolment over HTTP, and the real bus.
class ControlPlane {
 public:
  ControlPlane() {
    const Status started = server_.Start({}, [this](std::shared_ptr<http::Exchange> exchange) {
      http::Response response;
      response.body = "{}";
      if (exchange->request().method == "POST") {
        const auto body = nlohmann::json::parse(exchange->request().body);
        if (!bus_.Get()->Allow(body.at("node"), body.at("public_key")).ok()) response.status = 403;
      } else {
        response.body = bootstrap_.Get();
      }
      exchange->Respond(response);
    });
    EXPECT_TRUE(started.ok()) << started.ToString();
  }
  ~ControlPlane() {
    server_.Stop();
    Stop();
  }

  // On free ports, with a new server key.
  void Start(uint64_t epoch, const std::vector<EntryBody>& entries, uint64_t revision,
             const domain::EmergencySpec& emergency = {}) {
    control::publish::Bus::Listener listener;
    listener.on_nodes = [this](std::shared_ptr<const NodesView> view) {
      nodes.Change([&](auto& value) { value = std::move(view); });
    };
    listener.on_applied = [](const control::publish::AppliedEvent&) {};
    listener.on_telemetry = [this](control::ingest::TelemetryTick tick) {
      counted.Change([&](auto& value) { telemetry::Merge(value, tick.live); });
      if (acknowledges) bus_.Get()->Acknowledge(tick.high_waters);
    };
    listener.on_counters = [](const control::publish::BusCounters&) {};
    control::publish::BusOptions options;
    options.cfg_listen = options.session_listen = options.telemetry_listen = "127.0.0.1:0";
    options.keys = *transport::GenerateKeyPair();
    options.epoch = epoch;
    contexts_.push_back(std::make_unique<transport::Context>());
    const auto bus =
        std::make_shared<control::publish::Bus>(*contexts_.back(), std::move(listener));
    bus_.Change([&](auto& value) { value = bus; });
    const Status started = bus->Start(options, entries, revision, emergency, {});
    ASSERT_TRUE(started.ok()) << started.ToString();
    const auto& addresses = bus->addresses();
    const nlohmann::json answer{{"epoch", epoch},
                                {"server_key", options.keys.public_key},
                                {"fingerprint", transport::Fingerprint(options.keys.public_key)},
                                {"heartbeat_ms", 1000},
                                {"channels",
                                 {{"cfg", addresses.cfg},
                                  {"session", addresses.session},
                                  {"telemetry", addresses.telemetry}}}};
    bootstrap_.Change([&](std::string& text) { text = answer.dump(); });
  }
  void Stop() {
    if (const auto bus = bus_.Get()) bus->Stop();
  }
  void Publish(Committed committed) { bus_.Get()->Publish(committed); }
  std::string url() const { return "http://" + server_.address(); }

  // What the control plane says that the node has applied.
  bool WaitUntilApplied(const std::string& node, uint64_t epoch, uint64_t version) {
    return nodes.WaitUntil([&](const std::shared_ptr<const NodesView>& view) {
      const auto* status = view == nullptr ? nullptr : view->Find(node);
      return status != nullptr && status->epoch == epoch && status->version >= version;
    });
  }

  Watched<std::shared_ptr<const NodesView>> nodes;
  Watched<telemetry::Window> counted;
  std::atomic<bool> acknowledges{true};

 private:
  std::vector<std::unique_ptr<transport::Context>> contexts_;  // one a start, as a process has
  Watched<std::string> bootstrap_;
  Watched<std::shared_ptr<control::publish::Bus>> bus_;
  http::Server server_;
};

class BusTest : public testing::Test {
 protected:
  std::unique_ptr<Bus> StartNode(const std::string& snapshot_path = "") {
    BusOptions options;
    options.join.control = {control.url()};
    options.join.node = "n1";
    options.keys = *transport::GenerateKeyPair();
    options.incarnation = ++incarnation;
    options.http = "127.0.0.1:8080";
    options.snapshot_path = snapshot_path;
    BusHooks hooks;
    hooks.publish_rules = [this](std::shared_ptr<const decision::Ruleset> taken_rules,
                                 std::function<void()> taken) {
      rules.Change([&](auto& value) { value = std::move(taken_rules); });
      taken();
    };
    hooks.collect_telemetry = [this](BusHooks::Collected done) {
      telemetry::Window window;
      recorded.Change([&](auto& value) { window = std::exchange(value, {}); });
      done(std::move(window), {});
    };
    hooks.publish_status = [this](const BusStatus& now) {
      status.Change([&](auto& value) { value = now; });
    };
    auto bus = std::make_unique<Bus>(node_context_, std::move(options), std::move(hooks));
    bus->Start();
    return bus;
  }
  bool WaitForRules(uint64_t epoch, uint64_t version) {
    return rules.WaitUntil([&](const auto& value) {
      return value != nullptr && value->epoch == epoch && value->version == version;
    });
  }
  void Record(uint64_t requests) {
    telemetry::Series series;
    series.counters[telemetry::kRequests] = requests;
    series.latency.Add(2, requests);
    for (uint64_t i = 0; i < requests; ++i) series.latency_digest.Add(2);
    recorded.Change([&](auto& value) {
      telemetry::Merge(value, {{{"model/m", "1", telemetry::kArmStable}, series}});
    });
  }
  bool WaitUntilCounted(uint64_t requests) {
    return control.counted.WaitUntil([&](const telemetry::Window& window) {
      return !window.empty() && window.begin()->second.Counter(telemetry::kRequests) >= requests;
    });
  }

  ControlPlane control;
  transport::Context node_context_;
  uint64_t incarnation = 0;
  Watched<std::shared_ptr<const decision::Ruleset>> rules;
  Watched<telemetry::Window> recorded;
  Watched<BusStatus> status;
};

TEST_F(BusTest, JoinsTakesChangesAndSaysGoodbye) {
  control.Start(10, {Flag("a", 1000)}, 4);
  auto node = StartNode();
  ASSERT_TRUE(control.WaitUntilApplied("n1", 10, 4));
  EXPECT_EQ(rules.Get()->flags().Find("a")->threshold, 1000u);

  Committed changed;
  changed.revision = 5;
  changed.previous_revision = 4;
  changed.entries = {Flag("a", 2000)};
  control.Publish(changed);
  ASSERT_TRUE(control.WaitUntilApplied("n1", 10, 5));
  EXPECT_EQ(rules.Get()->flags().Find("a")->threshold, 2000u);
  Committed killed;
  killed.revision = 6;
  killed.previous_revision = 5;
  killed.emergency.kill_switch = true;
  killed.emergency_changed = true;
  control.Publish(killed);
  ASSERT_TRUE(rules.WaitUntil([](const auto& value) { return value->emergency.kill_switch; }));
  EXPECT_TRUE(status.WaitUntil([](const BusStatus& s) { return !s.stale && s.current_at_ms > 0; }));

  node->ReportVersions({{"m", "1", "FAILED", "no such blob"}});
  EXPECT_TRUE(control.nodes.WaitUntil(
      [](const auto& view) { return view->Find("n1")->VersionState("m", "1") == "FAILED"; }));
  node->SetDraining();
  EXPECT_TRUE(control.nodes.WaitUntil([](const auto& view) {
    return view->Find("n1")->state == control::publish::NodeState::kDraining;
  }));
  node->Finish(5000);
  EXPECT_TRUE(control.nodes.WaitUntil([](const auto& view) {
    return view->Find("n1")->state == control::publish::NodeState::kGone;
  }));
}

TEST_F(BusTest, TelemetryIsCountedOnceAlthoughItIsResent) {
  control.Start(10, {}, 1);
  control.acknowledges = false;
  auto node = StartNode();
  ASSERT_TRUE(control.WaitUntilApplied("n1", 10, 1));
  Record(7);
  ASSERT_TRUE(WaitUntilCounted(7));
  ASSERT_TRUE(status.WaitUntil([](const BusStatus& s) { return s.pending_batches > 0; }));
  control.acknowledges = true;
  Record(5);  // what is counted now is acknowledged with what came before
  ASSERT_TRUE(WaitUntilCounted(12));
  EXPECT_TRUE(status.WaitUntil([](const BusStatus& s) { return s.pending_batches == 0; }));
  Record(3);
  node->Finish(5000);
  EXPECT_TRUE(WaitUntilCounted(15));
  EXPECT_EQ(control.counted.Get().begin()->second.Counter(telemetry::kRequests), 15u);
}

TEST_F(BusTest, FindsAControlPlaneThatCameBackElsewhereWithAnotherKey) {
  control.Start(10, {Flag("a", 1000)}, 4);
  auto node = StartNode();
  ASSERT_TRUE(control.WaitUntilApplied("n1", 10, 4));
  control.Stop();
  Record(7);
  control.Start(11, {Flag("a", 500)}, 3);
  ASSERT_TRUE(control.WaitUntilApplied("n1", 11, 3)) << status.Get().control_error;
  EXPECT_EQ(rules.Get()->flags().Find("a")->threshold, 500u);
  EXPECT_TRUE(WaitUntilCounted(7));
  EXPECT_TRUE(status.WaitUntil([](const BusStatus& s) { return s.control_error.empty(); }));
}

TEST_F(BusTest, StartsFromItsLastGoodSnapshotWithoutAControlPlane) {
  const fakes::TempDir directory;
  const std::string path = directory.path() + "/snapshot";
  control.Start(10, {Flag("a", 1000)}, 4, {true, false, false});
  StartNode(path)->Stop();  // may be too early for a snapshot
  auto node = StartNode(path);
  ASSERT_TRUE(control.WaitUntilApplied("n1", 10, 4));
  node.reset();
  control.Stop();
  rules.Change([](auto& value) { value.reset(); });

  node = StartNode(path);
  ASSERT_TRUE(WaitForRules(10, 4));
  EXPECT_TRUE(rules.Get()->emergency.kill_switch);
  EXPECT_TRUE(status.WaitUntil([](const BusStatus& s) { return s.stale; }));
  control.Start(11, {Flag("a", 1000)}, 4);  // the same set, and the emergency is over
  ASSERT_TRUE(WaitForRules(11, 4));
  EXPECT_TRUE(control.WaitUntilApplied("n1", 11, 4));
  EXPECT_TRUE(rules.WaitUntil([](const auto& value) { return !value->emergency.kill_switch; }));
}

}  // namespace
}  // namespace weir::node::bus
