// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/event_source.h"
#include "tests/unit/dataplane/front/node.h"

namespace weir::node::front {
namespace {

class FrontOfrep : public NodeTest {
 protected:
  void TearDown() override {
    if (front_ != nullptr) front_->Stop();  // ends the stream
    source_.reset();
  }

  std::unique_ptr<fakes::EventSource> source_;
};

TEST_F(FrontOfrep, WhoeverIsAskedAfterAnEventDecidesByTheNewRules) {
  FrontOptions options;
  options.http.workers = 3;
  Start(std::move(options));
  PublishRules();
  std::vector<http::Client> clients;  // the acceptor spreads them over the workers
  for (int i = 0; i < 6; ++i) clients.emplace_back(front_->http_address());
  source_ = std::make_unique<fakes::EventSource>(front_->http_address(), "/ofrep/v1/stream");
  ASSERT_TRUE(source_->Next().has_value()) << "the rules are new";
  for (int i = 0; i < 20; ++i) {
    emergency_.kill_switch = !emergency_.kill_switch;
    PublishRules();
    ASSERT_TRUE(source_->Next().has_value());
    for (http::Client& client : clients) {
      const auto answer = client.Do("POST", "/ofrep/v1/evaluate/flags/ttft_pipeline", {},
                                    R"({"context": {"targetingKey": "user-2"}})");
      ASSERT_TRUE(answer.ok()) << answer.status().ToString();
      EXPECT_EQ(json::parse(answer->body)["value"], !emergency_.kill_switch) << answer->body;
    }
  }
}

TEST_F(FrontOfrep, IsTheApplicationsAddressOnly) {
  FrontOptions options;
  options.admin.emplace();
  Start(std::move(options));
  PublishRules();
  http::Client admin(front_->admin_address());
  EXPECT_EQ(admin.Do("POST", "/ofrep/v1/evaluate/flags")->status, 404);
  EXPECT_EQ(Do("POST", "/ofrep/v1/evaluate/flags").status, 200);
}

}  // namespace
}  // namespace weir::node::front
