// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "tests/integration/harness/service.h"
#include "tests/integration/harness/wait.h"
#include "tests/unit/dataplane/runtime/remote_calls.h"

namespace weir::node::runtime {
namespace {

using integration::Service;
using integration::WaitFor;
using testing::AllOf;
using testing::HasSubstr;

class Remote : public testing::Test {
 protected:
  Remote() {
    options_.workers = 2;
    options_.check_interval_ms = 20;
    options_.check_timeout_ms = 500;
    options_.aside_ms = 50;
    entry_.version = "1.1.0";
    entry_.runtime = "oip";
  }

  // Loaded and warmed up; null where that fails.
  std::shared_ptr<Version> Load(std::vector<std::string> urls) {
    auto version = Make(std::move(urls));
    if (version == nullptr) return nullptr;
    const Status warm = version->WarmUp();
    EXPECT_TRUE(warm.ok()) << warm.ToString();
    return warm.ok() ? version : nullptr;
  }
  std::shared_ptr<Version> Make(std::vector<std::string> urls) {
    entry_.urls = std::move(urls);
    if (runtimes_.empty()) runtimes_ = MakeRemoteRuntimes(options_);
    for (const auto& runtime : runtimes_) {
      if (entry_.runtime != runtime->name()) continue;
      auto version = runtime->Load({"fraud", "1.1.0", "", &entry_, declares_inputs_});
      EXPECT_TRUE(version.ok()) << version.status().ToString();
      return version.ok() ? *version : nullptr;
    }
    ADD_FAILURE() << entry_.runtime << " is no runtime";
    return nullptr;
  }

