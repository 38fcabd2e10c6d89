// SPDX-License-Identifier: Apache-2.0
// weir apply, diff, validate: files that hold resources.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "controlplane/cli/session.h"
#include "shared/base/text.h"
#include "shared/codec/file_check.h"
#include "shared/codec/resource.h"
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

bool AnyChange(const Json& answer) {
  return std::any_of(answer["changes"].begin(), answer["changes"].end(),
                     [](const Json& change) { return change.value("action", "") != "unchanged"; });
}

void RunApply(Session& session, const ApplyOptions& options) {
  const Result<Json> answer = Apply(session, options);
  if (!answer.ok()) return session.Fail(answer.status());
  if (!session.PrintData(*answer)) PrintCommitted(*answer, options.dry_run);
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
  if (!session.PrintData(*answer)) PrintCommitted(*answer, true);
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

}  // namespace

void AddApplyCommands(CLI::App& app, Session& session) {
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
}

}  // namespace weir::control::cli
