// SPDX-License-Identifier: Apache-2.0
// ops/prometheus against a real Prometheus that scrapes the real programs: the example's
// configuration, every rule evaluated without an error, every series that a rule names exported.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <regex>
#include <set>

#include "shared/base/text.h"
#include "shared/http/target.h"
#include "tests/integration/harness/cluster.h"
#include "tests/integration/harness/prometheus.h"

namespace weir::integration {
namespace {

constexpr char kRules[] = WEIR_SOURCE_DIR "/ops/prometheus/";

void Replace(std::string& text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos) << "the example has lost " << from;
  text.replace(at, from.size(), to);
}

class PrometheusRules : public ClusterTest {
 protected:
  // The example of ops/prometheus with this test's addresses, at a test's pace.
  void StartPrometheus() {
    std::string text = *ReadFile(std::string(kRules) + "prometheus.yml");
    Replace(text, "127.0.0.1:7080", api().address());
    Replace(text, "127.0.0.1:9090", node(0).admin_address());
    Replace(text, "scrape_interval: 15s", "scrape_interval: 1s");
    Replace(text, "evaluation_interval: 15s", "evaluation_interval: 1s");
    Replace(text, "- recording.yml", std::string("- ") + kRules + "recording.yml");
    Replace(text, "- alerts.yml", std::string("- ") + kRules + "alerts.yml");
    prometheus_.Start(text);
  }
  // The samples of an instant query.
  Json Query(const std::string& query) const {
    const Answer answer =
        Api(prometheus_.address()).Get("/api/v1/query?query=" + http::PercentEncode(query));
    if (!answer.ok()) return Json::array();
    return answer.json["data"]["result"];
  }
  std::vector<Json> Rules() const {
    std::vector<Json> rules;
    const Answer answer = Api(prometheus_.address()).Get("/api/v1/rules");
    if (!answer.ok()) return rules;
    for (const Json& group : answer.json["data"]["groups"]) {
      for (const Json& rule : group["rules"]) rules.push_back(rule);
    }
    return rules;
  }
  testing::AssertionResult EveryRuleIsHealthy() const {
    const std::vector<Json> rules = Rules();
    if (rules.empty()) return testing::AssertionFailure() << "no rules";
    for (const Json& rule : rules) {
      if (rule.value("health", "") != "ok") return testing::AssertionFailure() << rule.dump();
    }
    return testing::AssertionSuccess();
  }
  // What Prometheus was told that an exporter exports, with or without samples.
  testing::AssertionResult IsExported(const std::string& metric) const {
    const Answer answer =
        Api(prometheus_.address()).Get("/api/v1/targets/metadata?metric=" + metric);
    if (answer.ok() && !answer.json["data"].empty()) return testing::AssertionSuccess();
    return testing::AssertionFailure() << metric << " is exported by no program";
  }
  bool IsFiring(const std::string& alert) const {
    return !Query(fmt::format("ALERTS{{alertname=\"{}\",alertstate=\"firing\"}}", alert)).empty();
  }

  Prometheus prometheus_{dir.path()};
};

// The metrics of Weir that an expression names, without what a histogram adds to its name.
std::set<std::string> MetricsIn(const std::string& expression) {
  static const std::regex kName("\\b(weir_[a-z0-9_]+|process_[a-z0-9_]+)");
  static const std::regex kSuffix("_(bucket|sum|count)$");
  std::set<std::string> names;
  for (auto it = std::sregex_iterator(expression.begin(), expression.end(), kName);
       it != std::sregex_iterator(); ++it)
    names.insert(std::regex_replace(it->str(1), kSuffix, ""));
  return names;
}

TEST_F(PrometheusRules, StandOnWhatTheProgramsExport) {
  SKIP_WITHOUT_PROMETHEUS();
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0", "1.1.0"}));
  ASSERT_EQ(
      PutRollout(api(), RolloutResource("half", "1.1.0", {{.percentage = 50, .duration = "1h"}}))
          .status,
      201);
  ASSERT_NO_FATAL_FAILURE(StartPrometheus());
  Traffic traffic(Addresses(), 100);
  ASSERT_TRUE(WaitFor("both programs are scraped", [&] { return Query("up == 1").size() == 2; }))
      << Api(prometheus_.address()).Get("/api/v1/targets");
  ASSERT_TRUE(WaitFor("every rule is evaluated", [&] { return EveryRuleIsHealthy(); }));

  std::set<std::string> metrics;
  std::vector<std::string> recorded;
  for (const Json& rule : Rules()) {
    metrics.merge(MetricsIn(rule.value("query", "")));
    if (rule.value("type", "") == "recording") recorded.push_back(rule.value("name", ""));
  }
  EXPECT_GE(metrics.size(), 12u) << "the rules name hardly any metric";
  for (const std::string& metric : metrics) EXPECT_TRUE(IsExported(metric));
  for (const std::string& name : recorded) {
    EXPECT_TRUE(WaitFor(
        name, [&] { return testing::AssertionResult(!Query(name).empty()) << "has no sample"; }));
  }
  for (const char* arm : {"stable", "canary"}) {
    EXPECT_TRUE(WaitFor(arm, [&] {
      return !Query(fmt::format("weir:inference_duration_seconds:p95_5m{{arm=\"{}\"}} > 0", arm))
                  .empty();
    }));
  }
  EXPECT_TRUE(EveryRuleIsHealthy()) << "now that there is data";
  EXPECT_FALSE(IsFiring("WeirKillSwitch"));

  ASSERT_EQ(api().Patch("/v1/emergency/default", {{"spec", {{"kill_switch", true}}}}).status, 200);
  EXPECT_TRUE(WaitFor("the alert fires", [&] { return IsFiring("WeirKillSwitch"); }));
  node(0).Kill9();
  EXPECT_TRUE(WaitFor("the node's absence is pending", [&] {
    return !Query("ALERTS{alertname=\"WeirNotReady\",alertstate=\"pending\",job=\"weir-node\"}")
                .empty();
  }));
}

}  // namespace
}  // namespace weir::integration