  RemoteOptions options_;
  domain::VersionEntry entry_;
  bool declares_inputs_ = false;
  std::vector<std::shared_ptr<Runtime>> runtimes_;
  Workers workers_{2};
};

TEST_F(Remote, PassesTheRequestOnAndTheAnswerBack) {
  Service service(0.25);
  const auto version = Load({service.url() + "/prefix"});
  ASSERT_NE(version, nullptr);
  service.SetAnswer(http::Response{
      200, {}, R"({"outputs":[{"name":"p","data":[0.25]}],"parameters":{"took":3}})", ""});
  Request request;
  request.request_id = "r-1";
  request.key = "user-7";
  request.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  request.flags = "a=on,b=off";
  const Outcome outcome = workers_.Ask(version, request);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.ToString();
  EXPECT_EQ(outcome.ends, 1);
  EXPECT_EQ(outcome.outputs, R"([{"name":"p","data":[0.25]}])");
  EXPECT_EQ(outcome.parameters, R"({"took":3})");
  EXPECT_EQ(outcome.first_value, 0.25);
  const Service::Call call = service.last();
  EXPECT_EQ(call.target, "/prefix/v2/models/fraud/infer");
  EXPECT_EQ(call.body, Workers::kBody);
  EXPECT_EQ(call.traceparent, request.traceparent);
  EXPECT_EQ(call.flags, "a=on,b=off");
  EXPECT_EQ(call.user_id, "user-7");
  EXPECT_EQ(call.request_id, "r-1");
}

TEST_F(Remote, CountsTheTokensThatAnAnswerStates) {
  Service service;
  const auto version = Load({service.url()});
  ASSERT_NE(version, nullptr);
  const std::pair<const char*, uint64_t> cases[] = {
      {R"({"outputs":[],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}})", 7},
      {R"({"outputs":[],"parameters":{"usage":{"total_tokens":12}}})", 12},
      {R"({"outputs":[],"usage":{"completion_tokens":-1}})", 0},
      {R"({"outputs":[],"usage":{"completion_tokens":1e9}})", 0},
      {R"({"outputs":[],"usage":7})", 0},
      {R"({"outputs":[]})", 0}};
  for (const auto& [body, tokens] : cases) {
    service.SetAnswer(http::Response{200, {}, body, ""});
    const Outcome outcome = workers_.Ask(version);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status.ToString();
    EXPECT_EQ(outcome.usage.tokens, tokens) << body;
  }
}

TEST_F(Remote, SaysWhenTheFirstTokenWasThere) {
  Service service;
  const auto version = Load({service.url()});
  ASSERT_NE(version, nullptr);
  const auto ask = [&](const char* body) {
    service.SetAnswer(http::Response{200, {}, body, ""});
    return workers_.Ask(version).usage.first_token_ns;
  };
  const auto now_ns = [] { return Clock::System().MonotonicNs(); };
  // As the answer's first byte came, where the answer does not say.
  int64_t start_ns = now_ns();
  const int64_t seen_ns = ask(R"({"outputs":[]})");
  EXPECT_GE(seen_ns, start_ns);
  EXPECT_LE(seen_ns, now_ns());
  service.delay_ms = 60;
  start_ns = now_ns();
  const int64_t said_ns = ask(R"({"outputs":[],"usage":{"time_to_first_token_ms":20}})");
  EXPECT_GE(said_ns, start_ns + 20'000'000);
  EXPECT_LT(said_ns, now_ns() - 35'000'000);
  // No token was there after the whole answer was.
  const int64_t late_ns = ask(R"({"outputs":[],"parameters":{"ttft_ms":1e300}})");
  EXPECT_LE(late_ns, now_ns());
  service.SetAnswer(http::ErrorResponse(500, "no"));
  EXPECT_EQ(workers_.Ask(version).usage.first_token_ns, 0);
}

TEST_F(Remote, AsksForTheModelAndVersionOfTheService) {
  Service service;
  entry_.remote_model = "fraud/eu";
  entry_.remote_version = "7";
  const auto version = Load({service.url()});
  ASSERT_NE(version, nullptr);
  Request request;
  request.request_id = "split\r\nX-Evil: 1";  // an id may hold anything
  ASSERT_TRUE(workers_.Ask(version, request).status.ok());
  EXPECT_EQ(service.last().target, "/v2/models/fraud%2Feu/versions/7/infer");
  EXPECT_EQ(service.last().request_id, "");
}

TEST_F(Remote, WritesTheBodyWhereThereAreTensorsOnly) {
  Service service;
  const auto version = Load({service.url()});
  ASSERT_NE(version, nullptr);
  Tensor tensor{"x", DataType::kFp32, {1, 2}, std::vector<std::byte>(8)};
  const float values[] = {1.5F, -2};
  std::memcpy(tensor.data.data(), values, sizeof values);
  Request request;
  request.inputs = {&tensor, 1};
  ASSERT_TRUE(workers_.Ask(version, request).status.ok());
  EXPECT_EQ(service.last().body,
            R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1.5,-2]}]})");
}

TEST_F(Remote, PredictPassesJsonOnAsItIs) {
  Service service(0.75);
  entry_.runtime = "predict";
  const auto version = Load({service.url()});
  ASSERT_NE(version, nullptr);
  Request request;
  request.is_predict = true;
  request.body = R"({"ip_address": "192.168.1.1"})";
  const Outcome outcome = workers_.Ask(version, request);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status.ToString();
  EXPECT_EQ(outcome.body, R"({"prediction": 0.75, "by": "service"})");
  EXPECT_EQ(outcome.first_value, 0.75);
  EXPECT_EQ(service.last().target, "/predict/fraud");
  EXPECT_EQ(service.last().body, R"({"ip_address": "192.168.1.1"})");
  // One protocol is not the other.
  const Outcome other = workers_.Ask(version);
  EXPECT_EQ(other.status.code(), Code::kInvalidArgument);
  EXPECT_THAT(other.status.ToString(), HasSubstr("POST /predict/"));
  EXPECT_EQ(service.calls(), 1u);
}

