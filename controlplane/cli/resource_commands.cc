// SPDX-License-Identifier: Apache-2.0
// weir apply, diff, validate, get, describe, delete: resources and the files that hold them.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "controlplane/cli/session.h"
#include "shared/base/text.h"
#include "shared/codec/file_check.h"
#include "shared/codec/resource.h"
#include "shared/codec/yaml.h"
#include "shared/wire/digest.h"

namespace weir::control::cli {
namespace {

using codec::FileContent;
using codec::Json;
using codec::ResourceDocument;

// All files of the arguments; a folder gives its .yaml, .yml and .json files in order of name.
Result<std::vector<std::string>> ExpandPaths(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    std::error_code error;
    if (!std::filesystem::is_directory(path, error)) {
      files.push_back(path);
      continue;
    }
    std::vector<std::string> inside;
    for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
      const std::string extension = entry.path().extension().string();
      if (extension == ".yaml" || extension == ".yml" || extension == ".json")
        inside.push_back(entry.path().string());
    }
    if (inside.empty()) return NotFound(fmt::format("{} holds no .yaml, .yml or .json file", path));
    std::sort(inside.begin(), inside.end());
    files.insert(files.end(), inside.begin(), inside.end());
  }
  return files;
}

FileContent ReadAll(const std::vector<std::string>& files) {
  FileContent all;
  for (const std::string& file : files) {
    const Result<std::string> text = file == "-" ? ReadFile("/dev/stdin") : ReadFile(file);
    if (!text.ok()) {
      all.errors.push_back({file, 0, "", text.status().message()});
      all.is_parsed = false;
      continue;
    }
    FileContent content = codec::ReadResources(*text, file);
    const auto append = [](auto& to, auto& from) {
      to.insert(to.end(), std::make_move_iterator(from.begin()),
                std::make_move_iterator(from.end()));
    };
    append(all.documents, content.documents);
    append(all.errors, content.errors);
    append(all.warnings, content.warnings);
    append(all.disabled, content.disabled);
    all.is_parsed = all.is_parsed && content.is_parsed;
  }
  return all;
}

std::string Show(const codec::FileError& error) {
  std::string text = error.file;
  if (error.line > 0) text += fmt::format(":{}", error.line);
  if (!error.path.empty()) text += ": " + error.path;
  return text + (error.path.empty() ? ": " : " ") + error.message;
}

Json ToJson(const std::vector<codec::FileError>& errors) {
  Json items = Json::array();
  for (const codec::FileError& e : errors) {
    items.push_back({{"file", e.file}, {"line", e.line}, {"path", e.path}, {"message", e.message}});
  }
  return items;
}

// A version's relative `uri` names a file beside the applied one; it is stored and named by
// content. A dry run only names it.
Status StoreBlobs(Session& session, ResourceDocument& document, bool dry_run) {
  if (document.kind != domain::Kind::kModel || !document.spec.contains("versions"))
    return OkStatus();
  for (auto& [name, version] : document.spec["versions"].items()) {
    if (!version.is_object() || version.contains("blob") || !version.contains("uri")) continue;
    const std::string uri = version["uri"].get<std::string>();
    const std::filesystem::path base = std::filesystem::path(document.file).parent_path();
    const Result<std::string> bytes = ReadFile((base / uri).string());
    if (!bytes.ok())
      return InvalidArgument(fmt::format("{}: spec.versions.{}.uri", document.file, name),
                             bytes.status().message());
    if (dry_run) {
      version["blob"] = "sha256:" + wire::Sha256Hex(*bytes);
    } else {
      WEIR_ASSIGN_OR_RETURN(version["blob"], session.api().PutBlob(*bytes));
    }
  }
  return OkStatus();
}

struct ApplyOptions {
  std::vector<std::string> files;
  bool dry_run = false;
  bool replace = false;
  bool prune = false;
  std::string selector;
  std::string reason;
  bool no_wait = false;
};

// Reads the files and sends them, one source per call: the path as given.
Result<Json> Apply(Session& session, const ApplyOptions& options) {
  WEIR_ASSIGN_OR_RETURN(const std::vector<std::string> files, ExpandPaths(options.files));
  FileContent content = ReadAll(files);
  for (const codec::FileError& warning : content.warnings)
    std::fprintf(stderr, "warning: %s\n", Show(warning).c_str());
  for (const codec::FileError& malformed : content.disabled)
    std::fprintf(stderr, "warning: disabled: %s\n", Show(malformed).c_str());
  if (!content.errors.empty()) {
    for (const codec::FileError& error : content.errors)
      std::fprintf(stderr, "error: %s\n", Show(error).c_str());
    return InvalidArgument("", fmt::format("{} error{}; nothing was applied", content.errors.size(),
                                           content.errors.size() == 1 ? "" : "s"));
  }
  // Settings of the file alone, as a canary block: there is nothing to send.
  if (content.documents.empty()) return Json{{"changes", Json::array()}};
  Json resources = Json::array();
  for (ResourceDocument& document : content.documents) {
    WEIR_RETURN_IF_ERROR(StoreBlobs(session, document, options.dry_run));
    resources.push_back(codec::DocumentToJson(document));
  }
  std::error_code error;
  const auto source = std::filesystem::weakly_canonical(options.files[0], error);
  Json body = {{"resources", resources},
               {"dry_run", options.dry_run},
               {"replace", options.replace},
               {"source", "file:" + (error ? options.files[0] : source.string())}};
  if (!options.reason.empty()) body["reason"] = options.reason;
  if (options.prune) {
    Json labels = Json::object();
    for (const std::string& label : Split(options.selector, ',')) {
      const size_t equals = label.find('=');
      if (equals == std::string::npos)
        return InvalidArgument("-l", fmt::format("\"{}\" is not key=value", label));
      labels[label.substr(0, equals)] = label.substr(equals + 1);
    }
    body["prune"] = labels;
  }
  return session.api().Send("POST", "/v1/apply", body);
}

