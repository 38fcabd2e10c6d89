// SPDX-License-Identifier: Apache-2.0
// Three nodes serve a pushed model over the Open Inference Protocol, and bad requests are the
// client's errors.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/text.h"
#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

class Serving : public ClusterTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(StartCluster(3));
    ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
    ASSERT_TRUE(WaitFor("head", [&] { return EveryoneIsAtHead(); }));
  }
};

std::vector<float> RowOf(const std::string& request) {
  return codec::ParseJson(request)->at("inputs")[0]["data"].get<std::vector<float>>();
}

std::string Body(const Json& data, const Json& shape, const std::string& datatype = "FP32",
                 const std::string& name = "features") {
  return Json{
      {"inputs", {{{"name", name}, {"shape", shape}, {"datatype", datatype}, {"data", data}}}}}
      .dump();
}

// Sends bytes that need not be HTTP, and reads until the server ends the connection.
std::string SendRaw(const std::string& address, const std::string& bytes) {
  const std::vector<std::string> parts = Split(address, ':');
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in peer{};
  peer.sin_family = AF_INET;
  peer.sin_port = htons(static_cast<uint16_t>(std::stoi(parts[1])));
  ::inet_pton(AF_INET, parts[0].c_str(), &peer.sin_addr);
  std::string answer;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)) == 0 &&
      ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0) {
    ::shutdown(fd, SHUT_WR);
    char buffer[4096];
    for (ssize_t n = 0; (n = ::recv(fd, buffer, sizeof(buffer), 0)) > 0;) answer.append(buffer, n);
  }
  ::close(fd);
  return answer;
}

// The value of a line of /metrics, by its beginning; -1 if there is none.
double MetricOf(const std::string& text, const std::string& start) {
  for (const std::string& line : Split(text, '\n')) {
    if (line.rfind(start, 0) == 0) return std::stod(line.substr(line.rfind(' ') + 1));
  }
  return -1;
}

TEST_F(Serving, EveryNodeGivesTheModelsAnswerAndSaysWhoGaveIt) {
  const Json model = codec::ParseJson(ModelFile("1.0.0")).value();
  const Json head = api().Get("/v1/snapshot").json;
  const std::string snapshot =
      fmt::format("{}.{}", head["epoch"].get<uint64_t>(), head["version"].get<uint64_t>());
  for (const auto& node : nodes) {
    for (size_t i = 0; i < 50; ++i) {
      const Answer answer = Infer(node->api(), Requests()[i]);
      ASSERT_EQ(answer.status, 200) << answer;
      EXPECT_EQ(answer.json["model_name"], kModel);
      EXPECT_EQ(answer.json["model_version"], "1.0.0");
      const double score = answer.json["outputs"][0]["data"][0];
      EXPECT_NEAR(score, WalkTrees(model, RowOf(Requests()[i])), 1e-5);
      EXPECT_EQ(answer.Header("x-weir-version"), "1.0.0");
      EXPECT_EQ(answer.Header("x-weir-arm"), "stable");
      EXPECT_EQ(answer.Header("x-weir-snapshot"), snapshot);
    }
  }
}

TEST_F(Serving, SeveralRowsAndAnExplicitVersionAreAnswered) {
  const std::vector<float> first = RowOf(Requests()[2]);
  const std::vector<float> second = RowOf(Requests()[3]);
  Json rows = Json::array({first, second});
  const Json model = codec::ParseJson(ModelFile("1.1.0")).value();
  const Answer nested = Infer(node(0).api(), Body(rows, {2, 12}), "", "1.1.0");
  ASSERT_EQ(nested.status, 200) << nested;
  EXPECT_EQ(nested.Header("x-weir-version"), "1.1.0");
  EXPECT_EQ(nested.Header("x-weir-arm"), "pinned");
  const Json& data = nested.json["outputs"][0]["data"];
  ASSERT_EQ(data.size(), 2u);
  EXPECT_NEAR(data[0].get<double>(), WalkTrees(model, first), 1e-5);
  EXPECT_NEAR(data[1].get<double>(), WalkTrees(model, second), 1e-5);

  std::vector<float> flat = first;
  flat.insert(flat.end(), second.begin(), second.end());
  const Answer same = Infer(node(0).api(), Body(flat, {2, 12}), "", "1.1.0");
  ASSERT_EQ(same.status, 200) << same;
  EXPECT_EQ(same.json["outputs"], nested.json["outputs"]);
}

