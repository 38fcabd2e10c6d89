// SPDX-License-Identifier: Apache-2.0
// The documents have the shape of the examples of the OpenSLO specification, v1
// (https://github.com/OpenSLO/OpenSLO).
#include "shared/codec/openslo_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shared/domain/policy.h"
#include "tests/unit/shared/codec/read_files.h"

namespace weir::codec {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string Availability(const std::string& annotations) {
  return "apiVersion: openslo/v1\nkind: SLO\nmetadata:\n  name: web-availability\n" + annotations +
         R"(  labels: {env: [prod], team: [a, b]}
spec:
  description: most requests are answered
  service: fraud_detection
  indicator:
    metadata: {name: good-requests}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: Prometheus, spec: {query: 'sum(http_requests{code="2xx"})'}}}
        total: {metricSource: {type: Prometheus, spec: {query: sum(http_requests)}}}
  timeWindow: [{duration: 4w, isRolling: true}]
  budgetingMethod: Occurrences
  objectives:
    - {displayName: Good, target: 0.995}
  alertPolicies: [page-somebody]
)";
}

TEST(OpenSlo, ARatioWithAMetricOfOursIsAnErrorBudget) {
  const FileContent content = ReadResources(
      Availability(
          "  annotations: {weir.dev/metric: error_rate, weir.dev/model: fraud_detection}\n"),
      "slo.yaml");
  EXPECT_THAT(Texts(content.errors), IsEmpty());
  ASSERT_THAT(content.documents, SizeIs(1));
  const ResourceDocument& document = content.documents[0];
  EXPECT_EQ(document.name, "web-availability");
  EXPECT_EQ(document.metadata["labels"], (Json{{"env", "prod"}, {"team", "a"}}));
  const domain::PolicySpec spec = SpecOf(document);
  EXPECT_EQ(spec.description, "most requests are answered");
  ASSERT_THAT(spec.slos, SizeIs(1));
  EXPECT_EQ(spec.slos[0].name, "Good");
  EXPECT_EQ(spec.slos[0].metric, "error_rate");
  EXPECT_EQ(spec.slos[0].model, "fraud_detection");
  EXPECT_EQ(spec.slos[0].target, 0.995);
  EXPECT_EQ(spec.slos[0].window.ms, 28LL * 86'400'000);
  EXPECT_THAT(Texts(content.warnings),
              ElementsAre(AllOf(HasSubstr("metadata.labels.team"), HasSubstr("keeps the first, a")),
                          AllOf(HasSubstr("spec.alertPolicies are left out"), HasSubstr("14.4"))));
}

TEST(OpenSlo, AQueryThatNobodyAsksSaysHowToNameOurMetric) {
  const FileContent content = ReadResources(Availability(""), "slo.yaml");
  EXPECT_THAT(content.documents, IsEmpty());
  EXPECT_THAT(Texts(content.errors),
              ElementsAre(AllOf(HasSubstr("spec.indicator.spec is asked of Prometheus"),
                                HasSubstr("weir.dev/metric: error_rate, weir.dev/model: NAME"),
                                HasSubstr("p99_latency_ms"))));
}

TEST(OpenSlo, WithoutAModelTheServiceIsTakenForItAndSaidToBe) {
  const FileContent content =
      ReadResources(Availability("  annotations: {weir.dev/metric: error_rate}\n"), "slo.yaml");
  EXPECT_THAT(Texts(content.errors), IsEmpty());
  EXPECT_EQ(SpecOf(content.documents.at(0)).slos[0].model, "fraud_detection");
  EXPECT_THAT(Texts(content.warnings),
              testing::Contains(AllOf(HasSubstr("spec.service"), HasSubstr("weir.dev/model"))));
  const FileContent all = ReadResources(
      Availability("  annotations: {weir.dev/metric: error_rate, weir.dev/model: \"*\"}\n"),
      "slo.yaml");
  EXPECT_EQ(SpecOf(all.documents.at(0)).slos[0].model, "");
}

constexpr char kLatency[] = R"(apiVersion: openslo/v1
kind: SLO
metadata: {name: quick, annotations: {weir.dev/model: m}}
spec:
  service: m
  indicatorRef: latency
  timeWindow: [{duration: 1w, isRolling: false, calendar: {startTime: 2022-01-01 12:00:00}}]
  budgetingMethod: Timeslices
  objectives:
    - {displayName: most, op: lte, value: 200, target: 0.99, timeSliceTarget: 0.9}
    - {displayName: nearly all, op: lt, value: 1000, targetPercent: 99.9}
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: latency}
spec:
  thresholdMetric:
    metricSource: {type: Weir, spec: {metric: latency_p99}}
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: mail}
spec: {target: email}
)";