void PrintChanges(const Json& answer, bool with_diff) {
  for (const Json& change : answer["changes"]) {
    std::printf("%s/%s %s\n", Text(change["kind"]).c_str(), Text(change["name"]).c_str(),
                Text(change["action"]).c_str());
    if (with_diff && change.contains("diff") && change["diff"].is_object()) {
      for (const auto& [path, values] : change["diff"].items()) {
        if (path.rfind("status.", 0) == 0) continue;  // follows by itself
        std::printf("  %s: %s -> %s\n", path.c_str(), values.value("from", Json()).dump().c_str(),
                    values.value("to", Json()).dump().c_str());
      }
    }
    if (change.contains("kept")) {
      for (const Json& kept : change["kept"]) std::printf("  kept %s\n", Text(kept).c_str());
    }
  }
}

bool AnyChange(const Json& answer) {
  return std::any_of(answer["changes"].begin(), answer["changes"].end(),
                     [](const Json& change) { return change.value("action", "") != "unchanged"; });
}

void RunApply(Session& session, const ApplyOptions& options) {
  const Result<Json> answer = Apply(session, options);
  if (!answer.ok()) return session.Fail(answer.status());
  if (!session.PrintData(*answer)) PrintChanges(*answer, options.dry_run);
  if (!answer->contains("revision")) {
    std::fprintf(stderr, "no resource in the files; nothing to apply\n");
    return;
  }
  if (options.dry_run) {
    std::fprintf(stderr, "dry run: nothing was changed on %s\n", session.Target().c_str());
    return;
  }
  std::fprintf(stderr, "%s at revision %s on %s\n",
               AnyChange(*answer) ? "applied" : "nothing to change",
               Text((*answer)["revision"]).c_str(), session.Target().c_str());
  session.wait = !options.no_wait;
  session.WaitForNodes(answer->value("version", uint64_t{0}));
}

void RunDiff(Session& session, ApplyOptions options) {
  options.dry_run = true;
  const Result<Json> answer = Apply(session, options);
  if (!answer.ok()) {  // 1 says that something differs
    const int code = session.api().last_status() == 0 ? session.api().exit_code() : kExitUsage;
    return session.FailAs(code == kExitNo ? kExitUsage : code, answer.status().ToString());
  }
  if (!session.PrintData(*answer)) PrintChanges(*answer, true);
  if (AnyChange(*answer)) session.No();
}

void RunValidate(Session& session, const std::vector<std::string>& paths) {
  const Result<std::vector<std::string>> files = ExpandPaths(paths);
  if (!files.ok()) return session.FailAs(kExitNo, files.status().message());
  FileContent content = ReadAll(*files);
  codec::CheckWhole(content);
  const std::vector<codec::FileCheck> checks = codec::ChecksOf(content);
  Json data = {{"valid", content.errors.empty()},
               {"errors", ToJson(content.errors)},
               {"warnings", ToJson(content.warnings)},
               {"checks", Json::array()}};
  for (const codec::FileCheck& check : checks)
    data["checks"].push_back({{"name", check.name}, {"ok", check.ok}});
  if (!session.PrintData(data)) {
    for (const codec::FileError& error : content.errors)
      std::printf("error: %s\n", Show(error).c_str());
    for (const codec::FileError& warning : content.warnings)
      std::printf("warning: %s\n", Show(warning).c_str());
    for (const codec::FileCheck& check : checks)
      std::printf("%s %s\n", check.ok ? "✓" : "✗", check.name.c_str());
  }
  if (!content.errors.empty()) session.No();
}

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
  if (!session.PrintData(*answer)) PrintChanges(*answer, false);
  std::fprintf(stderr, "deleted at revision %s on %s\n", Text((*answer)["revision"]).c_str(),
               session.Target().c_str());
  session.WaitForNodes(answer->value("version", uint64_t{0}));
}

}  // namespace

void AddResourceCommands(CLI::App& app, Session& session) {
  auto options = std::make_shared<ApplyOptions>();
  CLI::App* apply = app.add_subcommand("apply", "Make it so: weir apply -f FILE|DIR");
  apply->add_option("-f,--file", options->files, "Files or folders; - is standard input")
      ->required();
  apply->add_flag("--dry-run", options->dry_run, "Say what would change, and change nothing");
  apply->add_flag("--replace", options->replace,
                  "Take the file's fields even where somebody else set them since");
  apply->add_flag("--prune", options->prune,
                  "Delete what these files applied before and no longer hold (with -l)");
  apply->add_option("-l,--selector", options->selector,
                    "Labels that pruned resources must carry: team=risk");
  apply->add_option("--reason", options->reason, "Why; shown in history");
  apply->add_flag("--no-wait", options->no_wait, "Do not wait until every node has it");
  apply->callback([&session, options] { RunApply(session, *options); });

  CLI::App* diff =
      app.add_subcommand("diff", "What apply would change; exit 1 when something would");
  diff->add_option("-f,--file", options->files, "Files or folders")->required();
  diff->callback([&session, options] { RunDiff(session, *options); });

  auto words = std::make_shared<std::vector<std::string>>();
  CLI::App* validate = app.add_subcommand(
      "validate", "Check files without a server, as if nothing stood yet; exit 1 on any error");
  validate->add_option("files", *words, "Files or folders")->required();
  validate->callback([&session, words] { RunValidate(session, *words); });

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