TEST_F(Remote, SaysWhoAnsweredWhatWhenItIsNoAnswer) {
  Service service;
  const auto lax = Load({service.url()});
  declares_inputs_ = true;
  const auto strict = Load({service.url()});
  ASSERT_NE(strict, nullptr);
  Tensor tensor{"x", DataType::kBool, {1}, std::vector<std::byte>(1)};
  Request checked;
  checked.inputs = {&tensor, 1};
  const struct {
    int status;
    const char* body;
    Code lax, strict;
    const char* text;
  } answers[] = {
      {400, "bad \"age\"", Code::kInvalidArgument, Code::kInternal, "answered 400: bad \"age\""},
      {422, "no", Code::kInvalidArgument, Code::kInternal, "answered 422: no"},
      {429, "", Code::kResourceExhausted, Code::kResourceExhausted, "answered 429: "},
      {503, "down\nnow", Code::kInternal, Code::kInternal, "answered 503: down now"},
      {404, "who?", Code::kInternal, Code::kInternal, "answered 404: who?"},
      {302, "", Code::kInternal, Code::kInternal, "answered 302: "},
      {200, "<html>", Code::kInternal, Code::kInternal, "the answer is no JSON"},
      {200, "{}", Code::kInternal, Code::kInternal, "has no list \"outputs\""}};
  for (const auto& answer : answers) {
    service.SetAnswer(http::Response{answer.status, {}, answer.body, "text/plain"});
    const uint64_t calls = service.calls();
    const Outcome first = workers_.Ask(lax);
    const Outcome second = workers_.Ask(strict, checked);
    EXPECT_EQ(first.status.code(), answer.lax) << answer.status;
    EXPECT_EQ(second.status.code(), answer.strict) << answer.status;
    EXPECT_THAT(first.status.message(),
                AllOf(HasSubstr(service.address()), HasSubstr(answer.text)));
    EXPECT_FALSE(first.head);
    EXPECT_FALSE(first.usage.unreached);
    EXPECT_EQ(service.calls(), calls + 2) << "what was answered is not asked for again";
  }
}

TEST_F(Remote, OfCheckedInputsTensorsAndOutputNamesAloneAreSent) {
  Service service;
  declares_inputs_ = true;
  const auto version = Load({service.url()});
  ASSERT_NE(version, nullptr);
  Tensor tensor{"x", DataType::kBool, {1}, std::vector<std::byte>(1)};
  Request request;
  request.inputs = {&tensor, 1};
  request.body = R"({"inputs":[],"parameters":{"binary_data_output":true}})";
  const std::string id(257, 'i');
  const std::string key(256, 'k');
  request.request_id = id;
  request.key = key;
  service.SetAnswer(http::ErrorResponse(400, "no"));
  EXPECT_EQ(workers_.Ask(version, request).status.code(), Code::kInternal);
  EXPECT_EQ(service.last().body, R"({"id":")" + id +
                                     R"(","inputs":[{"name":"x","datatype":"BOOL","shape":[1],)"
                                     R"("data":[false]}]})");
  EXPECT_EQ(service.last().request_id, "") << "too long for a header";
  EXPECT_EQ(service.last().user_id, key);
  // Which outputs there are, only the service knows.
  const std::vector<std::string> outputs = {"p", "q\""};
  request.outputs = outputs;
  EXPECT_EQ(workers_.Ask(version, request).status.code(), Code::kInvalidArgument);
  EXPECT_THAT(service.last().body,
              HasSubstr(R"([false]}],"outputs":[{"name":"p"},{"name":"q\""}]})"));
}

TEST_F(Remote, BinaryTensorsAreTheClientsMistake) {
  Service service;
  const auto version = Load({service.url()});
  ASSERT_NE(version, nullptr);
  service.SetAnswer(http::Response{200,
                                   {{"Inference-Header-Content-Length", "4"}},
                                   std::string("{}\0\1", 4),
                                   "application/octet-stream"});
  EXPECT_EQ(workers_.Ask(version).status.code(), Code::kInvalidArgument);
}

