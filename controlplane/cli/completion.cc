// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/completion.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <vector>

#include "shared/base/text.h"
#include "shared/domain/resource.h"

namespace weir::control::cli {
namespace {

// What may follow a path of commands: "" → top level, "rollout" → its commands, "rollout status" →
// options.
struct Choice {
  std::string path;
  std::vector<std::string> words;
};

void Collect(const CLI::App& app, const std::string& path, std::vector<Choice>& out) {
  Choice choice{path, {}};
  const auto children = app.get_subcommands([](const CLI::App*) { return true; });
  for (const CLI::App* child : children) choice.words.push_back(child->get_name());
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) choice.words.push_back("--" + name);
  }
  if (path == "get" || path == "describe" || path == "delete" || path == "history") {
    for (const domain::Kind kind : domain::kKinds)
      choice.words.emplace_back(domain::KindPlural(kind));
  }
  out.push_back(choice);
  for (const CLI::App* child : children)
    Collect(*child, path.empty() ? child->get_name() : path + " " + child->get_name(), out);
}

std::string Bash(const std::vector<Choice>& choices) {
  std::string cases;
  for (const Choice& choice : choices)
    cases += fmt::format("    \"{}\") words=\"{}\" ;;\n", choice.path, Join(choice.words, " "));
  return fmt::format(R"(_weir() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" path="" word words=""
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$word" in -*) ;; *) [ "${{path%% *}}" = "$path" ] && path="${{path:+$path }}$word" ;; esac
  done
  while :; do
    case "$path" in
{}    esac
    [ -n "$words" ] || [ -z "$path" ] && break
    case "$path" in *" "*) path="${{path% *}}" ;; *) path="" ;; esac
  done
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [ ${{#COMPREPLY[@]}} -gt 0 ] || COMPREPLY=($(compgen -f -- "$current"))
}}
complete -F _weir weir
)",
                     cases);
}

std::string Fish(const std::vector<Choice>& choices) {
  std::string script = "complete -c weir -e\n";
  for (const Choice& choice : choices) {
    std::string condition = "__fish_use_subcommand";
    if (!choice.path.empty()) {
      condition.clear();
      for (const std::string& word : Split(choice.path, ' '))
        condition += fmt::format("{}__fish_seen_subcommand_from {}",
                                 condition.empty() ? "" : "; and ", word);
    }
    for (const std::string& word : choice.words) {
      script += word.rfind("--", 0) == 0
                    ? fmt::format("complete -c weir -n '{}' -l {}\n", condition, word.substr(2))
                    : fmt::format("complete -c weir -n '{}' -a {}\n", condition, word);
    }
  }
  return script;
}

}  // namespace

std::string CompletionScript(const CLI::App& app, const std::string& shell) {
  std::vector<Choice> choices;
  Collect(app, "", choices);
  if (shell == "fish") return Fish(choices);
  if (shell == "zsh")
    return "#compdef weir\nautoload -U +X bashcompinit && bashcompinit\n" + Bash(choices);
  return Bash(choices);
}

}  // namespace weir::control::cli
