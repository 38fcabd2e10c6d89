// SPDX-License-Identifier: Apache-2.0
#include "controlplane/ingest/decision_samples.h"

#include <cstdlib>
#include <utility>

#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "shared/wire/telemetry_body.h"

namespace weir::control::ingest {
namespace {

// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool IsUtf8(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  for (size_t i = 0; i < text.size();) {
    const unsigned char first = byte(i);
    const size_t length = first < 0x80   ? 1
                          : first < 0xc2 ? 0
                          : first < 0xe0 ? 2
                          : first < 0xf0 ? 3
                          : first < 0xf5 ? 4
                                         : 0;
    if (length == 0 || i + length > text.size()) return false;
    for (size_t k = 1; k < length; ++k) {
      if ((byte(i + k) & 0xc0) != 0x80) return false;
    }
    if (length > 2) {
      const unsigned char second = byte(i + 1);
      if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
          (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
        return false;
    }
    i += length;
  }
  return true;
}

bool IsText(const std::string& text, size_t most) { return text.size() <= most && IsUtf8(text); }

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
    waiting_.push_back({batch.node, sample});
  }
}

std::vector<ShownDecision> DecisionSamples::Take() { return std::exchange(waiting_, {}); }

}  // namespace weir::control::ingest
