// SPDX-License-Identifier: Apache-2.0
// weir explain, weir flag eval: what a key gets, and why.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "controlplane/cli/flag_commands.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "shared/evaluator/rules_of_file.h"
#include "shared/explain/explain.h"

namespace weir::control::cli {
namespace {

using codec::Json;

struct ExplainOptions {
  std::string key, model, flag, file, context, at, node;
  uint64_t count = 0;
};

Result<Json> ExplainOnServer(Session& session, const ExplainOptions& options) {
  WEIR_ASSIGN_OR_RETURN(const Json context, ContextArgument(options.context));
  Json body = {{"key", options.key}};
  if (!options.model.empty()) body["model"] = options.model;
  if (!options.flag.empty()) body["flag"] = options.flag;
  if (!options.context.empty()) body["context"] = context;
  if (options.count > 0) body["count"] = options.count;
  if (!options.at.empty()) body["at"] = options.at;
  if (!options.node.empty()) body["node"] = options.node;
  return session.api().Send("POST", "/v1/explain", body);
}

Result<Json> ExplainFile(const ExplainOptions& options) {
  WEIR_ASSIGN_OR_RETURN(const std::string text, ReadFile(options.file));
  const int64_t now_wall_ms = Clock::System().WallMs();
  WEIR_ASSIGN_OR_RETURN(const decision::Ruleset rules,
                        evaluator::RulesOfText(text, options.file, now_wall_ms));
  WEIR_ASSIGN_OR_RETURN(const Json context, ContextArgument(options.context));
  return explain::Explain(rules, {.key = options.key,
                                  .model = options.model,
                                  .flag = options.flag,
                                  .random = RandomU64(),
                                  .context = context.dump(),
                                  .now_wall_ms = now_wall_ms});
}

std::string Why(const Json& row) {
  std::string text = row.value("reason", "");
  if (row.contains("bucket"))
    text += fmt::format(", bucket {} of threshold {}", row["bucket"].dump(),
                        row.value("threshold", Json(0)).dump());
  if (row.contains("detail") && !Text(row["detail"]).empty()) text += ", " + Text(row["detail"]);
  return text;
}

// "on", "off", or a variant with its value.
std::string FlagAnswer(const Json& row) {
  const std::string variant = row.value("variant", "");
  const Json value = row.value("value", Json());
  if (value.is_null()) return variant.empty() ? "no value" : variant;
  if (variant == "on" || variant == "off" || variant.empty())
    return row.value("enabled", false) ? "on" : "off";
  return fmt::format("{} = {}", variant, value.dump());
}

// Rows of {flags, splits, experiments}.
void PrintAnswers(const Json& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& flag : answer["flags"])
    rows.push_back({"flag", Text(flag["flag"]), FlagAnswer(flag), Why(flag)});
  for (const Json& split : answer["splits"]) {
    rows.push_back({split.contains("model") ? "model" : "flag",
                    Text(split.contains("model") ? split["model"] : split["flag"]),
                    fmt::format("{} {}", split.value("arm", ""), split.value("version", "")),
                    Why(split) + (split.contains("diverted")
                                      ? ", answered by stable: " + Text(split["diverted"])
                                      : "")});
  }
  for (const Json& experiment : answer["experiments"]) {
    rows.push_back({"experiment", Text(experiment["experiment"]), Text(experiment["group"]),
                    fmt::format("remainder {}", Text(experiment["bucket"]))});
  }
  PrintTable({"KIND", "NAME", "ANSWER", "WHY"}, rows);
}

// One block per stretch of time in which the answer was one and the same.
void PrintPast(Session& session, const Json& answer) {
  if (session.PrintData(answer)) return;
  for (const Json& note : answer.value("notes", Json::array()))
    std::fprintf(stderr, "%s\n", Text(note).c_str());
  if (answer["answers"].empty()) return session.No();
  for (const Json& then : answer["answers"]) {
    std::printf("from %s to %s, revision %s%s\n", Text(then["from"]).c_str(),
                Text(then["to"]).c_str(), Text(then["revision"]).c_str(),
                then.contains("actor") ? fmt::format(" by {}: {}", Text(then["actor"]),
                                                     Text(then.value("reason", Json(""))))
                                             .c_str()
                                       : "");
    if (then.contains("emergency")) std::printf("emergency %s\n", then["emergency"].dump().c_str());
    if (then.contains("refused"))
      std::printf("refused, the last good held: %s\n", Text(then["refused"]).c_str());
    PrintAnswers(then);
    for (const Json& episode : then.value("episodes", Json::array())) {
      std::printf("%s: %s %s from %s%s: %s\n", Text(episode["node"]).c_str(),
                  Text(episode["kind"]).c_str(), Text(episode["subject"]).c_str(),
                  Text(episode["from"]).c_str(),
                  episode.contains("to") ? (" to " + Text(episode["to"])).c_str() : "",
                  Text(episode["detail"]).c_str());
    }
  }
}

void PrintExplain(Session& session, const Json& answer) {
  if (session.PrintData(answer)) return;
  PrintAnswers(answer);
  if (answer["snapshot"].is_object()) {
    std::fprintf(stderr, "by snapshot %s.%s of %s\n", Text(answer["snapshot"]["epoch"]).c_str(),
                 Text(answer["snapshot"]["version"]).c_str(), session.Target().c_str());
  }
}

void Explain(Session& session, const ExplainOptions& options) {
  const Result<Json> context = ContextArgument(options.context);
  if (!context.ok()) return session.FailAs(kExitUsage, context.status().ToString());
  if (!options.node.empty() && options.at.empty())
    return session.FailAs(kExitUsage,
                          "--node needs --at: it says what that node had in force then");
  if (!options.file.empty() && !options.at.empty())
    return session.FailAs(kExitUsage, "--at asks the control plane's history; a file has none");
  if (!options.file.empty()) {
    const Result<Json> answer = ExplainFile(options);
    if (!answer.ok()) return session.FailAs(kExitUsage, answer.status().ToString());
    return PrintExplain(session, *answer);
  }
  const Result<Json> answer = ExplainOnServer(session, options);
  if (!answer.ok()) return session.Fail(answer.status());
  return options.at.empty() ? PrintExplain(session, *answer) : PrintPast(session, *answer);
}

// Of {flag, keys, outcomes: {outcome: n}, percentage}.
void PrintSpread(Session& session, const Json& answer) {
  if (session.PrintData(answer)) return;
  const auto keys = answer.value("keys", uint64_t{0});
  std::vector<std::vector<std::string>> rows;
  for (const auto& [outcome, count] : answer["outcomes"].items()) {
    const double percent = 100.0 * count.get<double>() / static_cast<double>(keys);
    rows.push_back(
        {outcome.empty() ? "no value" : outcome, Text(count), fmt::format("{:.4g} %", percent)});
  }
  PrintTable({"ANSWER", "KEYS", "SHARE"}, rows);
}

// One key's answer; with a count, how KEY1 … KEYn are spread.
void EvalFlag(Session& session, ExplainOptions options) {
  if (options.key.empty() && options.count == 0)
    return session.FailAs(kExitUsage, "flag eval needs --key or --count");
  if (options.key.empty()) options.key = "key-";  // key-1 … key-N
  const Result<Json> context = ContextArgument(options.context);
  if (!context.ok()) return session.FailAs(kExitUsage, context.status().ToString());
  const Result<Json> answer = ExplainOnServer(session, options);
  if (!answer.ok()) return session.Fail(answer.status());
  if (options.count > 0) return PrintSpread(session, *answer);
  const Json& flag = (*answer)["flags"][0];
  if (session.PrintData(flag)) return;
  std::printf("%s for %s: %s (%s)\n", options.flag.c_str(), options.key.c_str(),
              FlagAnswer(flag).c_str(), Why(flag).c_str());
}

void AddContext(CLI::App& command, ExplainOptions& options) {
  command.add_option("--context", options.context,
                     "What targeting rules look at: a JSON object, or @FILE");
}

}  // namespace