TEST_F(Serving, NodesAndModelDescribeThemselves) {
  const Answer list = api().Get("/v1/nodes");
  ASSERT_EQ(list.status, 200) << list;
  ASSERT_EQ(list.json["items"].size(), 3u);
  for (const Json& row : list.json["items"]) EXPECT_EQ(row["state"], "ready") << row;
  const Answer model = node(1).api().Get(std::string("/v2/models/") + kModel);
  ASSERT_EQ(model.status, 200) << model;
  EXPECT_EQ(model.json["versions"], Json({"1.0.0", "1.1.0"}));
  EXPECT_EQ(model.json["inputs"][0]["shape"], Json({-1, 12}));
  EXPECT_EQ(node(1).api().Get("/v2/health/live").status, 200);
  EXPECT_EQ(node(1).api().Get("/v2/health/ready").status, 200);
  EXPECT_EQ(node(1).api().Get("/health").status, 200);
  const Answer choice =
      node(1).api().Get(std::string("/weir/v1/select?user_id=user-1&model=") + kModel);
  ASSERT_EQ(choice.status, 200) << choice;
  EXPECT_EQ(choice.json["version"], "1.0.0");
  EXPECT_EQ(choice.json["is_canary"], false);
}

TEST_F(Serving, BadRequestsGetTheirStatusAndTheNodeGoesOn) {
  const Json row = RowOf(Requests()[0]);
  const Json eleven(row.begin(), row.begin() + 11);
  struct Case {
    const char* what;
    std::string body;
  };
  const Case client_errors[] = {
      {"empty", ""},
      {"garbage", "\x01\x02 not json"},
      {"cut off", Requests()[0].substr(0, 40)},
      {"not an object", "[1,2]"},
      {"no inputs", "{}"},
      {"wrong shape", Body(eleven, {1, 11})},
      {"fewer elements than the shape says", Body(eleven, {1, 12})},
      {"negative shape", Body(row, {-1, 12})},
      {"overflowing shape", Body(row, {9223372036854775807, 12})},
      {"wrong datatype", Body(row, {1, 12}, "INT64")},
      {"unknown datatype", Body(row, {1, 12}, "FP31")},
      {"text for a number", Body(Json(std::vector<std::string>(12, "x")), {1, 12})},
      {"another input", Body(row, {1, 12}, "FP32", "other")},
      {"deep nesting", std::string(100'000, '[')},
  };
  const Api n1 = node(0).api();
  for (const Case& bad : client_errors) {
    const Answer answer = Infer(n1, bad.body);
    EXPECT_EQ(answer.status, 400) << bad.what << ": " << answer;
    EXPECT_TRUE(answer.json.is_object() && answer.json["error"].is_string()) << bad.what;
  }
  EXPECT_EQ(n1.Call("POST", "/v2/models/nobody/infer", Requests()[0]).status, 404);
  EXPECT_EQ(Infer(n1, Requests()[0], "", "9.9.9").status, 404);
  EXPECT_EQ(n1.Get("/v2/nothing").status, 404);
  EXPECT_EQ(n1.Get(fmt::format("/v2/models/{}/infer", kModel)).status, 405);
  EXPECT_EQ(Infer(n1, std::string(9 << 20, ' ')).status, 413);
  const std::string garbage =
      SendRaw(n1.address(), std::string("\0\x16\x03\x01 nonsense\r\n\r\n", 18));
  EXPECT_TRUE(garbage.empty() || garbage.rfind("HTTP/1.1 400", 0) == 0) << garbage;

  EXPECT_EQ(Infer(n1, Requests()[0]).status, 200);
  const std::string metrics = n1.Get("/metrics").text;
  EXPECT_EQ(MetricOf(metrics,
                     "weir_inference_errors_total{model=\"fraud_detection\","
                     "model_version=\"1.0.0\",arm=\"stable\"}"),
            0)
      << metrics;
  EXPECT_EQ(MetricOf(metrics,
                     "weir_inference_requests_total{model=\"fraud_detection\","
                     "model_version=\"1.0.0\",arm=\"stable\"}"),
            1);
}

}  // namespace
}  // namespace weir::integration
