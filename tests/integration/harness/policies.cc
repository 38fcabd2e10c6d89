// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/harness/policies.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/integration/harness/fraud.h"

namespace weir::integration {

Json PolicyResource(const std::string& name, const Json& slo, const Json& remediation,
                    const Json& more) {
  Json spec = {{"slos", {slo}}, {"remediations", {remediation}}, {"cooldown", "6s"}};
  spec.update(more);
  return {{"apiVersion", "weir/v1"},
          {"kind", "Policy"},
          {"metadata", {{"name", name}}},
          {"spec", spec}};
}

void PutPolicy(const Api& control, const Json& resource) {
  const std::string name = resource["metadata"]["name"];
  const Answer answer = control.Put("/v1/policies/" + name, resource);
  ASSERT_EQ(answer.status, 201) << answer;
}

Json PolicyStatus(const Api& control, const std::string& policy) {
  const Answer answer = control.Get("/v1/policies/" + policy);
  return answer.ok() ? answer.json["status"] : Json();
}

uint64_t PolicyCount(const Api& control, const std::string& policy, const std::string& what) {
  const Json status = PolicyStatus(control, policy);
  return status.is_object() ? status.value(what, uint64_t{0}) : 0;
}

Json Acts(const Api& control) {
  const Answer answer = control.Get(fmt::format("/v1/limits/{}", kModel));
  return answer.ok() ? answer.json["spec"].value("acts", Json::array()) : Json::array();
}

std::vector<Json> RevisionsBy(const Api& control, const std::string& actor) {
  std::vector<Json> found;
  const Answer history = control.Get("/v1/history?limit=200");
  if (!history.ok()) return found;
  for (const Json& row : history.json["items"]) {
    if (row["actor"] == actor) found.push_back(row);
  }
  return found;
}

}  // namespace weir::integration
