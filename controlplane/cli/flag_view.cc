// SPDX-License-Identifier: Apache-2.0
// weir flag list, flag show.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "controlplane/cli/flag_commands.h"
#include "controlplane/cli/stale.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"

namespace weir::control::cli {
namespace {

using codec::Json;

std::string FlagPercent(const Json& value) {
  return value.is_number() ? fmt::format("{} %", Text(value)) : std::string();
}

// The stale ones, each with `stale: [reasons]`.
Json StaleFlags(const Json& flags) {
  Json items = Json::array();
  for (Json flag : flags["items"]) {
    const std::vector<std::string> reasons = StaleReasons(flag, Clock::System().WallMs());
    if (reasons.empty()) continue;
    flag["stale"] = reasons;
    items.push_back(std::move(flag));
  }
  return {{"items", std::move(items)}};
}

void ListFlags(Session& session, const std::string& selector, bool only_stale) {
  const std::string query = selector.empty() ? "" : "?l=" + http::PercentEncode(selector);
  Result<Json> answer = session.api().Get("/v1/flags" + query);
  if (!answer.ok()) return session.Fail(answer.status());
  if (only_stale) *answer = StaleFlags(*answer);
  if (session.PrintData(*answer)) return;
  std::vector<std::vector<std::string>> rows;
  for (const Json& flag : (*answer)["items"]) {
    const Json& spec = flag["spec"];
    const std::string name = Text(flag["metadata"]["name"]);
    if (session.output == "name") {
      std::printf("Flag/%s\n", name.c_str());
      continue;
    }
    const bool is_malformed = spec.contains("malformed");
    rows.push_back({name, FlagType(spec), spec.value("enabled", false) ? "yes" : "no",
                    is_malformed ? "MALFORMED" : FlagServes(spec), spec.value("owner", ""),
                    Age(flag["metadata"]["updated_at"]),
                    Text(flag["metadata"].value("updated_by", Json()))});
    if (only_stale) rows.back().back() = Join(flag["stale"].get<std::vector<std::string>>(), "; ");
  }
  if (session.output == "name") return;
  PrintTable({"NAME", "TYPE", "ENABLED", "SERVES", "OWNER", "AGE", only_stale ? "STALE" : "BY"},
             rows);
}

void PrintLine(const char* label, const std::string& value) {
  if (!value.empty()) std::printf("%-14s %s\n", label, value.c_str());
}

std::string List(const Json& spec, const char* field) {
  return Join(spec.value(field, std::vector<std::string>()), ", ");
}

void PrintSettings(const Json& spec) {
  PrintLine("type", FlagType(spec));
  PrintLine("enabled", spec.value("enabled", false) ? "yes" : "no");
  PrintLine("serves", FlagServes(spec));
  PrintLine("malformed", spec.value("malformed", ""));
  if (spec.contains("variants")) {
    for (const auto& [name, value] : spec["variants"].items())
      PrintLine("variant", fmt::format("{} = {}", name, value.dump()));
    PrintLine("off variant", spec.value("off_variant", ""));
    if (spec.contains("targeting")) PrintLine("targeting", spec["targeting"].dump());
  } else {
    PrintLine("seed", spec.value("hash_seed", ""));
    if (spec.value("strategy", "hash") != "hash") PrintLine("strategy", spec.value("strategy", ""));
    const std::string allowed = List(spec, "allowlist");
    PrintLine("allow-list",
              spec.value("allowlist_only", false) && allowed.empty() ? "nobody" : allowed);
  }
  PrintLine("requires", List(spec, "requires"));
  PrintLine("description", spec.value("description", ""));
  PrintLine("owner", spec.value("owner", ""));
  PrintLine("tags", List(spec, "tags"));
  if (spec.contains("metadata")) PrintLine("metadata", spec["metadata"].dump());
  PrintLine("expires", Text(spec.value("expires", Json())));
  for (const std::string& line : ScheduleLines(spec.value("schedule", Json::array())))
    PrintLine("schedule", line);
}

// What nodes answered since the flag last changed.
void PrintCounts(const Json& stats) {
  const auto total = stats.value("total", uint64_t{0});
  PrintLine("evaluated",
            fmt::format("{} times since {}", total, Text(stats.value("since", Json()))));
  if (stats.contains("enabled")) {
    PrintLine("enabled for",
              fmt::format("{} ({:.3g} %; configured {})", Text(stats["enabled"]),
                          stats.value("actual_percentage", 0.0),
                          FlagPercent(stats.value("configured_percentage", Json(0)))));
  }
  const Json outcomes = stats.value("by_outcome", Json::object());
  for (const auto& [outcome, count] : outcomes.items()) {
    PrintLine("  answered",
              fmt::format("{}: {} ({:.3g} %)", outcome.empty() ? "no value" : outcome, Text(count),
                          100.0 * count.get<double>() / static_cast<double>(total)));
  }
}

void ShowFlag(Session& session, const std::string& name) {
  const Result<Json> answer = session.api().Get(FlagPath(name));
  if (!answer.ok()) return session.Fail(answer.status());
  if (session.PrintData(*answer)) return;
  const Json status = answer->value("status", Json::object());
  PrintLine("name", name);
  PrintSettings((*answer)["spec"]);
  if (status.contains("rollout")) {
    PrintLine("rollout", fmt::format("{} has it at {} now", Text(status["rollout"]),
                                     FlagPercent(status.value("percentage", Json()))));
  }
  if (status.value("rolled_back", false))
    PrintLine("rolled back", "off for everybody until its rollout is retried or deleted");
  if (status.contains("emergency"))
    PrintLine("EMERGENCY", Text(status["emergency"]) + ": off for everybody (weir emergency show)");
  const Json& metadata = (*answer)["metadata"];
  PrintLine("changed", fmt::format("{} by {}, revision {}", Text(metadata["updated_at"]),
                                   Text(metadata["updated_by"]), Text(metadata["revision"])));
  if (status.contains("stats")) {
    PrintCounts(status["stats"]);
  } else {
    const std::string last = Text(status.value("last_evaluated_at", Json()));
    PrintLine("evaluated",
              "not since it last changed" + (last.empty() ? "" : "; before that, " + last));
  }
  for (const std::string& reason : StaleReasons(*answer, Clock::System().WallMs()))
    PrintLine("stale", reason);
}

}  // namespace

std::string FlagType(const Json& spec) {
  if (!spec.value("malformed", "").empty()) return "malformed";
  const Json variants = spec.value("variants", Json::object());
  if (variants.empty()) return "rollout";
  return variants.begin()->type_name();
}

std::string FlagServes(const Json& spec) {
  if (!spec.value("malformed", "").empty()) return "errors";
  if (!spec.value("enabled", false)) return "off";
  if (spec.contains("variants")) {
    const std::string fallback = spec.value("default_variant", "");
    if (!spec.contains("targeting")) return fallback;
    return fallback.empty() ? "by rule" : "by rule, else " + fallback;
  }
  if (spec.value("allowlist_only", false)) return "allow-list";
  return FlagPercent(spec.value("rollout_percentage", Json(100)));
}

std::vector<std::string> ScheduleLines(const Json& schedule) {
  std::vector<std::string> lines;
  for (const Json& item : schedule) {
    const Json set = item.value("set", Json::object());
    std::vector<std::string> changes;
    if (set.contains("enabled")) changes.push_back("enabled=" + set["enabled"].dump());
    if (set.contains("rollout_percentage"))
      changes.push_back("percent=" + Text(set["rollout_percentage"]));
    if (set.contains("default_variant"))
      changes.push_back("variant=" + Text(set["default_variant"]));
    lines.push_back(fmt::format("{}: {}", Text(item.value("at", Json())), Join(changes, ",")));
  }
  return lines;
}

void AddFlagViewCommands(CLI::App& flag, Session& session) {
  struct Options {
    std::string name, selector;
    bool stale = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* list = flag.add_subcommand("list", "All flags");
  list->add_option("-l,--selector", options->selector, "Only with these labels: team=risk");
  list->add_flag("--stale", options->stale,
                 "Only those past `expires`, not evaluated for 30 days, or with one answer for "
                 "everybody for 30 days; says which");
  list->callback([&session, options] { ListFlags(session, options->selector, options->stale); });
  CLI::App* show = flag.add_subcommand("show", "One flag: settings, what is in force, counts");
  show->add_option("name", options->name, "The flag")->required();
  show->callback([&session, options] { ShowFlag(session, options->name); });
}

}  // namespace weir::control::cli