TEST(OpenSlo, AThresholdMetricOfTypeWeirIsFoundByReference) {
  const FileContent content = ReadResources(kLatency, "slo.yaml");
  EXPECT_THAT(Texts(content.errors), IsEmpty());
  ASSERT_THAT(content.documents, SizeIs(1));
  const domain::PolicySpec spec = SpecOf(content.documents[0]);
  ASSERT_THAT(spec.slos, SizeIs(2));
  EXPECT_EQ(spec.slos[0].metric, "p99_latency_ms");
  EXPECT_EQ(spec.slos[0].threshold, 200);
  EXPECT_EQ(spec.slos[0].comparison, "<=");
  EXPECT_EQ(spec.slos[0].target, 0.99);
  EXPECT_EQ(spec.slos[1].name, "nearly-all");
  EXPECT_EQ(spec.slos[1].target, 0.999);
  EXPECT_THAT(Texts(content.warnings),
              ElementsAre(HasSubstr("spec.timeWindow[0] follows the calendar"),
                          HasSubstr("spec.budgetingMethod is Timeslices"),
                          HasSubstr("spec.objectives[0].timeSliceTarget is left out"),
                          HasSubstr("AlertNotificationTarget is left out: write a Sink")));
}

TEST(OpenSlo, WhatHasNoBudgetIsHeldToItsValue) {
  std::string text = kLatency;
  text.replace(text.find("latency_p99"), 11, "throughput ");
  text.replace(text.find("op: lte, value: 200"), 19, "op: gte, value: 50 ");
  const FileContent content = ReadResources(text, "slo.yaml");
  EXPECT_THAT(Texts(content.errors), IsEmpty());
  const domain::PolicySpec spec = SpecOf(content.documents.at(0));
  EXPECT_EQ(spec.slos[0].metric, "throughput");
  EXPECT_EQ(spec.slos[0].comparison, ">=");
  EXPECT_EQ(spec.slos[0].target, std::nullopt);
  EXPECT_EQ(spec.slos[1].comparison, "<") << "a maximum";
  EXPECT_THAT(Texts(content.warnings),
              testing::Contains(HasSubstr("spec.objectives[0].target is left out")));
}

TEST(OpenSlo, AnErrorRateWithAValueIsHeldToIt) {
  std::string text = kLatency;
  text.replace(text.find("latency_p99"), 11, "error_rate ");
  text.replace(text.find("value: 200"), 10, "value: 0.1");
  text.replace(text.find("value: 1000"), 11, "value: 0.05");
  const FileContent content = ReadResources(text, "slo.yaml");
  EXPECT_THAT(Texts(content.errors), IsEmpty());
  const domain::PolicySpec spec = SpecOf(content.documents.at(0));
  EXPECT_EQ(spec.slos[1].threshold, 0.05);
  EXPECT_EQ(spec.slos[1].comparison, "<");
  EXPECT_EQ(spec.slos[1].target, std::nullopt);
  EXPECT_THAT(Texts(content.warnings),
              testing::Contains(HasSubstr("spec.objectives[1].targetPercent is left out")));
}

TEST(OpenSlo, ErrorsStandWhereTheFileHasThem) {
  const auto errors_of = [](const std::string& from, const std::string& to) {
    std::string text = kLatency;
    text.replace(text.find(from), from.size(), to);
    return Texts(ReadResources(text, "slo.yaml").errors);
  };
  EXPECT_THAT(errors_of("openslo/v1", "openslo/v2"),
              ElementsAre(HasSubstr("1: apiVersion \"openslo/v2\" is not openslo/v1")));
  EXPECT_THAT(errors_of("kind: SLI", "kind: SLX"),
              testing::Contains(HasSubstr("kind \"SLX\" is not a kind of openslo/v1")));
  EXPECT_THAT(errors_of("indicatorRef: latency", "indicatorRef: latencies"),
              ElementsAre(AllOf(HasSubstr("6: spec.indicatorRef there is no SLI \"latencies\""),
                                HasSubstr("weir.dev/metric"))));
  EXPECT_THAT(
      errors_of("duration: 1w", "duration: 1Q"),
      ElementsAre(HasSubstr("7: spec.timeWindow[0].duration 1Q is longer than the 35 days")));
  EXPECT_THAT(errors_of("duration: 1w", "duration: soon"),
              ElementsAre(HasSubstr("\"soon\" is not a length")));
  EXPECT_THAT(errors_of("op: lte", "op: gte"),
              ElementsAre(HasSubstr("10: spec.objectives[0].op gte would want p99_latency_ms")));
  EXPECT_THAT(errors_of("target: 0.99,", "target: 99,"),
              ElementsAre(HasSubstr("10: spec.objectives[0].target 99 is not between 0 and 1")));
  EXPECT_THAT(errors_of("value: 200, ", ""),
              ElementsAre(HasSubstr("10: spec.objectives[0].value is missing")));
  EXPECT_THAT(errors_of("metric: latency_p99", "metric: latency_p97"),
              ElementsAre(HasSubstr("spec \"latency_p97\""), HasSubstr("spec \"latency_p97\"")));
  EXPECT_THAT(errors_of("  objectives:", "  objektives:"),
              testing::Contains(HasSubstr("spec.objektives is not known (did you mean")));
}

}  // namespace
}  // namespace weir::codec
