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

void AddContextCommands(CLI::App& app, Session& session) {
  CLI::App* context = app.add_subcommand("context", "Named control planes");
  context->require_subcommand(1);
  context->add_subcommand("list", "Show all contexts")->callback([] {
    const Contexts contexts = LoadContexts();
    std::vector<std::vector<std::string>> rows;
    for (const auto& [name, server] : contexts.servers)
      rows.push_back({name == contexts.current ? "*" : "", name, server});
    PrintTable({"CURRENT", "NAME", "SERVER"}, rows);
  });
  auto name = std::make_shared<std::string>();
  auto server = std::make_shared<std::string>();
  CLI::App* set = context->add_subcommand(
      "set", "Add or change a context: weir context set prod http://weir.example:7080");
  set->add_option("name", *name, "Its name")->required();
  set->add_option("server", *server, "URL of the control plane")->required();
  set->callback([&session, name, server] {
    Contexts contexts = LoadContexts();
    contexts.servers[*name] = *server;
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
