// SPDX-License-Identifier: Apache-2.0
// The body of an OFREP evaluation, from its bytes to the answer's. What is read reads the same
// again; every answer is JSON, has a standard status, and is the same twice.
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "dataplane/ofrep/answer.h"
#include "dataplane/ofrep/request.h"
#include "shared/decision/decide.h"
#include "tests/fuzz/require.h"

namespace weir {
namespace {

using node::ofrep::EvaluationRequest;
using targeting::Value;

decision::Ruleset Rules() {
  decision::Ruleset rules;
  domain::FlagEntry rollout;
  rollout.name = "rollout";
  rollout.enabled = true;
  rollout.threshold = 50'000;
  rollout.seed = "seed";
  rules.Set(rollout);
  domain::FlagEntry variant;
  variant.name = "variant";
  variant.enabled = true;
  variant.variants = {{"off", {"false"}}, {"on", {"true"}}};
  variant.default_variant = variant.off_variant = "off";
  variant.targeting.text =
      R"({"if":[{"in":["@example.com",{"var":"email"}]},"on",)"
      R"({"fractional":[{"cat":[{"var":"a"},{"var":"b.0"}]},["on",{"var":"n"}],["off",50]]}]})";
  rules.Set(variant);
  variant.name = "echo";  // chooses whatever the caller says
  variant.targeting.text = R"({"var":"variant"})";
  rules.Set(variant);
  return rules;
}

bool Same(const Value& a, const Value& b) {
  if (a.type() != b.type()) return false;
  switch (a.type()) {
    case Value::Type::kNull:
      return true;
    case Value::Type::kBool:
      return a.boolean() == b.boolean();
    case Value::Type::kNumber: {
      const double numbers[] = {a.number(), b.number()};
      return std::memcmp(&numbers[0], &numbers[1], sizeof(double)) == 0;
    }
    case Value::Type::kText:
      return a.text() == b.text();
    case Value::Type::kList:
      for (size_t i = 0; i < a.size() && a.size() == b.size(); ++i)
        if (!Same(a.items()[i], b.items()[i])) return false;
      return a.size() == b.size();
    case Value::Type::kMap:
      for (size_t i = 0; i < a.size() && a.size() == b.size(); ++i) {
        if (a.members()[i].name != b.members()[i].name) return false;
        if (!Same(a.members()[i].value, b.members()[i].value)) return false;
      }
      return a.size() == b.size();
  }
  return false;
}

std::string Answer(const decision::Ruleset& rules, std::string_view flag,
                   const EvaluationRequest& request) {
  const decision::FlagInputs inputs{.key = request.targeting_key,
                                    .random = 7,
                                    .now_wall_ms = 1'770'000'000'000,
                                    .context = request.context};
  const decision::FlagDecision decision = decision::DecideFlag(rules, flag, inputs);
  const int status = node::ofrep::StatusOf(decision);
  WEIR_REQUIRE(status == 200 || status == 400 || status == 404, std::to_string(status));
  std::string out;
  node::ofrep::AppendDecision(flag, decision, &out);
  return out;
}

void CheckAnswers(const decision::Ruleset& rules, const EvaluationRequest& request) {
  for (const std::string_view flag : {"rollout", "variant", "echo", "missing"}) {
    const std::string answer = Answer(rules, flag, request);
    const auto json = nlohmann::json::parse(answer, nullptr, false);
    WEIR_REQUIRE(json.is_object() && json.value("key", "") == flag, answer);
    WEIR_REQUIRE(Answer(rules, flag, request) == answer, answer);
  }
}

}  // namespace
}  // namespace weir

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir;  // NOLINT
  static const decision::Ruleset rules = Rules();
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  node::ofrep::RequestReader reader;
  targeting::Arena arena;
  EvaluationRequest request;
  const auto error = reader.Read(body, arena, &request);
  if (error.has_value()) {
    std::string out;
    node::ofrep::AppendError("key", error->code, error->details, &out);
    WEIR_REQUIRE(nlohmann::json::accept(out), out);
    return 0;
  }
  CheckAnswers(rules, request);
  node::ofrep::RequestReader second_reader;
  targeting::Arena second_arena;
  EvaluationRequest again;
  WEIR_REQUIRE(!second_reader.Read(body, second_arena, &again).has_value(), "the second time");
  WEIR_REQUIRE(request.targeting_key == again.targeting_key, std::string(again.targeting_key));
  WEIR_REQUIRE(Same(request.context, again.context), "the second time");
  return 0;
}
