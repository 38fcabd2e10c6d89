// SPDX-License-Identifier: Apache-2.0
// The source documents' canary in environment variables (ML_CANARY_ENABLED, …_MODEL_VERSION,
// …_TRAFFIC_PERCENT, ML_INFERENCE_SERVICE_URL, ML_CANARY_SERVICE_URL), and what Weir makes of it: a
// Model with two services, and a Rollout of one phase at that percentage, which a person raises or
// approves, as the documents do. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/status.h"
#include "shared/codec/json.h"

namespace weir::control::cli {

inline constexpr const char* kCanaryVariables[] = {
    "ML_CANARY_ENABLED", "ML_CANARY_MODEL_VERSION", "ML_CANARY_TRAFFIC_PERCENT",
    "ML_INFERENCE_SERVICE_URL", "ML_CANARY_SERVICE_URL"};

struct CanaryEnv {
  std::optional<bool> enabled;
  std::string version;
  std::optional<double> percent;
  std::string stable_url;
  std::string canary_url;
};

// The variables of a dotenv file, a shell script (`export X=Y`, `kubectl set env … X=Y`) or a
// manifest (`X: "Y"`, `- name: X` with `value: Y`); other lines are passed over. Of a variable that
// is given more than once the last value counts, as in a shell.
std::map<std::string, std::string> ScanVariables(std::string_view text,
                                                 std::vector<std::string>& notes);
// InvalidArgument names the variable.
Result<CanaryEnv> ReadCanaryEnv(const std::map<std::string, std::string>& variables);

// What stands on the control plane; null for what does not.
struct CanaryWorld {
  codec::Json model;
  codec::Json rollout;  // the model's active one, else the one that the import would make
};
struct CanaryOptions {
  std::string model;
  std::string stable_version;  // "": the model's stable, 1.0.0 for a new model
  std::string runtime = "predict";
};
struct CanaryPlan {
  codec::Json resources = codec::Json::array();  // for POST /v1/apply
  std::string rollout;                           // its name
  std::string verb;                // a command for it, after the apply: abort, retry; "" for none
  std::vector<std::string> lines;  // what is done, for people
};
// "fraud_detection-1.1.0".
std::string CanaryRolloutName(const std::string& model, const std::string& version);
// InvalidArgument: a variable is missing that nothing on the control plane makes up for.
Result<CanaryPlan> PlanCanary(const CanaryEnv& env, const CanaryWorld& world,
                              const CanaryOptions& options);

}  // namespace weir::control::cli
