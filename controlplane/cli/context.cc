// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/context.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "controlplane/cli/session.h"
#include "shared/base/text.h"
#include "shared/codec/yaml.h"

namespace weir::control::cli {

template <class V>
void Describe(V& v, Contexts& f) {
  v(2, "current", f.current);
  v(4, "servers", f.servers);
  v(6, "token_files", f.token_files);
  v(8, "ca_files", f.ca_files);
}

std::string ContextsPath() {
  const char* config = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  const std::string base = config != nullptr && *config == '/'
                               ? config
                               : std::string(home != nullptr ? home : ".") + "/.config";
  return base + "/weir/config.yaml";
}

Contexts LoadContexts() {
  const Result<std::string> text = ReadFile(ContextsPath());
  if (!text.ok()) return {};
  const auto documents = codec::ParseYaml(*text);
  if (documents.ok() && documents->empty()) return {};
  Result<Contexts> contexts = documents.ok() ? codec::FromJson<Contexts>((*documents)[0].value)
                                             : Result<Contexts>(documents.status());
  if (contexts.ok()) return *contexts;
  std::fprintf(stderr, "warning: %s: %s\n", ContextsPath().c_str(),
               contexts.status().ToString().c_str());
  return {};
}

Status SaveContexts(const Contexts& contexts) {
  const std::string path = ContextsPath();
  WEIR_RETURN_IF_ERROR(MakeDirectories(std::filesystem::path(path).parent_path().string()));
  return WriteFileAtomic(path, codec::ToYaml(codec::ToJson(contexts)), 0600);
}

namespace {

// What is not given stays as it is; a file of "" is forgotten.
Status ChangeContext(Contexts& contexts, const std::string& name, const std::string& url,
                     const Session& session) {
  if (url.empty() && !contexts.servers.contains(name))
    return InvalidArgument("--server", "is missing: the URL of the control plane");
  if (!session.token_option.empty())
    return InvalidArgument("--token", "is not kept in a context; --token-file is");
  if (!url.empty()) contexts.servers[name] = url;
  const auto set = [&](std::map<std::string, std::string>& files,
                       const std::optional<std::string>& file) -> Status {
    if (!file.has_value()) return OkStatus();
    if (file->empty()) {
      files.erase(name);
      return OkStatus();
    }
    WEIR_RETURN_IF_ERROR(ReadFile(*file).status());
    files[name] = std::filesystem::absolute(*file).lexically_normal().string();
    return OkStatus();
  };
  WEIR_RETURN_IF_ERROR(set(contexts.token_files, session.token_file_option));
  return set(contexts.ca_files, session.ca_file_option);
}

}  // namespace

void AddContextCommands(CLI::App& app, Session& session) {
  CLI::App* context = app.add_subcommand("context", "Named control planes");
  context->require_subcommand(1);
  context->add_subcommand("list", "Show all contexts")->callback([] {
    const Contexts contexts = LoadContexts();
    std::vector<std::vector<std::string>> rows;
    const auto of = [](const std::map<std::string, std::string>& files, const std::string& name) {
      const auto found = files.find(name);
      return found == files.end() ? std::string("-") : found->second;
    };
    for (const auto& [name, server] : contexts.servers) {
      rows.push_back({name == contexts.current ? "*" : "", name, server,
                      of(contexts.token_files, name), of(contexts.ca_files, name)});
    }
    PrintTable({"CURRENT", "NAME", "SERVER", "TOKEN FILE", "CA FILE"}, rows);
  });
  auto name = std::make_shared<std::string>();
  auto server = std::make_shared<std::string>();
  CLI::App* set = context->add_subcommand(
      "set",
      "Add or change a context: weir context set prod --server https://weir.example:7080 "
      "--token-file FILE --ca-file FILE");
  set->add_option("name", *name, "Its name")->required();
  set->add_option("server", *server, "URL of the control plane; or --server");
  set->callback([&session, name, server] {
    Contexts contexts = LoadContexts();
    const std::string url = server->empty() ? session.server_option : *server;
    const Status changed = ChangeContext(contexts, *name, url, session);
    if (!changed.ok()) return session.FailAs(kExitUsage, changed.ToString());
    if (contexts.current.empty()) contexts.current = *name;
    if (const Status saved = SaveContexts(contexts); !saved.ok())
      session.FailAs(kExitNo, saved.ToString());
  });
  CLI::App* use = context->add_subcommand("use", "Make a context the default");
  use->add_option("name", *name, "Its name")->required();
  use->callback([&session, name] {
    Contexts contexts = LoadContexts();
    std::vector<std::string> names;
    for (const auto& [known, url] : contexts.servers) names.push_back(known);
    if (!contexts.servers.contains(*name)) {
      return session.FailAs(kExitUsage, fmt::format("context \"{}\" does not exist{}", *name,
                                                    DidYouMean(*name, names)));
    }
    contexts.current = *name;
    if (const Status saved = SaveContexts(contexts); !saved.ok())
      session.FailAs(kExitNo, saved.ToString());
  });
}

}  // namespace weir::control::cli
