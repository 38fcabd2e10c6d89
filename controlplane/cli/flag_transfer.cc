// SPDX-License-Identifier: Apache-2.0
// weir flag export, flag import: for those who move between Weir, flagd and Unleash.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>

#include "controlplane/cli/flag_commands.h"
#include "shared/base/text.h"
#include "shared/codec/flagd_file.h"
#include "shared/codec/resource.h"
#include "shared/codec/unleash_file.h"
#include "shared/codec/yaml.h"

namespace weir::control::cli {
namespace {

using codec::FileContent;
using codec::FileError;
using codec::Json;

// Export --------------------------------------------------------------------

struct ExportOptions {
  std::vector<std::string> names;
  std::string format = "weir";
  std::string file;
};

// As resources of a file: what a person wrote, without what the system worked out.
Result<std::vector<Json>> FlagsOf(Session& session, const std::vector<std::string>& names) {
  std::vector<Json> flags;
  if (names.empty()) {
    WEIR_ASSIGN_OR_RETURN(const Json all, session.api().Get("/v1/flags"));
    for (const Json& flag : all["items"]) flags.push_back(flag);
  }
  for (const std::string& name : std::set<std::string>(names.begin(), names.end())) {
    WEIR_ASSIGN_OR_RETURN(Json flag, session.api().Get(FlagPath(name)));
    flags.push_back(std::move(flag));
  }
  for (Json& flag : flags) {
    flag.erase("status");
    for (const char* field : {"revision", "updated_at", "updated_by"})
      flag["metadata"].erase(field);
  }
  return flags;
}

Result<std::string> Exported(const std::vector<Json>& flags, const std::string& format,
                             size_t* count) {
  *count = flags.size();
  if (format == "weir") {
    std::string text;
    for (const Json& flag : flags) text += (text.empty() ? "" : "---\n") + codec::ToYaml(flag);
    return text;
  }
  std::vector<domain::Resource> resources;
  for (const Json& flag : flags) {
    WEIR_ASSIGN_OR_RETURN(domain::Resource resource, codec::ResourceFromJson(flag));
    resources.push_back(std::move(resource));
  }
  std::vector<std::string> notes;
  const Json definitions = codec::ToFlagd(resources, notes);
  for (const std::string& note : notes) std::fprintf(stderr, "note: %s\n", note.c_str());
  *count = definitions["flags"].size();
  return definitions.dump(2) + "\n";
}

void Export(Session& session, const ExportOptions& options) {
  for (const char* format : {"json", "yaml", "table", "name"}) {
    if (options.file == format) {
      return session.FailAs(kExitUsage, fmt::format("-o is a file here, --format says how; for a "
                                                    "file of that name: -o ./{}",
                                                    format));
    }
  }
  const auto flags = FlagsOf(session, options.names);
  if (!flags.ok()) return session.Fail(flags.status());
  size_t count = 0;
  const Result<std::string> text = Exported(*flags, options.format, &count);
  if (!text.ok()) return session.FailAs(kExitNo, text.status().ToString());
  if (options.file.empty() || options.file == "-") {
    std::fwrite(text->data(), 1, text->size(), stdout);
  } else if (const Status written = WriteFileAtomic(options.file, *text); !written.ok()) {
    return session.FailAs(kExitNo, written.ToString());
  }
  std::fprintf(stderr, "%zu flag%s of %s%s\n", count, count == 1 ? "" : "s",
               session.Target().c_str(),
               options.file.empty() ? "" : (" in " + options.file).c_str());
}

// Import --------------------------------------------------------------------

struct ImportOptions {
  std::string format, file, reason;
  bool dry_run = false;
};

std::string ErrorLine(const FileError& error) {
  std::string text = error.file;
  if (error.line > 0) text += fmt::format(":{}", error.line);
  if (!error.path.empty()) text += ": " + error.path;
  return text + (error.path.empty() ? ": " : " ") + error.message;
}

Result<FileContent> ReadAs(const std::string& format, const std::string& text,
                           const std::string& file) {
  if (format == "unleash") return codec::ReadUnleash(text, file);
  if (format == "flagd") {
    WEIR_ASSIGN_OR_RETURN(const auto documents, codec::ParseYaml(text));
    if (documents.size() != 1 || !codec::LooksLikeFlagdFile(documents[0].value))
      return InvalidArgument(file,
                             "holds no flagd definitions: {\"flags\": {NAME: {\"state\", "
                             "\"variants\", \"defaultVariant\", …}}}");
  }
  return codec::ReadResources(text, file);
}

// What is wrong goes to stderr; false when nothing may be applied.
bool PrintFindings(const FileContent& content) {
  for (const FileError& warning : content.warnings)
    std::fprintf(stderr, "warning: %s\n", ErrorLine(warning).c_str());
  for (const FileError& disabled : content.disabled)
    std::fprintf(stderr, "disabled: %s\n", ErrorLine(disabled).c_str());
  for (const FileError& error : content.errors)
    std::fprintf(stderr, "error: %s\n", ErrorLine(error).c_str());
  return content.errors.empty();
}

Json ApplyBody(const FileContent& content, const ImportOptions& options) {
  Json resources = Json::array();
  for (const codec::ResourceDocument& document : content.documents)
    resources.push_back(codec::DocumentToJson(document));
  std::error_code error;
  const auto source = std::filesystem::weakly_canonical(options.file, error);
  Json body = {{"resources", std::move(resources)},
               {"dry_run", options.dry_run},
               {"source", "file:" + (error ? options.file : source.string())}};
  if (!options.reason.empty()) body["reason"] = options.reason;
  return body;
}

void Import(Session& session, const ImportOptions& options) {
  const Result<std::string> text = ReadFile(options.file == "-" ? "/dev/stdin" : options.file);
  if (!text.ok()) return session.FailAs(kExitUsage, text.status().ToString());
  const Result<FileContent> content = ReadAs(options.format, *text, options.file);
  if (!content.ok()) return session.FailAs(kExitNo, content.status().ToString());
  if (!PrintFindings(*content)) {
    return session.FailAs(kExitNo,
                          fmt::format("{} error{}; nothing was imported", content->errors.size(),
                                      content->errors.size() == 1 ? "" : "s"));
  }
  if (content->documents.empty())
    return session.FailAs(kExitNo, options.file + " holds nothing to import");
  const Result<Json> answer = session.api().Send("POST", "/v1/apply", ApplyBody(*content, options));
  if (!answer.ok()) return session.Fail(answer.status());
  if (!session.PrintData(*answer)) PrintCommitted(*answer);
  if (options.dry_run) {
    std::fprintf(stderr, "dry run: nothing was changed on %s\n", session.Target().c_str());
    return;
  }
  std::fprintf(stderr, "imported at revision %s on %s\n", Text((*answer)["revision"]).c_str(),
               session.Target().c_str());
  session.WaitForNodes(answer->value("version", uint64_t{0}));
}

}  // namespace

void AddFlagTransferCommands(CLI::App& flag, Session& session) {
  auto out = std::make_shared<ExportOptions>();
  CLI::App* export_flags = flag.add_subcommand("export", "Flags as a file, all or those named");
  export_flags->add_option("names", out->names, "Which flags");
  export_flags->add_option("--format", out->format, "weir (YAML) or flagd (JSON)")
      ->check(CLI::IsMember({"weir", "flagd"}))
      ->capture_default_str();
  export_flags->add_option("-o,--out", out->file, "The file; standard output without it");
  export_flags->footer(
      "Examples:\n"
      "  weir flag export --format flagd -o flags.json\n"
      "  weir flag export ttft ttft.speculation");
  export_flags->callback([&session, out] { Export(session, *out); });

  auto in = std::make_shared<ImportOptions>();
  CLI::App* import_flags = flag.add_subcommand(
      "import", "Flags from a file of Unleash, flagd or Weir; says what could not be carried over");
  import_flags->add_option("file", in->file, "The file; - is standard input")->required();
  import_flags->add_option("--format", in->format, "unleash, flagd or weir")
      ->check(CLI::IsMember({"unleash", "flagd", "weir"}))
      ->required();
  import_flags->add_flag("--dry-run", in->dry_run, "Say what would change, and change nothing");
  import_flags->add_option("--reason", in->reason, "Why; shown in history");
  import_flags->footer(
      "Examples:\n"
      "  weir flag import --format unleash features.json --dry-run\n"
      "  weir flag import --format flagd flags.flagd.json --reason \"moved from flagd\"");
  import_flags->callback([&session, in] { Import(session, *in); });
}

}  // namespace weir::control::cli
