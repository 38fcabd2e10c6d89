// SPDX-License-Identifier: Apache-2.0
// weir import env: for those who come from the canary of the source documents.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>

#include "controlplane/cli/canary_env.h"
#include "controlplane/cli/lookup.h"
#include "controlplane/cli/session.h"
#include "shared/base/text.h"

namespace weir::control::cli {
namespace {

using codec::Json;

struct EnvOptions : CanaryOptions {
  std::string file;
  std::string reason;
  bool dry_run = false;
};

Result<CanaryEnv> ReadEnv(const EnvOptions& options) {
  std::map<std::string, std::string> variables;
  if (options.file.empty()) {
    for (const char* name : kCanaryVariables) {
      if (const char* value = std::getenv(name)) variables[name] = value;
    }
    return ReadCanaryEnv(variables);
  }
  WEIR_ASSIGN_OR_RETURN(const std::string text,
                        ReadFile(options.file == "-" ? "/dev/stdin" : options.file));
  std::vector<std::string> notes;
  variables = ScanVariables(text, notes);
  for (const std::string& note : notes) std::fprintf(stderr, "note: %s\n", note.c_str());
  return ReadCanaryEnv(variables);
}

Result<CanaryWorld> Look(Session& session, const EnvOptions& options, const CanaryEnv& env) {
  CanaryWorld world;
  WEIR_ASSIGN_OR_RETURN(world.model, FindResource(session, "models", options.model));
  std::string rollout;
  if (world.model.is_object())
    rollout = world.model.value("status", Json::object()).value("rollout", "");
  if (rollout.empty() && !env.version.empty())
    rollout = CanaryRolloutName(options.model, env.version);
  if (rollout.empty()) return world;
  WEIR_ASSIGN_OR_RETURN(world.rollout, FindResource(session, "rollouts", rollout));
  return world;
}

void Carry(Session& session, const EnvOptions& options, const CanaryPlan& plan) {
  const std::string reason =
      options.reason.empty() ? "imported from ML_CANARY_* variables" : options.reason;
  uint64_t version = 0;
  if (!plan.resources.empty()) {
    const Result<Json> answer = session.api().Send("POST", "/v1/apply",
                                                   {{"resources", plan.resources},
                                                    {"dry_run", options.dry_run},
                                                    {"source", "env:" + options.model},
                                                    {"reason", reason}});
    if (!answer.ok()) return session.Fail(answer.status());
    version = answer->value("version", uint64_t{0});
    if (!session.PrintData(*answer)) PrintCommitted(*answer, options.dry_run);
  }
  if (options.dry_run) {
    std::fprintf(stderr, "dry run: nothing was changed on %s\n", session.Target().c_str());
    return;
  }
  if (!plan.verb.empty()) {
    const Result<Json> answer = session.api().Send(
        "POST", fmt::format("/v1/rollouts/{}/{}", http::PercentEncode(plan.rollout), plan.verb),
        {{"reason", reason}});
    if (!answer.ok()) return session.Fail(answer.status());
    version = answer->value("version", uint64_t{0});
    if (plan.resources.empty()) session.PrintData((*answer)["resource"]);
  }
  if (version == 0) return;
  std::fprintf(stderr, "imported on %s\n", session.Target().c_str());
  session.WaitForNodes(version);
}

void ImportEnv(Session& session, const EnvOptions& options) {
  const Result<CanaryEnv> env = ReadEnv(options);
  if (!env.ok()) return session.FailAs(kExitUsage, env.status().ToString());
  const Result<CanaryWorld> world = Look(session, options, *env);
  if (!world.ok()) return session.Fail(world.status());
  const Result<CanaryPlan> plan = PlanCanary(*env, *world, options);
  if (!plan.ok()) return session.FailAs(kExitNo, plan.status().ToString());
  for (const std::string& line : plan->lines) std::fprintf(stderr, "%s\n", line.c_str());
  Carry(session, options, *plan);
}

}  // namespace

void AddImportCommands(CLI::App& app, Session& session) {
  CLI::App* import = app.add_subcommand("import", "Take over what ran without Weir");
  import->require_subcommand(1);
  auto options = std::make_shared<EnvOptions>();
  CLI::App* env = import->add_subcommand(
      "env", "A canary that ML_CANARY_* environment variables describe: model and rollout");
  env->add_option("--model", options->model, "The model's name in Weir")->required();
  env->add_option("-f,--file", options->file,
                  "Read a .env file, a script or a manifest instead of the environment; - is "
                  "standard input");
  env->add_option("--stable-version", options->stable_version,
                  "What ML_INFERENCE_SERVICE_URL serves; 1.0.0 for a new model");
  env->add_option("--runtime", options->runtime,
                  "How the services are called: predict (POST /predict/MODEL) or oip")
      ->check(CLI::IsMember({"oip", "predict"}))
      ->capture_default_str();
  env->add_flag("--dry-run", options->dry_run, "Say what would change, and change nothing");
  env->add_option("--reason", options->reason, "Why; shown in history");
  env->footer(
      "Reads ML_CANARY_ENABLED, ML_CANARY_MODEL_VERSION, ML_CANARY_TRAFFIC_PERCENT,\n"
      "ML_INFERENCE_SERVICE_URL and ML_CANARY_SERVICE_URL. Run it again after a change:\n"
      "  export ML_CANARY_TRAFFIC_PERCENT=10\n"
      "  weir import env --model fraud_detection\n"
      "  weir import env --model fraud_detection -f canary.env --dry-run");
  env->callback([&session, options] { ImportEnv(session, *options); });
}

}  // namespace weir::control::cli
