// SPDX-License-Identifier: Apache-2.0
// One worker's OFREP behind a real server, with time moved by hand.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/ofrep/service.h"
#include "shared/http/client.h"
#include "shared/http/server.h"
#include "tests/fakes/event_source.h"

namespace weir::node::ofrep {

using nlohmann::json;

// Moves by itself with every look at it, once it is told to.
class TickingClock : public ManualClock {
 public:
  int64_t MonotonicNs() const override {
    return ManualClock::MonotonicNs() + (ticked_ns_ += tick_ns_);
  }
  void TickMs(int64_t ms) { tick_ns_ = ms * 1'000'000; }

 private:
  int64_t tick_ns_ = 0;
  mutable int64_t ticked_ns_ = 0;
};

class ServiceTest : public testing::Test {
 protected:
  void Start(OfrepOptions options = {}, http::ServerOptions server = {}) {
    budget_ = std::make_unique<StreamBudget>(options.max_streams);
    service_ = std::make_unique<Service>(
        options, clock_, desk_, *budget_, [this](int64_t delay_ms, std::function<void()> task) {
          timers_.emplace(clock_.MonotonicMs() + delay_ms, std::move(task));
        });
    const Status started = server_.Start(server, [this](std::shared_ptr<http::Exchange> exchange) {
      if (auto response = service_->Handle(exchange)) exchange->Respond(*std::move(response));
    });
    ASSERT_TRUE(started.ok()) << started.ToString();
    client_ = std::make_unique<http::Client>(server_.address());
  }
  void TearDown() override {
    OnWorker([&] { service_->Drain(); });
    server_.Stop();
    sources_.clear();
  }

  // The service, the clock and the timers belong to the worker.
  void OnWorker(const std::function<void()>& task) {
    std::promise<void> done;
    server_.worker(0).Post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }
  void Advance(int64_t ms) {
    OnWorker([&] {
      const int64_t end_ms = clock_.MonotonicMs() + ms;
      while (!timers_.empty() && timers_.begin()->first <= end_ms) {
        const auto timer = timers_.extract(timers_.begin());
        clock_.AdvanceMs(std::max<int64_t>(timer.key() - clock_.MonotonicMs(), 0));
        timer.mapped()();
      }
      clock_.AdvanceMs(end_ms - clock_.MonotonicMs());
    });
  }

  // Publishes the rules after a change of them.
  void Publish(const std::function<void(decision::Ruleset&)>& change = [](auto&) {}) {
    auto rules = std::make_shared<decision::Ruleset>(*rules_);
    rules->epoch = 3;
    ++rules->version;
    change(*rules);
    rules_ = rules;
    OnWorker([&] {
      service_->SetRules(rules_);
      service_->AnnounceRules(rules_);
    });
  }
  static domain::FlagEntry Rollout(const std::string& name, domain::FinePercent threshold) {
    domain::FlagEntry flag;
    flag.name = name;
    flag.enabled = true;
    flag.threshold = threshold;
    flag.seed = "ttft-pipeline-2025-01-08";
    return flag;
  }
  static domain::FlagEntry Variants(const std::string& name,
                                    std::vector<std::pair<std::string, std::string>> variants,
                                    const std::string& targeting = "") {
    domain::FlagEntry flag;
    flag.name = name;
    flag.enabled = true;
    flag.default_variant = variants.front().first;
    for (auto& [variant, value] : variants) flag.variants.push_back({variant, {value}});
    flag.targeting.text = targeting;
    return flag;
  }

  http::ClientResponse Do(const std::string& method, const std::string& target,
                          const std::vector<http::Header>& headers = {},
                          const std::string& body = "") {
    auto response = client_->Do(method, target, headers, body);
    EXPECT_TRUE(response.ok()) << response.status().ToString();
    return response.ok() ? *std::move(response) : http::ClientResponse{};
  }
  http::ClientResponse One(const std::string& key, const std::string& body = "") {
    return Do("POST", "/ofrep/v1/evaluate/flags/" + key, {}, body);
  }
  http::ClientResponse All(const std::string& body = "",
                           const std::vector<http::Header>& headers = {}) {
    return Do("POST", "/ofrep/v1/evaluate/flags", headers, body);
  }
  static std::string For(const std::string& key) {
    return R"({"context": {"targetingKey": ")" + key + "\"}}";
  }

  TickingClock clock_;
  flags::Desk desk_{clock_, "salt"};
  std::unique_ptr<StreamBudget> budget_;
  std::unique_ptr<Service> service_;
  std::multimap<int64_t, std::function<void()>> timers_;
  std::shared_ptr<const decision::Ruleset> rules_ = std::make_shared<decision::Ruleset>();
  http::Server server_;  // ends before what its handler uses
  std::vector<std::unique_ptr<fakes::EventSource>> sources_;
  std::unique_ptr<http::Client> client_;
};

}  // namespace weir::node::ofrep
