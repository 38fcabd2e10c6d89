// SPDX-License-Identifier: Apache-2.0
// The demo's scene of a policy: a version gets slower, so that requests queue up behind its Limit;
// the policy sees the latency it is held to missed, raises the limit, and it holds again.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "controlplane/cli/api_client.h"
#include "shared/base/status.h"
#include "shared/codec/json.h"

namespace weir::control::cli {

struct QosScene {
  ApiClient* api = nullptr;
  std::vector<std::string> nodes;  // addresses
  std::string model;
  std::string version;              // the stable one
  std::vector<std::string> bodies;  // requests, used in turn
  // `key` changes when something happens; the text may change more often.
  std::function<void(const std::string& key, const std::string& text)> show;
  std::function<bool()> is_interrupted;
};

// Plays it in about ten seconds. → {policy, version, objective, action, revision, violated_ms,
// acted_ms, mended_ms, slow_p95_ms, mended_p95_ms, slots: {before, after}, requests,
// failed_requests}; times in ms since the version got slower. It leaves policy and limit behind,
// and the fault gone. Unavailable when the policy has not acted, or has not helped, within its
// time.
Result<codec::Json> PlayQosScene(const QosScene& scene);

// Of what it returned: one line while the demo runs, and those of its report.
std::string QosSummary(const codec::Json& qos);
std::vector<std::string> QosLines(const codec::Json& qos);

}  // namespace weir::control::cli
