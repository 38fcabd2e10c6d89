// SPDX-License-Identifier: Apache-2.0
#include "controlplane/ingest/decision_samples.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "shared/base/utf8.h"
#include "shared/wire/telemetry_body.h"

namespace weir::control::ingest {
namespace {

bool IsText(const std::string& text, size_t most) { return text.size() <= most && IsUtf8(text); }

// Shown in terminals: no control characters.
void Clean(std::string& text) {
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  std::replace_if(text.begin(), text.end(), is_control, '?');
}

bool IsShown(const wire::DecisionSample& sample, int64_t now_wall_ms) {
  const bool is_now = sample.at_wall_ms > now_wall_ms - DecisionSamples::kMaxAgeMs &&
                      sample.at_wall_ms < now_wall_ms + DecisionSamples::kMaxAgeMs;
  return is_now && IsResourceName(sample.flag) && IsText(sample.key, DecisionSamples::kMaxText) &&
         IsText(sample.outcome, wire::kMaxKeyText) &&
         IsText(sample.reason, DecisionSamples::kMaxText);
}

}  // namespace

codec::Json ToJson(const ShownDecision& decision) {
  return {{"node", decision.node},
          {"flag", decision.sample.flag},
          {"key", decision.sample.key},
          {"outcome", decision.sample.outcome},
          {"reason", decision.sample.reason},
          {"at", FormatTimeMs(decision.sample.at_wall_ms)}};
}

void DecisionSamples::Add(const wire::Batch& batch, int64_t now_ms, int64_t now_wall_ms) {
  if (now_ms / 1000 != second_) {
    second_ = now_ms / 1000;
    taken_ = 0;
    of_nodes_.clear();
  }
  for (const wire::DecisionSample& sample : batch.decisions) {
    if (taken_ >= kPerSecond || of_nodes_[batch.node] >= kPerNodeAndSecond ||
        !IsShown(sample, now_wall_ms)) {
      ++left_out_;
      continue;
    }
    ++taken_;
    ++of_nodes_[batch.node];
    ShownDecision& shown = waiting_.emplace_back(ShownDecision{batch.node, sample});
    for (std::string* text : {&shown.sample.key, &shown.sample.outcome, &shown.sample.reason})
      Clean(*text);
  }
}

std::vector<ShownDecision> DecisionSamples::Take() { return std::exchange(waiting_, {}); }

}  // namespace weir::control::ingest
