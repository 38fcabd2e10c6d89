// SPDX-License-Identifier: Apache-2.0
// weir flag list, show, create, enable, disable, set, eval; weir emergency; weir explain.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "controlplane/cli/session.h"
#include "shared/base/text.h"
#include "shared/codec/resource.h"
#include "shared/decision/decide.h"
#include "shared/domain/entries.h"
#include "shared/explain/explain.h"

namespace weir::control::cli {
namespace {

using codec::Json;

std::string FlagPath(const std::string& name) { return "/v1/flags/" + http::PercentEncode(name); }

// JSON has no NaN or infinity: they would become null, which means the default.
std::string CheckFinite(const std::string& text) {
  return std::isfinite(std::strtod(text.c_str(), nullptr)) ? "" : text + " is not in 0..100";
}

void PatchFlag(Session& session, const std::string& name, const Json& spec,
               const std::string& reason) {
  const Result<Json> answer = session.api().Send(
      "PATCH", FlagPath(name) + "?reason=" + http::PercentEncode(reason), {{"spec", spec}});
  if (!answer.ok()) return session.Fail(answer.status());
  const Json& stored = (*answer)["spec"];
  if (!session.PrintData(*answer)) {
    std::printf("%s %s at %s %%\n", name.c_str(),
                stored.value("enabled", false) ? "enabled" : "disabled",
                Text(stored.value("rollout_percentage", Json(100))).c_str());
  }
  std::fprintf(stderr, "on %s\n", session.Target().c_str());
  session.WaitForNodes(session.api().last_version());
}

void ListFlags(Session& session) {
  const Result<Json> answer = session.api().Get("/v1/flags");
  if (!answer.ok()) return session.Fail(answer.status());
  if (session.PrintData(*answer)) return;
  std::vector<std::vector<std::string>> rows;
  for (const Json& flag : (*answer)["items"]) {
    const Json& spec = flag["spec"];
    rows.push_back({Text(flag["metadata"]["name"]), spec.value("enabled", false) ? "yes" : "no",
                    Text(spec.value("rollout_percentage", Json(100))) + " %",
                    spec.value("hash_seed", ""),
                    Text(flag["metadata"].value("updated_by", Json()))});
  }
  PrintTable({"NAME", "ENABLED", "PERCENTAGE", "SEED", "BY"}, rows);
}

void ShowFlag(Session& session, const std::string& name) {
  const Result<Json> answer = session.api().Get(FlagPath(name));
  if (!answer.ok()) return session.Fail(answer.status());
  if (session.PrintData(*answer)) return;
  for (const auto& [key, value] : (*answer)["spec"].items())
    std::printf("%-20s %s\n", key.c_str(), Text(value).c_str());
  const Json& metadata = (*answer)["metadata"];
  std::printf("%-20s %s by %s, revision %s\n", "changed", Text(metadata["updated_at"]).c_str(),
              Text(metadata["updated_by"]).c_str(), Text(metadata["revision"]).c_str());
}

void CreateFlag(Session& session, const std::string& name, double percent,
                const std::string& reason) {
  if (session.api().Get(FlagPath(name)).ok()) {
    return session.FailAs(
        kExitNo,
        fmt::format("flag \"{}\" exists; `weir flag set {} --percent P` changes it", name, name));
  }
  const Json resource = {{"apiVersion", "weir/v1"},
                         {"kind", "Flag"},
                         {"metadata", {{"name", name}}},
                         {"spec", {{"enabled", true}, {"rollout_percentage", percent}}}};
  const Result<Json> answer =
      session.api().Send("PUT", FlagPath(name) + "?reason=" + http::PercentEncode(reason), resource,
                         {{"If-Match", "0"}});
  if (!answer.ok()) return session.Fail(answer.status());
  if (!session.PrintData(*answer))
    std::printf("%s created at %s %%\n", name.c_str(), Text(Json(percent)).c_str());
  std::fprintf(stderr, "on %s\n", session.Target().c_str());
  session.WaitForNodes(session.api().last_version());
}

Result<Json> ExplainOnServer(Session& session, const std::string& key, const std::string& model,
                             const std::string& flag) {
  Json body = {{"key", key}};
  if (!model.empty()) body["model"] = model;
  if (!flag.empty()) body["flag"] = flag;
  return session.api().Send("POST", "/v1/explain", body);
}

// A ruleset as a node would have it if the file alone were applied.
Result<decision::Ruleset> RulesetOfFile(const std::string& file) {
  WEIR_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  const codec::FileContent content = codec::ReadResources(text, file);
  if (!content.errors.empty()) {
    const codec::FileError& first = content.errors[0];
    return InvalidArgument(fmt::format("{}:{}: {}", file, first.line, first.path), first.message);
  }
  std::map<domain::ResourceKey, domain::Resource> resources;
  for (const codec::ResourceDocument& document : content.documents) {
    domain::Resource resource;
    resource.kind = document.kind;
    resource.name = document.name;
    codec::Errors errors;
    resource.spec = codec::SpecFromJson(document.kind, document.spec, errors);
    domain::FillDefaults(resource, Clock::System().WallMs());
    if (auto* rollout = std::get_if<domain::RolloutSpec>(&resource.spec);
        rollout != nullptr && !rollout->phases.empty()) {
      resource.status->state = "progressing";  // as if it had just started
      resource.status->percentage = rollout->phases[0].percentage;
    }
    resources[{resource.kind, resource.name}] = resource;
  }
  const domain::ForEach for_each = [&](domain::Kind kind,
                                       const std::function<void(const domain::Resource&)>& visit) {
    for (const auto& [key, resource] : resources) {
      if (key.kind == kind) visit(resource);
    }
  };
  decision::Ruleset rules;
  for (const auto& [key, resource] : resources) {
    if (key.kind == domain::Kind::kFlag) rules.Set(domain::FlagEntryOf(resource, for_each));
    if (key.kind == domain::Kind::kModel) rules.Set(domain::ModelEntryOf(resource));
    if (key.kind == domain::Kind::kExperiment) rules.Set(domain::ExperimentEntryOf(resource));
    if (key.kind == domain::Kind::kRollout) {
      if (const auto split = domain::SplitEntryOf(resource)) rules.Set(*split);
    }
    if (key.kind == domain::Kind::kEmergency) {
      rules.emergency.kill_switch = resource.As<domain::EmergencySpec>().kill_switch;
      rules.emergency.baseline = resource.As<domain::EmergencySpec>().rollback_to_baseline;
    }
  }
  return rules;
}

std::string Detail(const Json& row) {
  std::string text = row.value("reason", "");
  if (row.contains("bucket"))
    text += fmt::format(", bucket {} of threshold {}", row["bucket"].dump(),
                        row.value("threshold", Json(0)).dump());
  if (row.contains("detail") && !Text(row["detail"]).empty()) text += ", " + Text(row["detail"]);
  return text;
}

void PrintExplain(Session& session, const Json& answer) {
  if (session.PrintData(answer)) return;
  std::vector<std::vector<std::string>> rows;
  for (const Json& flag : answer["flags"]) {
    rows.push_back(
        {"flag", Text(flag["flag"]), flag.value("enabled", false) ? "on" : "off", Detail(flag)});
  }
  for (const Json& split : answer["splits"]) {
    rows.push_back({split.contains("model") ? "model" : "flag",
                    Text(split.contains("model") ? split["model"] : split["flag"]),
                    fmt::format("{} {}", split.value("arm", ""), split.value("version", "")),
                    Detail(split)});
  }
  for (const Json& experiment : answer["experiments"]) {
    rows.push_back({"experiment", Text(experiment["experiment"]), Text(experiment["group"]),
                    fmt::format("remainder {}", Text(experiment["bucket"]))});
  }
  PrintTable({"KIND", "NAME", "ANSWER", "WHY"}, rows);
  if (answer["snapshot"].is_object()) {
    std::fprintf(stderr, "by snapshot %s.%s of %s\n", Text(answer["snapshot"]["epoch"]).c_str(),
                 Text(answer["snapshot"]["version"]).c_str(), session.Target().c_str());
  }
}

// One key's answer; with a count, how key-1 … key-N would be spread.
void EvalFlag(Session& session, const std::string& name, const std::string& key, int count) {
  if (count <= 0) {
    const Result<Json> answer = ExplainOnServer(session, key, "", name);
    if (!answer.ok()) return session.Fail(answer.status());
    const Json& flag = (*answer)["flags"][0];
    if (session.PrintData(flag)) return;
    std::printf("%s for %s: %s (%s)\n", name.c_str(), key.c_str(),
                flag.value("enabled", false) ? "on" : "off", Detail(flag).c_str());
    return;
  }
  int on = 0;
  for (int i = 1; i <= count; ++i) {
    const Result<Json> answer =
        ExplainOnServer(session, fmt::format("{}{}", key.empty() ? "key-" : key, i), "", name);
    if (!answer.ok()) return session.Fail(answer.status());
    on += (*answer)["flags"][0].value("enabled", false) ? 1 : 0;
  }
  const double percent = 100.0 * on / count;
  if (!session.PrintData({{"flag", name}, {"keys", count}, {"on", on}, {"percentage", percent}})) {
    std::printf("%s: on for %d of %d keys (%s %%)\n", name.c_str(), on, count,
                Text(Json(percent)).c_str());
  }
}

void SetEmergency(Session& session, const std::string& field, bool on, const std::string& reason) {
  const Result<Json> answer =
      session.api().Send("PATCH", "/v1/emergency/default?reason=" + http::PercentEncode(reason),
                         {{"spec", {{field, on}}}});
  if (!answer.ok()) return session.Fail(answer.status());
  if (!session.PrintData(*answer)) std::printf("%s %s\n", field.c_str(), on ? "ON" : "off");
  std::fprintf(stderr, "on %s\n", session.Target().c_str());
  session.WaitForNodes(session.api().last_version());
}

void AddEmergencyCommands(CLI::App& app, Session& session) {
  CLI::App* emergency = app.add_subcommand(
      "emergency", "Kill switch, baseline, freeze: nothing blocks them, no file ends them");
  emergency->require_subcommand(1);
  emergency->add_subcommand("show", "What is in force")->callback([&session] {
    const Result<Json> answer = session.api().Get("/v1/emergency/default");
    if (!answer.ok()) return session.Fail(answer.status());
    if (session.PrintData(*answer)) return;
    for (const char* field : {"kill_switch", "rollback_to_baseline", "freeze"}) {
      std::printf("%-22s %s\n", field, (*answer)["spec"].value(field, false) ? "ON" : "off");
    }
  });
  const std::pair<const char*, std::pair<const char*, const char*>> kinds[] = {
      {"kill-switch", {"kill_switch", "Turn every flag off"}},
      {"baseline",
       {"rollback_to_baseline", "Flags off, every split to stable, experiments to control"}},
      {"freeze", {"freeze", "Stop the progress of every rollout; triggers still act"}}};
  for (const auto& [name, field] : kinds) {
    auto state = std::make_shared<std::string>();
    auto reason = std::make_shared<std::string>();
    CLI::App* command = emergency->add_subcommand(name, field.second);
    command->add_option("state", *state, "on or off")
        ->required()
        ->check(CLI::IsMember({"on", "off"}));
    command->add_option("--reason", *reason, "Why; shown in history");
    command->callback([&session, state, reason, key = std::string(field.first)] {
      SetEmergency(session, key, *state == "on", *reason);
    });
  }
}

void AddExplainCommand(CLI::App& app, Session& session) {
  struct Options {
    std::string key, model, flag, file;
  };
  auto options = std::make_shared<Options>();
  CLI::App* explain = app.add_subcommand(
      "explain", "Every decision for a key, and why: weir explain --key user-123");
  explain->add_option("--key", options->key, "User, session or request id")->required();
  explain->add_option("--model", options->model, "Only this model");
  explain->add_option("--flag", options->flag, "Only this flag");
  explain->add_option("--file", options->file, "Decide from a file instead of the live snapshot");
  explain->callback([&session, options] {
    if (options->file.empty()) {
      const Result<Json> answer =
          ExplainOnServer(session, options->key, options->model, options->flag);
      return answer.ok() ? PrintExplain(session, *answer) : session.Fail(answer.status());
    }
    const Result<decision::Ruleset> rules = RulesetOfFile(options->file);
    if (!rules.ok()) return session.FailAs(kExitUsage, rules.status().ToString());
    PrintExplain(session, explain::Explain(
                              *rules, {options->key, options->model, options->flag, RandomU64()}));
  });
}

}  // namespace

void AddFlagCommands(CLI::App& app, Session& session) {
  struct Options {
    std::string name, key, reason;
    double percent = 100;
    int count = 0;
  };
  auto options = std::make_shared<Options>();
  CLI::App* flag =
      app.add_subcommand("flag", "Feature flags: list, show, create, enable, disable, set, eval");
  flag->require_subcommand(1);
  flag->add_subcommand("list", "All flags")->callback([&session] { ListFlags(session); });
  const auto add = [&](const char* name, const char* help) {
    CLI::App* command = flag->add_subcommand(name, help);
    command->add_option("name", options->name, "The flag")->required();
    return command;
  };
  add("show", "One flag with its settings")->callback([&session, options] {
    ShowFlag(session, options->name);
  });
  CLI::App* create = add("create", "A new flag: weir flag create ttft --percent 10");
  create->add_option("--percent", options->percent, "0..100")
      ->check(CheckFinite)
      ->capture_default_str();
  create->callback([&session, options] {
    CreateFlag(session, options->name, options->percent, options->reason);
  });
  CLI::App* enable = add("enable", "Turn it on at its percentage");
  enable->callback([&session, options] {
    PatchFlag(session, options->name, {{"enabled", true}}, options->reason);
  });
  CLI::App* disable = add("disable", "Turn it off for everybody");
  disable->callback([&session, options] {
    PatchFlag(session, options->name, {{"enabled", false}}, options->reason);
  });
  CLI::App* set = add("set", "Change its percentage: weir flag set ttft --percent 50");
  set->add_option("--percent", options->percent, "0..100")->check(CheckFinite)->required();
  set->callback([&session, options] {
    PatchFlag(session, options->name, {{"rollout_percentage", options->percent}}, options->reason);
  });
  for (CLI::App* command : {create, enable, disable, set})
    command->add_option("--reason", options->reason, "Why; shown in history");
  CLI::App* eval = add("eval", "What it answers for a key, or how it spreads over many");
  eval->add_option("--key", options->key, "The key; with --count the keys' beginning");
  eval->add_option("--count", options->count, "Evaluate for KEY1 … KEYn")
      ->check(CLI::Range(1, 1'000'000));
  eval->callback([&session, options] {
    if (options->key.empty() && options->count == 0)
      return session.FailAs(kExitUsage, "flag eval needs --key or --count");
    EvalFlag(session, options->name, options->key, options->count);
  });
  AddEmergencyCommands(app, session);
  AddExplainCommand(app, session);
}

}  // namespace weir::control::cli
