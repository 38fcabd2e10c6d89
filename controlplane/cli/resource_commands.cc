// SPDX-License-Identifier: Apache-2.0
// weir get, describe, delete.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <thread>

#include "controlplane/cli/session.h"
#include "shared/base/text.h"
#include "shared/codec/yaml.h"
#include "shared/domain/resource.h"
#include "shared/http/target.h"

namespace weir::control::cli {
namespace {

using codec::Json;

// "kind/name", "kind name" or "kind".
Result<std::pair<domain::Kind, std::string>> ParseTarget(const std::vector<std::string>& words) {
  const size_t slash = words[0].find('/');
  const std::string kind_text = words[0].substr(0, slash);
  const auto kind = domain::ParseKind(kind_text);
  if (!kind.has_value()) {
    std::vector<std::string> kinds;
    for (const domain::Kind known : domain::kKinds) kinds.emplace_back(domain::KindPlural(known));
    return InvalidArgument("", fmt::format("\"{}\" is not a kind{}; kinds: {}", kind_text,
                                           DidYouMean(kind_text, kinds), Join(kinds, ", ")));
  }
  if (slash != std::string::npos) return std::pair(*kind, words[0].substr(slash + 1));
  return std::pair(*kind, words.size() > 1 ? words[1] : std::string());
}

std::string TokenState(const Json& spec) {
  std::string state = spec.contains("role") ? "role " + Text(spec["role"]) : "";
  for (const Json& scope : spec.value("scopes", Json::array()))
    state += (state.empty() ? "scope " : ", scope ") + Text(scope);
  const std::string expires = Text(spec.value("expires", Json()));
  return state + (expires.empty() ? ", never expires" : ", expires " + expires);
}

std::string PolicyState(const Json& spec) {
  return fmt::format("{} objectives, {} remediations{}{}", spec.value("slos", Json::array()).size(),
                     spec.value("remediations", Json::array()).size(),
                     spec.value("enabled", true) ? "" : ", disabled",
                     spec.value("dry_run", false) ? ", dry run" : "");
}

std::string LimitState(const Json& spec) {
  const std::string slots = Text(spec.value("max_concurrent", Json(0)));
  const size_t acts = spec.value("acts", Json::array()).size();
  return fmt::format("{} at once{}", slots == "0" ? "any number" : slots,
                     acts == 0 ? "" : fmt::format(", {} laid over by policies", acts));
}

std::vector<std::string> Row(domain::Kind kind, const Json& resource) {
  const Json spec = resource.value("spec", Json::object());
  const Json status = resource.value("status", Json::object());
  std::string state;
  if (kind == domain::Kind::kFlag && spec.contains("malformed")) {
    state = "malformed";
  } else if (kind == domain::Kind::kFlag && spec.contains("variants")) {
    state = fmt::format("{}, {} variants", spec.value("enabled", false) ? "enabled" : "disabled",
                        spec["variants"].size());
  } else if (kind == domain::Kind::kFlag) {
    state = fmt::format("{}, {} %", spec.value("enabled", false) ? "enabled" : "disabled",
                        Text(spec.value("rollout_percentage", Json(100))));
  } else if (kind == domain::Kind::kModel) {
    std::vector<std::string> versions;
    const Json all = spec.value("versions", Json::object());
    for (const auto& [version, unused] : all.items()) versions.push_back(version);
    state = fmt::format("stable {}, versions {}", Text(spec.value("stable", Json())),
                        Join(versions, " "));
  } else if (kind == domain::Kind::kRollout) {
    state = fmt::format("{} at {} %", Text(status.value("state", Json())),
                        Text(status.value("percentage", Json(0))));
  } else if (kind == domain::Kind::kExperiment) {
    state = fmt::format("{} groups", spec.value("groups", Json::array()).size());
  } else if (kind == domain::Kind::kObservability) {
    state = fmt::format("decisions {}, metrics {}",
                        spec.value("log_feature_decisions", false) ? "logged" : "not logged",
                        spec.value("export_metrics", true) ? "exported" : "not exported");
  } else if (kind == domain::Kind::kSink) {
    // What follows the host is often a secret.
    const std::string format = Text(spec.value("format", Json("json")));
    const auto target = http::ParseTarget(Text(spec.value("url", Json())));
    const Json command = spec.value("command", Json::array());
    const std::string where = format == "log" ? ""
                              : format == "exec"
                                  ? " " + (command.empty() ? "?" : Text(command[0]))
                                  : " to " + (target.ok() ? target->base : std::string("?"));
    const Json last = status.value("last", Json::object());
    state = fmt::format("{}{}{}{}", format, where, spec.value("enabled", true) ? "" : ", disabled",
                        last.empty() ? "" : ", last " + Text(last["result"]));
  } else if (kind == domain::Kind::kToken) {
    state = TokenState(spec);
  } else if (kind == domain::Kind::kPolicy) {
    state = PolicyState(spec);
  } else if (kind == domain::Kind::kLimit) {
    state = LimitState(spec);
  } else if (kind == domain::Kind::kSilence) {
    state = "until " + Text(spec.value("until", Json()));
  } else {
    state = fmt::format("kill switch {}, baseline {}, freeze {}",
                        spec.value("kill_switch", false) ? "ON" : "off",
                        spec.value("rollback_to_baseline", false) ? "ON" : "off",
                        spec.value("freeze", false) ? "ON" : "off");
  }
  const Json& metadata = resource["metadata"];
  return {Text(metadata["name"]), state, Text(metadata.value("revision", Json(0))),
          Age(metadata.value("updated_at", Json())), Text(metadata.value("updated_by", Json()))};
}

void PrintResources(Session& session, domain::Kind kind, const Json& answer) {
  if (session.PrintData(answer)) return;
  const Json items = answer.contains("items") ? answer["items"] : Json::array({answer});
  if (session.output == "name") {
    for (const Json& item : items)
      std::printf("%s/%s\n", domain::KindName(kind), Text(item["metadata"]["name"]).c_str());
    return;
  }
  std::vector<std::vector<std::string>> rows;
  for (const Json& item : items) rows.push_back(Row(kind, item));
  PrintTable({"NAME", "STATE", "REVISION", "AGE", "BY"}, rows);
}

void RunGet(Session& session, const std::vector<std::string>& words, const std::string& selector,
            bool watch) {
  const auto target = ParseTarget(words);
  if (!target.ok()) return session.FailAs(kExitUsage, target.status().message());
  std::string path = fmt::format("/v1/{}", domain::KindPlural(target->first));
  if (!target->second.empty()) path += "/" + http::PercentEncode(target->second);
  if (!selector.empty()) path += "?l=" + http::PercentEncode(selector);
  std::string last;
  do {
    const Result<Json> answer = session.api().Get(path);
    if (!answer.ok()) return session.Fail(answer.status());
    if (answer->dump() != last) PrintResources(session, target->first, *answer);
    last = answer->dump();
    std::fflush(stdout);
    if (watch) std::this_thread::sleep_for(std::chrono::milliseconds(500));
  } while (watch);
}

void RunDescribe(Session& session, const std::vector<std::string>& words) {
  const auto target = ParseTarget(words);
  if (!target.ok()) return session.FailAs(kExitUsage, target.status().message());
  if (target->second.empty()) return session.FailAs(kExitUsage, "describe needs KIND/NAME");
  const Result<Json> resource = session.api().Get(fmt::format(
      "/v1/{}/{}", domain::KindPlural(target->first), http::PercentEncode(target->second)));
  if (!resource.ok()) return session.Fail(resource.status());
  const Result<Json> history = session.api().Get(fmt::format("/v1/history?kind={}&name={}&limit=10",
                                                             domain::KindName(target->first),
                                                             http::PercentEncode(target->second)));
  if (!history.ok()) return session.Fail(history.status());
  if (session.json()) {
    session.PrintData({{"resource", *resource}, {"history", (*history)["items"]}});
    return;
  }
  std::printf("%s", codec::ToYaml(*resource).c_str());
  std::printf("\nlast changes:\n");
  for (const Json& row : (*history)["items"]) {
    std::printf("  %s  %s  %s  %s\n", Text(row["revision"]).c_str(), Text(row["at"]).c_str(),
                Text(row["actor"]).c_str(), Text(row.value("reason", Json())).c_str());
  }
}

void RunDelete(Session& session, const std::vector<std::string>& words, const std::string& reason,
               bool force) {
  const auto target = ParseTarget(words);
  if (!target.ok()) return session.FailAs(kExitUsage, target.status().message());
  if (target->second.empty()) return session.FailAs(kExitUsage, "delete needs KIND/NAME");
  const Result<Json> answer = session.api().Send(
      "DELETE",
      fmt::format("/v1/{}/{}?reason={}&force={}", domain::KindPlural(target->first),
                  http::PercentEncode(target->second), http::PercentEncode(reason), force),
      nullptr);
  if (!answer.ok()) return session.Fail(answer.status());
  if (!session.PrintData(*answer)) PrintCommitted(*answer, false);
  std::fprintf(stderr, "deleted at revision %s on %s\n", Text((*answer)["revision"]).c_str(),
               session.Target().c_str());
  session.WaitForNodes(answer->value("version", uint64_t{0}));
}

}  // namespace

void AddResourceCommands(CLI::App& app, Session& session) {
  auto words = std::make_shared<std::vector<std::string>>();
  auto selector = std::make_shared<std::string>();
  auto watch = std::make_shared<bool>(false);
  CLI::App* get =
      app.add_subcommand("get", "Show resources: weir get models, weir get rollout/NAME -o yaml");
  get->add_option("resource", *words, "KIND or KIND/NAME")->required()->expected(1, 2);
  get->add_option("-l,--selector", *selector, "Only with these labels: team=risk");
  get->add_flag("-w,--watch", *watch, "Print again on every change");
  get->callback([&session, words, selector, watch] { RunGet(session, *words, *selector, *watch); });

  CLI::App* describe = app.add_subcommand("describe", "A resource with its last changes");
  describe->add_option("resource", *words, "KIND/NAME")->required()->expected(1, 2);
  describe->callback([&session, words] { RunDescribe(session, *words); });

  auto reason = std::make_shared<std::string>();
  auto force = std::make_shared<bool>(false);
  CLI::App* remove = app.add_subcommand("delete", "Delete a resource: weir delete flag/NAME");
  remove->add_option("resource", *words, "KIND/NAME")->required()->expected(1, 2);
  remove->add_option("--reason", *reason, "Why; shown in history");
  remove->add_flag("--force", *force, "Even if much of its kind goes");
  remove->callback(
      [&session, words, reason, force] { RunDelete(session, *words, *reason, *force); });
}

}  // namespace weir::control::cli
