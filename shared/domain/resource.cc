// SPDX-License-Identifier: Apache-2.0
#include "shared/domain/resource.h"

#include <algorithm>
#include <cctype>

namespace weir::domain {

const char* KindName(Kind kind) {
  switch (kind) {
    case Kind::kFlag:
      return "Flag";
    case Kind::kModel:
      return "Model";
    case Kind::kRollout:
      return "Rollout";
    case Kind::kExperiment:
      return "Experiment";
    case Kind::kEmergency:
      return "Emergency";
    case Kind::kObservability:
      return "Observability";
    case Kind::kSink:
      return "Sink";
    case Kind::kToken:
      return "Token";
    case Kind::kPolicy:
      return "Policy";
    case Kind::kLimit:
      return "Limit";
    case Kind::kSilence:
      return "Silence";
  }
  return "?";
}

const char* KindPlural(Kind kind) {
  switch (kind) {
    case Kind::kFlag:
      return "flags";
    case Kind::kModel:
      return "models";
    case Kind::kRollout:
      return "rollouts";
    case Kind::kExperiment:
      return "experiments";
    case Kind::kEmergency:
      return "emergency";
    case Kind::kObservability:
      return "observability";
    case Kind::kSink:
      return "sinks";
    case Kind::kToken:
      return "tokens";
    case Kind::kPolicy:
      return "policies";
    case Kind::kLimit:
      return "limits";
    case Kind::kSilence:
      return "silences";
  }
  return "?";
}

std::optional<Kind> ParseKind(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const Kind kind : kKinds) {
    std::string name = KindName(kind);
    name[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(name[0])));
    if (lower == name || lower == KindPlural(kind)) return kind;
  }
  return std::nullopt;
}

bool Selects(const Labels& selector, const Labels& labels) {
  return std::all_of(selector.begin(), selector.end(), [&](const auto& wanted) {
    const auto found = labels.find(wanted.first);
    return found != labels.end() && found->second == wanted.second;
  });
}

Spec EmptySpec(Kind kind) {
  switch (kind) {
    case Kind::kFlag:
      return FlagSpec{};
    case Kind::kModel:
      return ModelSpec{};
    case Kind::kRollout:
      return RolloutSpec{};
    case Kind::kExperiment:
      return ExperimentSpec{};
    case Kind::kEmergency:
      return EmergencySpec{};
    case Kind::kObservability:
      return ObservabilitySpec{};
    case Kind::kSink:
      return SinkSpec{};
    case Kind::kToken:
      return TokenSpec{};
    case Kind::kPolicy:
      return PolicySpec{};
    case Kind::kLimit:
      return LimitSpec{};
    case Kind::kSilence:
      return SilenceSpec{};
  }
  return FlagSpec{};
}

}  // namespace weir::domain
