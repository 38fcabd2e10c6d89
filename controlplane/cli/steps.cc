// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/steps.h"

#include <fmt/format.h>

#include <cstdlib>

#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "shared/domain/validate.h"

namespace weir::control::cli {

Result<std::vector<double>> ParseSteps(const std::string& text) {
  std::vector<double> steps;
  for (const std::string& part : Split(text, ',')) {
    const char* begin = part.c_str();
    char* end = nullptr;
    const double step = std::strtod(begin, &end);
    while (*end == ' ') ++end;
    if (*end == '%') ++end;
    if (end == begin || *end != '\0') {
      return InvalidArgument("--steps",
                             fmt::format("\"{}\" is not a percentage; give 1,10,50,100", part));
    }
    const auto fine = domain::ToFinePercent(step);
    if (!fine.ok()) return InvalidArgument("--steps", fine.status().message());
    if (!steps.empty() && step <= steps.back()) {
      return InvalidArgument("--steps",
                             fmt::format("{} is not above the {} before it", step, steps.back()));
    }
    steps.push_back(step);
  }
  if (steps.empty()) return InvalidArgument("--steps", "is empty; give 1,10,50,100");
  return steps;
}

codec::Json StepPhases(const std::vector<double>& steps, int64_t every_ms, uint64_t min_requests) {
  codec::Json phases = codec::Json::array();
  for (size_t i = 0; i < steps.size(); ++i) {
    codec::Json phase = {{"name", fmt::format("step-{}", i + 1)},
                         {"percentage", steps[i]},
                         {"duration", FormatDurationMs(every_ms)}};
    if (min_requests > 0) phase["min_requests"] = min_requests;
    phases.push_back(std::move(phase));
  }
  return phases;
}

}  // namespace weir::control::cli
