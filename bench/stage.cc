// SPDX-License-Identifier: Apache-2.0
#include "bench/stage.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "bench/process.h"
#include "shared/base/text.h"
#include "shared/http/client.h"

namespace weir::bench {
namespace {

using codec::Json;
using control::cli::Process;

constexpr int64_t kReadyMs = 20'000;
constexpr int64_t kDownMs = 5000;

std::string Models() { return control::cli::ProgramDir() + "/../../../config/models"; }

bool IsReady(const std::string& node, const char* version) {
  http::Client client("http://" + node);
  const auto answer =
      client.Do("GET", fmt::format("/v2/models/{}/versions/{}/ready", kModel, version));
  return answer.ok() && answer->status == 200;
}

}  // namespace

Result<std::vector<std::string>> RequestBodies() {
  WEIR_ASSIGN_OR_RETURN(const std::string text, ReadFile(Models() + "/requests.jsonl"));
  std::vector<std::string> bodies = Split(text, '\n');
  std::erase(bodies, "");
  return bodies;
}

Result<std::string> ModelFile() {
  return ReadFile(fmt::format("{}/{}-{}.json", Models(), kModel, kStable));
}

Result<std::unique_ptr<Stage>> Stage::Open(int nodes) {
  const char* tmp = std::getenv("TMPDIR");
  std::string pattern =
      std::string(tmp != nullptr && *tmp != '\0' ? tmp : "/tmp") + "/weir-bench-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr)
    return Unavailable("cannot make a directory in " + pattern);
  std::unique_ptr<Stage> stage(new Stage());
  stage->dir_ = pattern;
  const control::cli::ClusterOptions options{.dir = pattern, .nodes = nodes, .free_ports = true};
  auto up = control::cli::Cluster::Up(options, [](const std::string&) {});
  if (!up.ok()) return up.status();
  stage->cluster_ = std::make_unique<control::cli::Cluster>(*std::move(up));
  stage->api_ = std::make_unique<control::cli::ApiClient>(stage->cluster_->server(),
                                                          control::cli::ApiAccess{}, 5000);
  return stage;
}

Stage::~Stage() {
  if (cluster_ != nullptr) {
    if (const Status down = cluster_->Down(kDownMs); !down.ok())
      std::fprintf(stderr, "bench: %s\n", down.ToString().c_str());
  }
  std::error_code ignored;
  std::filesystem::remove_all(dir_, ignored);
}

std::vector<std::string> Stage::NodeAddresses() const {
  std::vector<std::string> addresses;
  for (const Process& node : cluster_->nodes()) addresses.push_back(node.http);
  return addresses;
}

Status Stage::PushModel() {
  WEIR_ASSIGN_OR_RETURN(const std::string bytes, ModelFile());
  WEIR_ASSIGN_OR_RETURN(const std::string blob, api_->PutBlob(bytes));
  const Json version = {{"runtime", "xgboost"}, {"blob", blob}};
  return PutModel({{kStable, version}, {kCandidate, version}});
}

Status Stage::PushService(const std::string& url) {
  return PutModel({{kStable, {{"runtime", "oip"}, {"url", url}}}});
}

Status Stage::PutModel(const Json& versions) {
  const Json resource = {
      {"apiVersion", "weir/v1"},
      {"kind", "Model"},
      {"metadata", {{"name", kModel}}},
      {"spec",
       {{"stable", kStable},
        {"versions", versions},
        {"inputs", {{{"name", "features"}, {"datatype", "FP32"}, {"shape", {-1, 12}}}}}}}};
  WEIR_RETURN_IF_ERROR(api_->Send("PUT", fmt::format("/v1/models/{}", kModel), resource).status());
  for (const std::string& node : NodeAddresses()) {
    for (const auto& version : versions.items()) {
      int64_t waited_ms = 0;
      while (!IsReady(node, version.key().c_str())) {
        if (Interrupted()) return Unavailable("interrupted");
        if ((waited_ms += 20) > kReadyMs) return Unavailable("the model is not READY on " + node);
        PauseMs(20);
      }
    }
  }
  return OkStatus();
}

Status Stage::StartRollout(const std::string& name, double percentage) {
  const Json phase = {{"name", "canary"}, {"percentage", percentage}, {"duration", "1h"}};
  const Json resource = {{"apiVersion", "weir/v1"},
                         {"kind", "Rollout"},
                         {"metadata", {{"name", name}}},
                         {"spec",
                          {{"model", kModel},
                           {"candidate", kCandidate},
                           {"hash_key", "user_id"},
                           {"phases", {phase}},
                           {"rollback", {{"error_rate", 0.05}}}}}};
  return api_->Send("PUT", "/v1/rollouts/" + name, resource).status();
}

}  // namespace weir::bench
