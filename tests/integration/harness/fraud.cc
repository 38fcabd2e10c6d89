// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/harness/fraud.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "shared/base/text.h"
#include "shared/wire/digest.h"

namespace weir::integration {

std::string ModelFile(const std::string& version) {
  const Result<std::string> bytes =
      ReadFile(fmt::format("{}/config/models/{}-{}.json", WEIR_SOURCE_DIR, kModel, version));
  return bytes.ok() ? *bytes : "";
}

const std::vector<std::string>& Requests() {
  static const std::vector<std::string> requests = [] {
    const auto text = ReadFile(std::string(WEIR_SOURCE_DIR) + "/config/models/requests.jsonl");
    std::vector<std::string> lines = text.ok() ? Split(*text, '\n') : std::vector<std::string>();
    std::erase(lines, "");
    return lines;
  }();
  return requests;
}

std::string PutBlob(const Api& control, const std::string& bytes) {
  const std::string sha256 = wire::Sha256Hex(bytes);
  const Answer answer = control.Call("PUT", "/v1/blobs/" + sha256, bytes);
  return answer.ok() ? "sha256:" + sha256 : "";
}

Answer PushVersion(const Api& control, const std::string& version, const std::string& bytes,
                   const Json& more) {
  Json entry = {{"runtime", "xgboost"}, {"blob", PutBlob(control, bytes)}};
  entry.update(more);
  Json spec = {{"versions", {{version, entry}}}};
  const std::string target = std::string("/v1/models/") + kModel;
  if (control.Get(target).ok()) {
    return control.Patch(target + "?reason=pushed%20" + version, {{"spec", spec}});
  }
  spec["stable"] = version;
  spec["inputs"] = {{{"name", "features"}, {"datatype", "FP32"}, {"shape", {-1, 12}}}};
  return control.Put(target + "?reason=pushed%20" + version, {{"apiVersion", "weir/v1"},
                                                              {"kind", "Model"},
                                                              {"metadata", {{"name", kModel}}},
                                                              {"spec", spec}});
}

Json RolloutResource(const std::string& name, const std::string& candidate,
                     const std::vector<Phase>& phases, const Json& rollback) {
  Json list = Json::array();
  for (const Phase& phase : phases) {
    list.push_back({{"name", fmt::format("p{}", phase.percentage)},
                    {"percentage", phase.percentage},
                    {"duration", phase.duration}});
  }
  Json spec = {{"model", kModel}, {"candidate", candidate}, {"phases", list}};
  if (!rollback.empty()) spec["rollback"] = rollback;
  return {{"apiVersion", "weir/v1"},
          {"kind", "Rollout"},
          {"metadata", {{"name", name}}},
          {"spec", spec}};
}

Answer PutRollout(const Api& control, const Json& resource) {
  const std::string name = resource["metadata"]["name"];
  return control.Put("/v1/rollouts/" + name + "?reason=try%20it", resource);
}

Json RolloutStatus(const Api& control, const std::string& name) {
  const Answer answer = control.Get("/v1/rollouts/" + name);
  return answer.ok() ? answer.json.value("status", Json()) : Json();
}

std::string RolloutState(const Api& control, const std::string& name) {
  const Json status = RolloutStatus(control, name);
  return status.is_object() ? status.value("state", "") : "";
}

std::vector<Json> History(const Api& control, const std::string& kind, const std::string& name) {
  const Answer answer =
      control.Get(fmt::format("/v1/history?kind={}&name={}&limit=1000", kind, name));
  if (!answer.ok()) return {};
  const Json items = answer.json["items"];
  return {items.rbegin(), items.rend()};
}

Answer Infer(const Api& node, const std::string& body, const std::string& user,
             const std::string& version) {
  std::vector<http::Header> headers = {{"Content-Type", "application/json"}};
  if (!user.empty()) headers.push_back({"X-User-Id", user});
  const std::string path = version.empty() ? "" : "/versions/" + version;
  return node.Call("POST", fmt::format("/v2/models/{}{}/infer", kModel, path), body, headers);
}

double WalkTrees(const Json& model, const std::vector<float>& row) {
  const Json& learner = model["learner"];
  const double base = std::stod(learner["learner_model_param"]["base_score"].get<std::string>());
  double margin = std::log(base / (1 - base));
  for (const Json& tree : learner["gradient_booster"]["model"]["trees"]) {
    int node = 0;
    while (tree["left_children"][node].get<int>() != -1) {
      const float value = row[tree["split_indices"][node].get<size_t>()];
      const bool left = value < tree["split_conditions"][node].get<float>();
      node = tree[left ? "left_children" : "right_children"][node].get<int>();
    }
    margin += tree["split_conditions"][node].get<double>();
  }
  return 1 / (1 + std::exp(-margin));
}

}  // namespace weir::integration
