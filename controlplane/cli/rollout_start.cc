// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/rollout_start.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <optional>

#include "controlplane/cli/lookup.h"
#include "controlplane/cli/rollout_follow.h"
#include "controlplane/cli/session.h"
#include "controlplane/cli/steps.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"

namespace weir::control::cli {
namespace {

using codec::Json;

constexpr uint64_t kMinRequests = 100;

struct StartOptions {
  std::string name, to, steps, every, hash_key, reason;
  std::optional<uint64_t> min_requests;  // kMinRequests when not given
  bool is_flag = false, force = false;

  // Whether a rollout is to be made of a model or a flag.
  bool IsNew() const {
    return is_flag || !to.empty() || !steps.empty() || !every.empty() || !hash_key.empty() ||
           min_requests.has_value();
  }
};

void Done(Session& session, const Json& resource, uint64_t version) {
  if (!session.PrintData(resource)) PrintRollout(resource);
  std::fprintf(stderr, "%s on %s\n", Text(resource["metadata"]["name"]).c_str(),
               session.Target().c_str());
  session.WaitForNodes(version);
}

Result<Json> Command(Session& session, const std::string& name, const StartOptions& options) {
  Json body = {{"reason", options.reason}};
  if (options.force) body["force"] = true;
  return session.api().Send("POST", fmt::format("/v1/rollouts/{}/start", http::PercentEncode(name)),
                            body);
}

// What a name that is no rollout may have been meant as.
std::string Hint(Session& session, const std::string& name) {
  const Result<Json> model = FindResource(session, "models", name);
  if (model.ok() && model->is_object()) {
    return fmt::format("; {} is a model: weir rollout start {} --to VERSION --steps 1,10,50,100",
                       name, name);
  }
  const Result<Json> flag = FindResource(session, "flags", name);
  if (flag.ok() && flag->is_object())
    return fmt::format("; {} is a flag: weir rollout start {} --flag --steps 1,10,50,100", name,
                       name);
  return "";
}

void StartExisting(Session& session, const StartOptions& options) {
  const Result<Json> answer = Command(session, options.name, options);
  if (!answer.ok()) {
    const bool is_unknown = session.api().last_status() == 404;
    const int code = session.api().exit_code();
    return session.FailAs(
        code, answer.status().ToString() + (is_unknown ? Hint(session, options.name) : ""));
  }
  Done(session, (*answer)["resource"], answer->value("version", uint64_t{0}));
}

// The spec's `model` and `candidate`, once it is sure that they can be rolled out.
Result<Json> OfModel(Session& session, const StartOptions& options) {
  WEIR_ASSIGN_OR_RETURN(const Json model, FindResource(session, "models", options.name));
  if (model.is_null())
    return NotFound(
        fmt::format("model \"{}\" does not exist; push its first version: weir model "
                    "push {} VERSION FILE",
                    options.name, options.name));
  std::vector<std::string> versions;
  const Json known = model["spec"].value("versions", Json::object());
  for (const auto& [name, version] : known.items()) versions.push_back(name);
  const std::string stable = model["spec"].value("stable", "");
  if (options.to.empty()) {
    return InvalidArgument("--to", fmt::format("is missing: which version of {}? It has {}; {} is "
                                               "stable",
                                               options.name, Join(versions, ", "), stable));
  }
  if (std::find(versions.begin(), versions.end(), options.to) == versions.end()) {
    return NotFound(fmt::format("{} has no version {}{}; push it first: weir model push {} {} FILE",
                                options.name, options.to, DidYouMean(options.to, versions),
                                options.name, options.to));
  }
  if (stable == options.to)
    return FailedPrecondition(
        fmt::format("{} is the stable version of {} already", stable, options.name));
  return Json{{"model", options.name}, {"candidate", options.to}};
}

Result<Json> OfFlag(Session& session, const StartOptions& options, double first_step) {
  if (!options.to.empty())
    return InvalidArgument("--to", "is for a model's version; a flag has a percentage alone");
  WEIR_ASSIGN_OR_RETURN(const Json flag, FindResource(session, "flags", options.name));
  if (flag.is_null()) {
    return NotFound(fmt::format("flag \"{}\" does not exist; weir flag create {} --percent 0",
                                options.name, options.name));
  }
  const Json& spec = flag["spec"];
  if (!spec.value("enabled", false)) {
    return FailedPrecondition(
        fmt::format("flag \"{}\" is disabled, so nobody would get it: weir "
                    "flag enable {}",
                    options.name, options.name));
  }
  const double percentage = spec.value("rollout_percentage", 100.0);
  if (percentage >= first_step && !spec.contains("variants")) {
    return FailedPrecondition(fmt::format(
        "flag \"{}\" is on for {} % already, and the first step is {} %: weir flag set {} "
        "--percent 0",
        options.name, percentage, first_step, options.name));
  }
  return Json{{"flag", options.name}};
}

// A model without --flag, unless only a flag has the name.
Result<bool> MeansFlag(Session& session, const StartOptions& options) {
  if (options.is_flag || !options.to.empty()) return options.is_flag;
  WEIR_ASSIGN_OR_RETURN(const Json flag, FindResource(session, "flags", options.name));
  return flag.is_object();
}

// The rollout that stands under the name, if it may be taken for this one; else a name that is
// free.
Result<std::string> NameFor(Session& session, const std::string& name, const StartOptions& options,
                            bool& stands) {
  for (int i = 1; i < 100; ++i) {
    const std::string free = i == 1 ? name : fmt::format("{}-{}", name, i);
    WEIR_ASSIGN_OR_RETURN(const Json rollout, FindResource(session, "rollouts", free));
    stands = rollout.is_object();
    if (!stands) return free;
    const std::string state = rollout["status"].value("state", "");
    if (state == "promoted") continue;  // history
    if (state == "rolled_back" && !options.force) {
      return FailedPrecondition(
          fmt::format("rollout {} was rolled back; starting it again needs "
                      "--force (weir rollout show {})",
                      free, free));
    }
    if (state == "pending" || state == "aborted" || state == "rolled_back") return free;
    return FailedPrecondition(
        fmt::format("rollout {} is {} already (weir rollout watch {})", free, state, free));
  }
  return FailedPrecondition(fmt::format("there are 99 promoted rollouts named {}", name));
}

// What each step waits for, and says so. Requests count for a flag where a model lists it.
Result<uint64_t> MinRequests(Session& session, const StartOptions& options, const Json& spec) {
  bool are_counted = spec.contains("model");
  if (!are_counted) {
    WEIR_ASSIGN_OR_RETURN(const Json models, session.api().Get("/v1/models"));
    for (const Json& model : models["items"]) {
      const Json flags = model["spec"].value("flags", Json::array());
      are_counted |= std::find(flags.begin(), flags.end(), options.name) != flags.end();
    }
  }
  const uint64_t needed = options.min_requests.value_or(are_counted ? kMinRequests : 0);
  const std::string text =
      needed > 0
          ? fmt::format("each step waits for {} requests of the canary (--min-requests)", needed)
      : are_counted ? "steps go by time alone, also without traffic (--min-requests 0)"
                    : fmt::format(
                          "steps go by time alone: no model lists flag {}, so no requests count "
                          "for it",
                          options.name);
  std::fprintf(stderr, "%s\n", text.c_str());
  return needed;
}

// Puts the spec under a free name and starts it.
Status Make(Session& session, const StartOptions& options, const std::vector<double>& steps,
            Json spec) {
  WEIR_ASSIGN_OR_RETURN(const int64_t every_ms,
                        ParseDurationMs(options.every.empty() ? "10m" : options.every));
  WEIR_ASSIGN_OR_RETURN(const uint64_t min_requests, MinRequests(session, options, spec));
  spec["phases"] = StepPhases(steps, every_ms, min_requests);
  if (!options.hash_key.empty()) spec["hash_key"] = options.hash_key;
  spec["start"] = "manual";
  bool stands = false;
  const std::string base = spec.contains("model") ? options.name + "-" + options.to : options.name;
  WEIR_ASSIGN_OR_RETURN(const std::string name, NameFor(session, base, options, stands));
  // One that stands is started by a command; a new one starts by itself, in one revision.
  if (!stands) spec["start"] = "auto";
  const std::string reason = options.reason.empty()
                                 ? fmt::format("started in steps of {} %", options.steps)
                                 : options.reason;
  const Result<Json> put =
      session.api().Send("PUT",
                         fmt::format("/v1/rollouts/{}?reason={}", http::PercentEncode(name),
                                     http::PercentEncode(reason)),
                         {{"apiVersion", "weir/v1"},
                          {"kind", "Rollout"},
                          {"metadata", {{"name", name}}},
                          {"spec", spec}});
  WEIR_RETURN_IF_ERROR(put.status());
  if (!stands) {
    Done(session, *put, session.api().last_version());
    return OkStatus();
  }
  WEIR_ASSIGN_OR_RETURN(const Json answer, Command(session, name, options));
  Done(session, answer["resource"], answer.value("version", uint64_t{0}));
  return OkStatus();
}

Status StartNew(Session& session, const StartOptions& options) {
  WEIR_ASSIGN_OR_RETURN(const std::vector<double> steps, ParseSteps(options.steps));
  WEIR_ASSIGN_OR_RETURN(const bool is_flag, MeansFlag(session, options));
  WEIR_ASSIGN_OR_RETURN(
      Json spec, is_flag ? OfFlag(session, options, steps.front()) : OfModel(session, options));
  return Make(session, options, steps, std::move(spec));
}

void Run(Session& session, StartOptions options) {
  if (!options.IsNew()) return StartExisting(session, options);
  if (options.steps.empty()) options.steps = "1,10,50,100";
  const Status status = StartNew(session, options);
  if (status.ok()) return;
  const bool is_usage = status.code() == Code::kInvalidArgument && !status.field().empty() &&
                        status.field()[0] == '-';
  if (is_usage) return session.FailAs(kExitUsage, status.ToString());
  session.Fail(status);
}

}  // namespace

void AddRolloutStart(CLI::App& rollout, Session& session) {
  auto options = std::make_shared<StartOptions>();
  CLI::App* start = rollout.add_subcommand(
      "start", "Start a rollout, or make one: of a model --to a version, or of a flag");
  start->add_option("name", options->name, "The rollout; with --to the model; with --flag the flag")
      ->required();
  start->add_option("--to", options->to, "Roll the model out to this version");
  start->add_flag("--flag", options->is_flag, "Roll the flag of this name out");
  start->add_option("--steps", options->steps, "Percentages, rising (default 1,10,50,100)");
  start->add_option("--every", options->every, "How long each step lasts (default 10m)");
  start->add_option("--min-requests", options->min_requests,
                    "That the canary must have had before the next step (default 100, for "
                    "a flag that no model lists 0; with 0 steps go by time alone)");
  start->add_option("--hash-key", options->hash_key, "user_id, session_id or request_id")
      ->check(CLI::IsMember({"user_id", "session_id", "request_id"}));
  start->add_option("--reason", options->reason, "Why; shown in history");
  start->add_flag("--force", options->force, "Even though it was rolled back");
  start->footer(
      "A new rollout is judged as one from a file is, and taken back when it is worse;\n"
      "after the last step the version is promoted. Examples:\n"
      "  weir rollout start fraud_detection --to 2.0.0 --steps 1,10,50,100 --every 1h\n"
      "  weir rollout start new_checkout --flag --steps 5,50,100 --min-requests 1000\n"
      "  weir rollout start fraud-1-1-0            one that was applied with start: manual");
  start->callback([&session, options] { Run(session, *options); });
}

}  // namespace weir::control::cli
