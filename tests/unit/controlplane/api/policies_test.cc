// SPDX-License-Identifier: Apache-2.0
// What is asked of policies beside their documents.
#include <future>

#include "tests/unit/controlplane/api/api_fixture.h"

namespace weir::control::api {
namespace {

class ApiPolicies : public ApiTest {
 protected:
  void PutPolicy() {
    const Json policy = {{"apiVersion", "weir/v1"},
                         {"kind", "Policy"},
                         {"metadata", {{"name", "p"}}},
                         {"spec", {{"slos", {{{"metric", "error_rate"}, {"threshold", 0.1}}}}}}};
    ASSERT_EQ(Send("PUT", "/v1/policies/p", policy.dump()).status, 201);
  }
};

TEST_F(ApiPolicies, OneBacktestRunsAtATime) {
  ASSERT_NO_FATAL_FAILURE(PutPolicy());
  std::promise<void> begun;
  std::promise<void> may_end;
  replay_ = [&] {
    begun.set_value();
    may_end.get_future().wait();
    return Json{{"step_ms", 60'000}};
  };
  const std::string body = R"({"since": "1h"})";
  auto first = std::async(std::launch::async, [&] {
    return http::Client(api_->address()).Do("POST", "/v1/policies/p/backtest", {}, body);
  });
  begun.get_future().wait();
  http::Client other(api_->address());
  const auto refused = other.Do("POST", "/v1/policies/p/backtest", {}, body);
  may_end.set_value();
  const auto answered = first.get();
  ASSERT_TRUE(refused.ok()) << refused.status().ToString();
  EXPECT_EQ(refused->status, 429);
  EXPECT_EQ(refused->Header("Retry-After"), "5");
  EXPECT_THAT(refused->body, testing::HasSubstr("another backtest is under way"));
  ASSERT_TRUE(answered.ok()) << answered.status().ToString();
  EXPECT_EQ(answered->status, 200);
  replay_ = [] { return Json{{"step_ms", 1000}}; };
  EXPECT_EQ(Post("/v1/policies/p/backtest", {{"since", "1h"}}).json["step_ms"], 1000);
  EXPECT_EQ(Post("/v1/policies/p/backtest", {{"since", "1h"}}).status, 200);
}

}  // namespace
}  // namespace weir::control::api
