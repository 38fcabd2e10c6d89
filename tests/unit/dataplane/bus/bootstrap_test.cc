// SPDX-License-Identifier: Apache-2.0
#include "dataplane/bus/bootstrap.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "shared/http/server.h"
#include "shared/transport/keys.h"

namespace weir::node::bus {
namespace {

using Json = nlohmann::json;

class Bootstrap : public testing::Test {
 protected:
  // A server that bootstraps with `answer` and enrols with `enrol_status`.
  std::string Serve(int enrol_status, const std::string& enrol_body = "{}") {
    EXPECT_TRUE(server
                    .Start({},
                           [=, this](std::shared_ptr<http::Exchange> exchange) {
                             http::Response response;
                             response.body = answer.dump();
                             if (exchange->request().method == "POST") {
                               enrolled = std::string(exchange->request().body);
                               response.status = enrol_status;
                               response.body = enrol_body;
                             }
                             exchange->Respond(response);
                           })
                    .ok());
    return "http://" + server.address();
  }

  const std::string key = transport::GenerateKeyPair()->public_key;
  Json answer{{"epoch", 7},
              {"server_key", key},
              {"fingerprint", transport::Fingerprint(key)},
              {"heartbeat_ms", 500},
              {"channels",
               {{"cfg", "tcp://127.0.0.1:1"},
                {"session", "tcp://127.0.0.1:2"},
                {"telemetry", "tcp://127.0.0.1:3"}}}};
  std::string enrolled;
  http::Server server;
};

TEST_F(Bootstrap, SaysWhereTheChannelsAre) {
  const auto channels = ParseBootstrap(answer.dump());
  ASSERT_TRUE(channels.ok()) << channels.status().ToString();
  EXPECT_EQ(channels->epoch, 7u);
  EXPECT_EQ(channels->server_key, key);
  EXPECT_EQ(channels->cfg, "tcp://127.0.0.1:1");
  EXPECT_EQ(channels->session, "tcp://127.0.0.1:2");
  EXPECT_EQ(channels->telemetry, "tcp://127.0.0.1:3");
  EXPECT_EQ(channels->heartbeat_ms, 500);
}

TEST_F(Bootstrap, RefusesAnAnswerThatLacksSomething) {
  for (const char* name : {"epoch", "server_key", "fingerprint", "channels"}) {
    Json lacking = answer;
    lacking.erase(name);
    const auto channels = ParseBootstrap(lacking.dump());
    ASSERT_FALSE(channels.ok()) << name;
    EXPECT_NE(channels.status().message().find(name), std::string::npos);
  }
  Json wrong = answer;
  wrong["channels"].erase("session");
  EXPECT_FALSE(ParseBootstrap(wrong.dump()).ok());
  wrong = answer;
  wrong["fingerprint"] = std::string(32, '0');
  EXPECT_FALSE(ParseBootstrap(wrong.dump()).ok());
  wrong = answer;
  wrong["heartbeat_ms"] = 0;
  EXPECT_FALSE(ParseBootstrap(wrong.dump()).ok());
  EXPECT_FALSE(ParseBootstrap("<html>").ok());
}

TEST_F(Bootstrap, ATokenIsForOneServerKeyOnly) {
  EXPECT_TRUE(CheckToken("", key).ok());
  EXPECT_TRUE(CheckToken("secret." + transport::Fingerprint(key), key).ok());
  EXPECT_FALSE(CheckToken("secret." + std::string(32, '0'), key).ok());
  EXPECT_FALSE(CheckToken("secret", key).ok());
}

TEST_F(Bootstrap, EnrolsWithTheFirstAddressThatAnswers) {
  JoinRequest request{{"http://127.0.0.1:1", Serve(200)}, "n1", "the key", ""};
  const auto channels = Join(request);
  ASSERT_TRUE(channels.ok()) << channels.status().ToString();
  EXPECT_EQ(channels->control, request.control[1]);
  EXPECT_EQ(Json::parse(enrolled), (Json{{"node", "n1"}, {"public_key", "the key"}}));
}

TEST_F(Bootstrap, SaysWhyItWasNotLetIn) {
  const std::string url = Serve(403, R"({"title": "Forbidden", "detail": "the token was used"})");
  const auto channels = Join({{url}, "n1", "the key", ""});
  ASSERT_FALSE(channels.ok());
  EXPECT_EQ(channels.status().code(), Code::kFailedPrecondition);
  EXPECT_NE(channels.status().message().find(url), std::string::npos);
  EXPECT_NE(channels.status().message().find("the token was used"), std::string::npos);
}

TEST_F(Bootstrap, TellsAnotherServerNothing) {
  const std::string url = Serve(200);
  EXPECT_FALSE(Join({{url}, "n1", "the key", "secret." + std::string(32, '0')}).ok());
  EXPECT_EQ(enrolled, "") << "the secret must not reach it";
}

}  // namespace
}  // namespace weir::node::bus
