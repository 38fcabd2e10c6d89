// SPDX-License-Identifier: Apache-2.0
// Answers as Prometheus 2 writes them (https://prometheus.io/docs/prometheus/latest/querying/api/).
#include <gtest/gtest.h>

#include "controlplane/gates/checks.h"

namespace weir::control::gates {
namespace {

using State = Outcome::State;

domain::Gate GateOf(const std::string& condition, const std::string& on_no_data = "") {
  domain::Gate gate;
  gate.type = "prometheus";
  gate.query = "up";
  gate.condition = condition;
  gate.on_no_data = on_no_data;
  return gate;
}

std::string Vector(const std::string& result) {
  return R"({"status":"success","data":{"resultType":"vector","result":[)" + result + "]}}";
}
constexpr char kOne[] = R"({"metric":{"__name__":"up","job":"api"},"value":[1435781451.781,"1"]})";
constexpr char kZero[] = R"({"metric":{"__name__":"up","job":"web"},"value":[1435781451.781,"0"]})";
constexpr char kNan[] = R"({"metric":{},"value":[1435781451.781,"NaN"]})";
constexpr char kInf[] = R"({"metric":{},"value":[1435781451.781,"+Inf"]})";

TEST(PrometheusGate, PassesWhenEverySampleHolds) {
  EXPECT_EQ(JudgePrometheusAnswer(GateOf("> 0.5"), 200, Vector(kOne)).state, State::kPassed);
  const Outcome outcome =
      JudgePrometheusAnswer(GateOf("> 0.5"), 200, Vector(std::string(kOne) + "," + kZero));
  EXPECT_EQ(outcome.state, State::kWaiting);
  EXPECT_EQ(outcome.reason, "up{job=\"web\"} is 0, required > 0.5");
  EXPECT_EQ(JudgePrometheusAnswer(GateOf("< 5"), 200, Vector(kInf)).state, State::kWaiting);
  EXPECT_EQ(JudgePrometheusAnswer(GateOf("> 5"), 200, Vector(kInf)).state, State::kPassed);
}

TEST(PrometheusGate, TakesAScalar) {
  const std::string scalar =
      R"({"status":"success","data":{"resultType":"scalar","result":[1435781451.781,"0.25"]}})";
  EXPECT_EQ(JudgePrometheusAnswer(GateOf("<= 0.25"), 200, scalar).state, State::kPassed);
  EXPECT_EQ(JudgePrometheusAnswer(GateOf("< 0.25"), 200, scalar).reason,
            "the value is 0.25, required < 0.25");
}

TEST(PrometheusGate, NoSampleIsAsTheGateSays) {
  for (const std::string& nothing : {Vector(""), Vector(kNan)}) {
    const Outcome waits = JudgePrometheusAnswer(GateOf("< 1"), 200, nothing);
    EXPECT_EQ(waits.state, State::kWaiting);
    EXPECT_EQ(waits.reason, "no data: the query up gives no sample");
    EXPECT_EQ(JudgePrometheusAnswer(GateOf("< 1", "pass"), 200, nothing).state, State::kPassed);
    EXPECT_EQ(JudgePrometheusAnswer(GateOf("< 1", "fail"), 200, nothing).state, State::kFailed);
  }
  EXPECT_EQ(
      JudgePrometheusAnswer(GateOf("< 1"), 200, Vector(std::string(kNan) + "," + kZero)).state,
      State::kPassed);
}

TEST(PrometheusGate, ShowsErrorsAndWaitsWhateverNoDataMeans) {
  const domain::Gate gate = GateOf("< 1", "pass");
  const Outcome bad = JudgePrometheusAnswer(
      gate, 400,
      R"({"status":"error","errorType":"bad_data","error":"1:3: parse error: unexpected <eof>"})");
  EXPECT_EQ(bad.state, State::kWaiting);
  EXPECT_EQ(bad.reason, "Prometheus: status 400: 1:3: parse error: unexpected <eof>");
  for (const char* body :
       {"<html>502</html>", "[]", "{}", R"({"status":"success"})", R"({"status":3})",
        R"({"status":"success","data":{"resultType":"matrix","result":[]}})",
        R"({"status":"success","data":{"resultType":"vector","result":[{"value":[1,"x"]}]}})",
        R"({"status":"success","data":{"resultType":"vector","result":[{"value":"x"}]}})",
        R"({"status":"success","data":{"resultType":"vector","result":[7]}})",
        R"({"status":"success","data":{"resultType":"scalar","result":[1]}})"}) {
    const Outcome outcome = JudgePrometheusAnswer(gate, 200, body);
    EXPECT_EQ(outcome.state, State::kWaiting) << body;
    EXPECT_EQ(outcome.reason.find("Prometheus: "), 0u) << body << " " << outcome.reason;
  }
}

}  // namespace
}  // namespace weir::control::gates
