// SPDX-License-Identifier: Apache-2.0
// A front whose versions may be services: real ones over HTTP, on ports of their own.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/runtime/remote/remote_runtime.h"
#include "shared/http/server.h"
#include "tests/unit/dataplane/front/node.h"

namespace weir::node::front {

// Answers health checks, and what is posted as the test says.
class TestService {
 public:
  struct Asked {
    std::string target;
    std::string body;
    std::vector<http::Header> headers;
    std::string_view Header(std::string_view name) const { return http::FindHeader(headers, name); }
  };
  using Answer = std::function<http::Response(const Asked&)>;

  TestService() {
    const Status started =
        server_.Start({}, [this](std::shared_ptr<http::Exchange> exchange) { Handle(exchange); });
    EXPECT_TRUE(started.ok()) << started.ToString();
  }
  ~TestService() { server_.Stop(); }

  std::string url() const { return "http://" + server_.address(); }
  void Set(Answer answer) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
  }
  void SetBody(std::string body, int status = 200) {
    Set([body = std::move(body), status](const Asked&) {
      http::Response response;
      response.status = status;
      response.body = body;
      return response;
    });
  }
  // From now on posts wait for the next Set… and Release.
  void Hold() {
    const std::lock_guard lock(mutex_);
    holds_ = true;
  }
  void Release() {
    const std::lock_guard lock(mutex_);
    holds_ = false;
    for (auto& exchange : std::exchange(held_, {})) {
      server_.worker(0).Post([this, exchange] { Handle(exchange, /*again=*/true); });
    }
  }
  std::vector<Asked> asked() const {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

 private:
  void Handle(const std::shared_ptr<http::Exchange>& exchange, bool again = false) {
    const http::Request& request = exchange->request();
    if (request.method != "POST") return exchange->Respond({200, {}, "{}", ""});
    Asked asked{std::string(request.target), std::string(request.body), {}};
    for (const char* name : {"x-user-id", "x-weir-flags", "traceparent", "x-request-id"}) {
      asked.headers.push_back({name, std::string(request.Header(name))});
    }
    Answer answer;
    {
      const std::lock_guard lock(mutex_);
      if (!again) asked_.push_back(asked);
      if (holds_) return held_.push_back(exchange);
      answer = answer_;
    }
    exchange->Respond(answer(asked));
  }

  mutable std::mutex mutex_;
  Answer answer_ = [](const Asked&) { return http::ErrorResponse(500, "no answer is set"); };
  bool holds_ = false;
  std::vector<std::shared_ptr<http::Exchange>> held_;
  std::vector<Asked> asked_;
  http::Server server_;
};

class ServiceNodeTest : public NodeTest {
 protected:
  // The model's version `version` is a service from now on.
  domain::VersionEntry& AddService(const std::string& version, const std::string& runtime,
                                   const std::string& url) {
    std::erase_if(model_.versions, [&](const auto& entry) { return entry.version == version; });
    domain::VersionEntry entry;
    entry.version = version;
    entry.runtime = runtime;
    entry.urls = {url};
    model_.versions.push_back(std::move(entry));
    return model_.versions.back();
  }

  // A model of these services alone, the first one stable.
  void OnlyServices(const std::string& runtime, const std::vector<std::string>& urls) {
    model_.versions.clear();
    model_.inputs.clear();
    for (size_t i = 0; i < urls.size(); ++i) {
      AddService(std::string(1, static_cast<char>('1' + i)) + ".0.0", runtime, urls[i]);
    }
    candidate_ = "2.0.0";
  }

  // Starts with every version READY.
  void StartAll(FrontOptions options = {}, const Clock& clock = Clock::System()) {
    const auto workers = static_cast<size_t>(options.http.workers);
    Start(std::move(options), clock);
    runtime::VersionTable::Ready ready;
    std::vector<runtime::VersionStatus> statuses;
    runtimes_ = runtime::MakeRemoteRuntimes({.workers = workers}, clock);
    for (const domain::VersionEntry& entry : model_.versions) {
      ready[{model_.name, entry.version}] =
          entry.urls.empty() ? Load(entry.version, clock) : LoadService(entry);
      statuses.push_back({model_.name, entry.version, runtime::State::kReady, ""});
    }
    front_->PublishVersions(
        std::make_shared<const runtime::VersionTable>(std::move(ready), std::move(statuses)));
    PublishRules();
  }

  std::shared_ptr<runtime::Version> LoadService(const domain::VersionEntry& entry) {
    for (const auto& runtime : runtimes_) {
      if (entry.runtime != runtime->name()) continue;
      auto loaded = runtime->Load(
          {model_.name, entry.version, "", &entry, /*declares_inputs=*/!model_.inputs.empty()});
      EXPECT_TRUE(loaded.ok()) << loaded.status().ToString();
      return *loaded;
    }
    ADD_FAILURE() << "no runtime " << entry.runtime;
    return nullptr;
  }

  // Adds up telemetry until `is` holds of it.
  template <class F>
  telemetry::Window Wait(F is) {
    telemetry::Window window;
    const int64_t until_ms = Clock::System().MonotonicMs() + 20'000;
    do {
      telemetry::Merge(window, Telemetry());
    } while (!is(window) && Clock::System().MonotonicMs() < until_ms);
    EXPECT_TRUE(is(window));
    return window;
  }

  static std::string Oip(const std::string& data) {
    return R"({"outputs":[{"name":"score","datatype":"FP64","shape":[1],"data":)" + data + "}]}";
  }

  std::vector<std::shared_ptr<runtime::Runtime>> runtimes_;
};

}  // namespace weir::node::front
