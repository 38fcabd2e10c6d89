// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/direct.h"

#include <gmock/gmock.h>

#include <mutex>

#include "shared/http/server.h"

namespace weir::control::cli {
namespace {

using codec::Json;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(ReadNodeAddresses, TakesOnePerLineAndLeavesOutComments) {
  const auto nodes = ReadNodeAddresses(
      "# rack 7\n127.0.0.1:9090\n\n  http://node-2:9090/ # the new one\r\n[::1]:9090\n",
      "nodes.txt");
  ASSERT_TRUE(nodes.ok()) << nodes.status().ToString();
  EXPECT_THAT(*nodes, ElementsAre("127.0.0.1:9090", "http://node-2:9090/", "[::1]:9090"));
}

TEST(OverrideDirectly, SaysWhatIsNoAddressAndTellsTheOthers) {
  for (const char* bad : {"node-2", "node-2:", "node-2:0", "node-2:70000", ":9090",
                          "ftp://node-2:9090", "http://node-2:9090/x", "a b:1"}) {
    const auto nodes = ReadNodeAddresses(std::string(bad) + "\n", "nodes.txt");
    ASSERT_TRUE(nodes.ok()) << bad;
    const auto answers = OverrideDirectly(*nodes, Json::object(), {"token", "alice", 100});
    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers[0].state, "unreachable");
    EXPECT_THAT(answers[0].detail, HasSubstr("is not host:port"));
  }
  EXPECT_FALSE(ReadNodeAddresses("# nobody\n", "nodes.txt").ok());
}

// A server in the node's place: what it was asked, and the answer of its choice.
class Told {
 public:
  Told(int status, std::string body) {
    const Status started = server_.Start({}, [=, this](const auto& exchange) {
      const http::Request& request = exchange->request();
      {
        const std::lock_guard lock(mutex_);
        asked_.push_back(fmt::format("{} {} {} {} {}", request.method, request.target,
                                     request.Header("authorization"),
                                     request.Header("x-weir-actor"), request.body));
      }
      http::Response response;
      response.status = status;
      response.body = body;
      exchange->Respond(std::move(response));
    });
    EXPECT_TRUE(started.ok()) << started.ToString();
  }
  std::string address() const { return server_.address(); }
  void Stop() { server_.Stop(); }
  std::vector<std::string> asked() const {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

 private:
  mutable std::mutex mutex_;  // the server's thread and the test meet at what was asked
  std::vector<std::string> asked_;
  http::Server server_;
};

TEST(OverrideDirectly, TellsEveryNodeAndSaysWhatEachAnswered) {
  Told good(200, R"({"overrides": []})");
  Told strict(403, R"({"error": "the break-glass token is wrong"})");
  Told gone(200, "");
  const std::string nobody = gone.address();
  gone.Stop();
  const auto answers =
      OverrideDirectly({good.address(), nobody, "http://" + strict.address()},
                       {{"emergency", {{"kill_switch", true}}}}, {"secret", "alice@host", 2000});
  ASSERT_EQ(answers.size(), 3u);
  EXPECT_EQ(answers[0].state, "applied");
  EXPECT_EQ(answers[0].node, good.address());
  EXPECT_EQ(answers[1].state, "unreachable");
  EXPECT_THAT(answers[1].detail, HasSubstr(nobody));
  EXPECT_EQ(answers[2].state, "refused");
  EXPECT_EQ(answers[2].detail, "403 the break-glass token is wrong");
  EXPECT_THAT(good.asked(), ElementsAre("POST /weir/v1/override Bearer secret alice@host "
                                        R"({"emergency":{"kill_switch":true}})"));
}

// Answers only once both have been asked: one after the other would time out.
TEST(OverrideDirectly, AsksAllAtTheSameTime) {
  std::mutex mutex;
  std::vector<std::shared_ptr<http::Exchange>> waiting;
  http::Server server;
  ASSERT_TRUE(server
                  .Start({},
                         [&](const std::shared_ptr<http::Exchange>& exchange) {
                           const std::lock_guard lock(mutex);
                           waiting.push_back(exchange);
                           if (waiting.size() < 2) return;
                           for (const auto& one : waiting) one->Respond({});
                           waiting.clear();
                         })
                  .ok());
  const auto answers = OverrideDirectly({server.address(), server.address()}, Json::object(),
                                        {"t", "alice@host", 10'000});
  EXPECT_EQ(answers[0].state, "applied") << answers[0].detail;
  EXPECT_EQ(answers[1].state, "applied") << answers[1].detail;
  server.Stop();
}

}  // namespace
}  // namespace weir::control::cli
