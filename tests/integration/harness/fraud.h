// SPDX-License-Identifier: Apache-2.0
// The model of config/models, as tests push, ask and roll it out.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/integration/harness/api.h"

namespace weir::integration {

inline constexpr char kModel[] = "fraud_detection";

// The file of a version, "" if there is none.
std::string ModelFile(const std::string& version);
// The Open Inference Protocol bodies of requests.jsonl.
const std::vector<std::string>& Requests();

// PUT /v1/blobs/…; "sha256:…", or "" when it was refused.
std::string PutBlob(const Api& control, const std::string& bytes);
// As `weir model push` does: the blob, then PUT (the first version becomes stable) or PATCH.
// `more` is merged into the version's spec: {"fault": …}.
Answer PushVersion(const Api& control, const std::string& version, const std::string& bytes,
                   const Json& more = Json::object());

// One phase for each percentage, named p10, p50, …
struct Phase {
  double percentage = 0;
  std::string duration = "1s";
};
Json RolloutResource(const std::string& name, const std::string& candidate,
                     const std::vector<Phase>& phases, const Json& rollback = Json::object());
Answer PutRollout(const Api& control, const Json& resource);
// Its `status`; null when the control plane does not answer.
Json RolloutStatus(const Api& control, const std::string& name);
std::string RolloutState(const Api& control, const std::string& name);
// Revisions that changed a resource, oldest first.
std::vector<Json> History(const Api& control, const std::string& kind, const std::string& name);

// POST /v2/models/fraud_detection[/versions/V]/infer.
Answer Infer(const Api& node, const std::string& body, const std::string& user = "",
             const std::string& version = "");
// What a version of the model must answer for one row: the trees of its file, walked by hand.
double WalkTrees(const Json& model, const std::vector<float>& row);

}  // namespace weir::integration
