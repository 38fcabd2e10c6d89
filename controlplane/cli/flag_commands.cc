// SPDX-License-Identifier: Apache-2.0
// weir flag create, enable, disable, set.
#include "controlplane/cli/flag_commands.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "shared/base/clock.h"
#include "shared/base/text.h"

namespace weir::control::cli {
namespace {

using codec::Json;

struct FlagOptions {
  std::string name, seed, owner, description, expires, variants, default_variant, targeting, reason;
  std::vector<std::string> tags, prerequisites, schedule;
  std::optional<double> percent;
  bool no_schedule = false;
};

// JSON has no NaN or infinity: they would become null, which means the default.
std::string CheckPercent(const std::string& text) {
  char* end = nullptr;
  const double percent = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || *end != '\0') return "\"" + text + "\" is not a number in 0..100";
  return std::isfinite(percent) && percent >= 0 && percent <= 100 ? "" : text + " is not in 0..100";
}

// RFC 3339, or a length of time from now.
Result<std::string> MomentArgument(const std::string& option, const std::string& text) {
  const Result<int64_t> moment = ParseTimeMs(text);
  if (moment.ok()) return FormatTimeMs(*moment);
  const Result<int64_t> from_now = ParseDurationMs(text);
  if (from_now.ok()) return FormatTimeMs(Clock::System().WallMs() + *from_now);
  return InvalidArgument(option, fmt::format("\"{}\" is neither a time (2026-12-01T08:00:00Z) nor "
                                             "a length of time from now (7d)",
                                             text));
}

// "percent=50", "enabled=false", "variant=large" → into `set`.
Status ReadChange(const std::string& text, Json& set) {
  const size_t equals = text.find('=');
  const std::string key = text.substr(0, equals);
  const std::string value = equals == std::string::npos ? "" : text.substr(equals + 1);
  if (key == "percent") {
    if (const std::string wrong = CheckPercent(value); !wrong.empty())
      return InvalidArgument("--schedule", "percent: " + wrong);
    set["rollout_percentage"] = std::strtod(value.c_str(), nullptr);
  } else if (key == "enabled") {
    if (value != "true" && value != "false")
      return InvalidArgument("--schedule", "enabled: \"" + value + "\" is not true or false");
    set["enabled"] = value == "true";
  } else if (key == "variant" && !value.empty()) {
    set["default_variant"] = value;
  } else {
    return InvalidArgument(
        "--schedule", fmt::format("\"{}\" is not percent=P, enabled=true|false or variant=NAME{}",
                                  text, DidYouMean(key, {"percent", "enabled", "variant"})));
  }
  return OkStatus();
}

// "TIME: percent=50,enabled=true"
Result<Json> ScheduleArgument(const std::vector<std::string>& items) {
  Json schedule = Json::array();
  for (const std::string& item : items) {
    const size_t colon = item.find(": ");
    if (colon == std::string::npos) {
      return InvalidArgument(
          "--schedule", fmt::format("\"{}\" is not \"TIME: percent=50\", as in "
                                    "\"2026-12-01T08:00:00Z: percent=50\" or \"2h: enabled=false\"",
                                    item));
    }
    Json set = Json::object();
    WEIR_ASSIGN_OR_RETURN(const std::string at,
                          MomentArgument("--schedule", item.substr(0, colon)));
    if (*ParseTimeMs(at) <= Clock::System().WallMs())
      return InvalidArgument("--schedule", at + " is past; to change the flag now, set it now");
    for (const std::string& change : Split(item.substr(colon + 2), ','))
      WEIR_RETURN_IF_ERROR(ReadChange(change, set));
    if (set.empty()) return InvalidArgument("--schedule", "\"" + item + "\" changes nothing");
    schedule.push_back({{"at", at}, {"set", set}});
  }
  return schedule;
}

// What the options say, and nothing that they do not.
Result<Json> SpecOf(const FlagOptions& options) {
  Json spec = Json::object();
  const bool is_variant = !options.variants.empty();
  if (is_variant && options.percent.has_value())
    return InvalidArgument("--percent",
                           "is for flags without --variants; `fractional` in "
                           "--targeting splits variants");
  if (options.percent.has_value()) spec["rollout_percentage"] = *options.percent;
  if (is_variant) {
    WEIR_ASSIGN_OR_RETURN(spec["variants"], JsonArgument("--variants", options.variants));
  }
  if (!options.targeting.empty()) {
    WEIR_ASSIGN_OR_RETURN(spec["targeting"], JsonArgument("--targeting", options.targeting, true));
  }
  if (!options.default_variant.empty()) spec["default_variant"] = options.default_variant;
  if (!options.seed.empty()) spec["hash_seed"] = options.seed;
  if (!options.owner.empty()) spec["owner"] = options.owner;
  if (!options.description.empty()) spec["description"] = options.description;
  if (!options.tags.empty()) spec["tags"] = options.tags;
  if (!options.prerequisites.empty()) spec["requires"] = options.prerequisites;
  if (!options.expires.empty()) {
    WEIR_ASSIGN_OR_RETURN(spec["expires"], MomentArgument("--expires", options.expires));
  }
  if (!options.schedule.empty()) {
    WEIR_ASSIGN_OR_RETURN(spec["schedule"], ScheduleArgument(options.schedule));
  }
  if (options.no_schedule) spec["schedule"] = nullptr;
  return spec;
}

void PrintWritten(Session& session, const std::string& name, const char* what,
                  const Json& resource) {
  if (!session.PrintData(resource)) {
    const Json& spec = resource["spec"];
    const std::string serves = FlagServes(spec);
    const char* joint = spec.contains("variants") ? ", serves" : " at";
    std::printf("%s %s%s\n", name.c_str(), what,
                serves == "off" ? "" : fmt::format("{} {}", joint, serves).c_str());
    for (const std::string& line : ScheduleLines(spec.value("schedule", Json::array())))
      std::printf("  scheduled %s\n", line.c_str());
  }
  const Json status = resource.value("status", Json::object());
  if (status.contains("rollout")) {
    std::fprintf(stderr, "rollout %s holds it at %s %% until it ends; what was set is stored\n",
                 Text(status["rollout"]).c_str(),
                 Text(status.value("percentage", Json(0))).c_str());
  }
  std::fprintf(stderr, "on %s\n", session.Target().c_str());
  session.WaitForNodes(session.api().last_version());
}

void PatchFlag(Session& session, const std::string& name, const Json& spec,
               const std::string& reason) {
  const Result<Json> answer = session.api().Send(
      "PATCH", FlagPath(name) + "?reason=" + http::PercentEncode(reason), {{"spec", spec}});
  if (!answer.ok()) return session.Fail(answer.status());
  const bool enabled = (*answer)["spec"].value("enabled", false);
  PrintWritten(session, name, enabled ? "enabled" : "disabled", *answer);
  if (!enabled && (*answer)["spec"].contains("variants"))
    std::fprintf(stderr,
                 "a disabled flag with variants has no value: callers go by the default in their "
                 "code\n");
}

void SetFlag(Session& session, const FlagOptions& options) {
  const Result<Json> spec = SpecOf(options);
  if (!spec.ok()) return session.FailAs(kExitUsage, spec.status().ToString());
  if (spec->empty())
    return session.FailAs(kExitUsage,
                          "flag set needs something to set: --percent, --schedule, "
                          "--default, --owner, … (weir flag set --help)");
  PatchFlag(session, options.name, *spec, options.reason);
}

void CreateFlag(Session& session, const FlagOptions& options) {
  Result<Json> spec = SpecOf(options);
  if (!spec.ok()) return session.FailAs(kExitUsage, spec.status().ToString());
  (*spec)["enabled"] = true;
  const std::string& name = options.name;
  if (session.api().Get(FlagPath(name)).ok()) {
    return session.FailAs(
        kExitNo, fmt::format("flag \"{}\" exists; `weir flag set {}` changes it", name, name));
  }
  const Json resource = {
      {"apiVersion", "weir/v1"}, {"kind", "Flag"}, {"metadata", {{"name", name}}}, {"spec", *spec}};
  const Result<Json> answer =
      session.api().Send("PUT", FlagPath(name) + "?reason=" + http::PercentEncode(options.reason),
                         resource, {{"If-Match", "0"}});
  if (!answer.ok()) return session.Fail(answer.status());
  PrintWritten(session, name, "created", *answer);
}

void AddSettings(CLI::App& command, FlagOptions& options) {
  command.add_option("--percent", options.percent, "Of the keys that get it, 0..100")
      ->check(CheckPercent);
  command.add_option("--owner", options.owner, "Who answers for it");
  command.add_option("--description", options.description, "What it is for");
  command.add_option("--tag", options.tags, "A tag; may be repeated")->allow_extra_args(false);
  command
      .add_option("--requires", options.prerequisites,
                  "A flag that must be on for the same key; may be repeated")
      ->allow_extra_args(false);
  command.add_option("--expires", options.expires,
                     "When it should be gone: a time, or 90d from now. It works on; "
                     "`weir flag list --stale` shows it");
  command.add_option("--default", options.default_variant,
                     "The variant where no rule has an answer");
  command.add_option("--targeting", options.targeting, "JsonLogic rule: JSON or a file");
  command
      .add_option(
          "--schedule", options.schedule,
          "\"TIME: percent=50\" (or enabled=true|false, variant=NAME; several with commas); "
          "may be repeated. Nodes do it on time by themselves")
      ->allow_extra_args(false);
}

void AddCreate(CLI::App& flag, Session& session, const std::shared_ptr<FlagOptions>& options) {
  CLI::App* create = flag.add_subcommand("create", "A new flag, enabled");
  create->add_option("name", options->name, "The flag")->required();
  AddSettings(*create, *options);
  create->add_option("--seed", options->seed,
                     "What keys are hashed with; the flag's name if not given, and it stays");
  create->add_option("--variants", options->variants, "{\"name\": value, …}: JSON or @FILE");
  create->footer(
      "Examples:\n"
      "  weir flag create ttft --percent 10 --owner search\n"
      "  weir flag create fast-path --percent 1 --requires ttft --schedule \"24h: percent=10\"\n"
      "  weir flag create size --variants '{\"small\": 8, \"large\": 32}' --default small\n"
      "    --targeting '{\"if\": [{\"==\": [{\"var\": \"tier\"}, \"gold\"]}, \"large\"]}'");
  create->add_option("--reason", options->reason, "Why; shown in history");
  create->callback([&session, options] { CreateFlag(session, *options); });
}

}  // namespace