TEST_F(Remote, GivesUpAtTheEarlierOfTwoDeadlines) {
  Service service;
  service.delay_ms = 5000;
  entry_.timeout_ms = 40;
  const auto brief = Load({service.url()});
  entry_.timeout_ms = 60'000;
  const auto lasting = Load({service.url()});
  ASSERT_NE(lasting, nullptr);
  for (const Outcome& outcome : {workers_.Ask(brief), workers_.Ask(lasting, {}, 40)}) {
    EXPECT_FALSE(outcome.status.ok());
    EXPECT_TRUE(outcome.usage.is_late);
    EXPECT_THAT(outcome.status.message(), HasSubstr("timed out"));
  }
  EXPECT_EQ(service.calls(), 2u) << "a call that is late is not made again";
  const Outcome passed = workers_.Ask(lasting, {}, -1);
  EXPECT_TRUE(passed.usage.is_late);
  EXPECT_EQ(service.calls(), 2u);
}

TEST_F(Remote, ARequestThatIsStoppedEndsAtOnceAndItsConnectionToo) {
  Service service;
  service.delay_ms = 60'000;
  const auto version = Load({service.url()});
  ASSERT_NE(version, nullptr);
  const auto call = workers_.Start(version);
  ASSERT_TRUE(WaitFor("the call arrives", [&] { return service.calls() == 1; }));
  workers_.Run([&] {
    call->stop.request_stop();
    EXPECT_TRUE(call->HasEnded());
  });
  EXPECT_THAT(call->Wait().status.message(), HasSubstr("cancelled"));
  EXPECT_TRUE(WaitFor("it is closed", [&] { return service.connections() == 0; }));
  const auto early = std::make_unique<TestCall>();
  early->stop.request_stop();
  workers_.Run([&] { version->Start(early->request, 0, early->stop.get_token(), *early); });
  EXPECT_FALSE(early->Wait().status.ok());
}

TEST_F(Remote, AVersionThatIsLetGoClosesItsConnections) {
  Service service;
  auto version = Load({service.url()});
  ASSERT_NE(version, nullptr);
  for (const size_t worker : {0, 1}) {
    ASSERT_TRUE(workers_.Ask(version, {}, 10'000, worker).status.ok());
  }
  ASSERT_TRUE(WaitFor("one a worker", [&] { return service.connections() == 2; }));
  version.reset();
  runtimes_.clear();
  EXPECT_TRUE(WaitFor("none", [&] { return service.connections() == 0; }));
}

TEST_F(Remote, WhatIsUnderWayIsLetGoWithItsVersionAndItsWorker) {
  Service service;
  service.delay_ms = 60'000;
  auto workers = std::make_unique<Workers>();
  auto version = Load({service.url()});
  ASSERT_NE(version, nullptr);
  const auto left = workers->Start(version);
  ASSERT_TRUE(WaitFor("it arrives", [&] { return service.calls() == 1; }));
  version.reset();
  ASSERT_TRUE(WaitFor("it is closed", [&] { return service.connections() == 0; }));
  workers->Run([&] { left->stop.request_stop(); });
  // The same, but that the worker goes first.
  version = Load({service.url()});
  ASSERT_NE(version, nullptr);
  const auto last = workers->Start(version);
  ASSERT_TRUE(WaitFor("it arrives", [&] { return service.calls() == 2; }));
  workers->Stop();
  version.reset();
  workers.reset();
  ASSERT_TRUE(WaitFor("it is closed", [&] { return service.connections() == 0; }));
  EXPECT_FALSE(left->HasEnded() || last->HasEnded());
}

TEST_F(Remote, TooManyCallsAreShed) {
  Service service;
  service.delay_ms = 60'000;
  entry_.max_connections = 1;
  const auto version = Load({service.url()});
  ASSERT_NE(version, nullptr);
  std::vector<std::unique_ptr<TestCall>> calls;
  for (int i = 0; i < 1025; ++i) calls.push_back(workers_.Start(version));
  const Outcome shed = workers_.Ask(version);
  EXPECT_EQ(shed.status.code(), Code::kResourceExhausted);
  EXPECT_THAT(shed.status.message(), HasSubstr("1024 calls wait"));
  workers_.Run([&] {
    for (const auto& call : calls) call->stop.request_stop();
  });
  for (const auto& call : calls) EXPECT_FALSE(call->Wait().status.ok());
}

}  // namespace
}  // namespace weir::node::runtime