void AddExplainCommand(CLI::App& app, Session& session) {
  auto options = std::make_shared<ExplainOptions>();
  CLI::App* explain = app.add_subcommand("explain", "Every decision for a key, and why");
  explain->add_option("--key", options->key, "User, session or request id")->required();
  explain->add_option("--model", options->model, "Only this model");
  explain->add_option("--flag", options->flag, "Only this flag");
  explain->add_option("--file", options->file,
                      "Decide from a file instead of the live snapshot: flags, resources, flagd, "
                      "or a saved GET /v1/snapshot");
  explain->add_option("--at", options->at,
                      "What it was then: 2026-11-20T14:05 (UTC, that minute), with seconds or an "
                      "offset if wanted");
  explain->add_option("--node", options->node, "With --at: by what this node had applied");
  AddContext(*explain, *options);
  explain->footer(
      "Examples:\n"
      "  weir explain --key user-123\n"
      "  weir explain --key user-123 --flag size --context '{\"tier\": \"gold\"}'\n"
      "  weir explain --key user-123 --file feature-flags.yaml\n"
      "  weir explain --key user-123 --model fraud_detection --at 2026-11-20T14:05 --node n3");
  explain->callback([&session, options] { Explain(session, *options); });
}

void AddFlagEvalCommand(CLI::App& flag, Session& session) {
  auto options = std::make_shared<ExplainOptions>();
  CLI::App* eval =
      flag.add_subcommand("eval", "What it answers for a key, or how it spreads over many");
  eval->add_option("name", options->flag, "The flag")->required();
  eval->add_option("--key", options->key, "The key; with --count what the keys begin with (key-)");
  eval->add_option("--count", options->count, "Evaluate for KEY1 … KEYn")
      ->check(CLI::Range(1, 1'000'000));
  AddContext(*eval, *options);
  eval->footer(
      "Examples:\n"
      "  weir flag eval ttft --key user-123\n"
      "  weir flag eval size --count 1000 --context '{\"tier\": \"gold\"}'");
  eval->callback([&session, options] { EvalFlag(session, *options); });
}

}  // namespace weir::control::cli