std::string FlagPath(const std::string& name) { return "/v1/flags/" + http::PercentEncode(name); }

Result<Json> JsonArgument(const std::string& option, const std::string& text, bool bare_file) {
  const bool is_file = text.rfind('@', 0) == 0;
  const bool looks_like_json = text.find_first_of("{[\"") == 0;
  std::string content = text;
  if (is_file || (bare_file && !looks_like_json)) {
    Result<std::string> read = ReadFile(is_file ? text.substr(1) : text);
    if (!read.ok()) return InvalidArgument(option, read.status().message());
    content = *std::move(read);
  }
  const Result<Json> json = codec::ParseJson(content);
  if (!json.ok()) {
    return InvalidArgument(
        option, fmt::format("{}: {}", is_file ? text.substr(1) : text, json.status().message()));
  }
  return json;
}

Result<Json> ContextArgument(const std::string& text) {
  if (text.empty()) return Json::object();
  const Result<Json> context = JsonArgument("--context", text);
  if (!context.ok()) {
    return InvalidArgument("--context",
                           context.status().message() +
                               " (a server's context is named before the command: weir --context "
                               "NAME explain …)");
  }
  if (!context->is_object())
    return InvalidArgument("--context", fmt::format("{} is not a JSON object, as in "
                                                    "'{{\"tier\": \"gold\"}}'",
                                                    context->dump()));
  return context;
}

void AddFlagCommands(CLI::App& app, Session& session) {
  auto options = std::make_shared<FlagOptions>();
  CLI::App* flag = app.add_subcommand(
      "flag", "Feature flags: list, show, create, enable, disable, set, eval, export, import");
  flag->require_subcommand(1);
  AddFlagViewCommands(*flag, session);
  AddCreate(*flag, session, options);
  for (const bool enabled : {true, false}) {
    CLI::App* command =
        flag->add_subcommand(enabled ? "enable" : "disable",
                             enabled ? "Turn it on, at its percentage and with its seed as they are"
                                     : "Turn it off for everybody; percentage and seed stay");
    command->add_option("name", options->name, "The flag")->required();
    command->add_option("--reason", options->reason, "Why; shown in history");
    command->callback([&session, options, enabled] {
      PatchFlag(session, options->name, {{"enabled", enabled}}, options->reason);
    });
  }
  CLI::App* set = flag->add_subcommand("set", "Change it; what is not named stays, also its seed");
  set->add_option("name", options->name, "The flag")->required();
  AddSettings(*set, *options);
  set->add_flag("--no-schedule", options->no_schedule, "Drop what is scheduled")
      ->excludes("--schedule");
  set->add_option("--reason", options->reason, "Why; shown in history");
  set->footer(
      "Examples:\n"
      "  weir flag set ttft --percent 50 --reason \"two quiet days\"\n"
      "  weir flag set ttft --schedule \"2026-12-01T08:00:00Z: percent=100\"");
  set->callback([&session, options] { SetFlag(session, *options); });
  AddFlagEvalCommand(*flag, session);
  AddFlagTransferCommands(*flag, session);
  AddEmergencyCommands(app, session);
  AddExplainCommand(app, session);
}

}  // namespace weir::control::cli
