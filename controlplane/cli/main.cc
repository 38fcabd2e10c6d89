// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "controlplane/cli/key_commands.h"
#include "controlplane/cli/operator_commands.h"
#include "controlplane/cli/policy_commands.h"
#include "controlplane/cli/session.h"
#include "shared/base/build_info.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"

namespace weir::control::cli {
namespace {

void AddGlobalOptions(CLI::App& app, Session& session) {
  app.add_option("--server", session.server_option, "URL of the control plane")
      ->envname("WEIR_SERVER");
  app.add_option("--context", session.context_option, "Context to use instead of the current one");
  app.add_option("-o,--output", session.output, "table, json, yaml or name")
      ->check(CLI::IsMember({"table", "json", "yaml", "name"}))
      ->capture_default_str();
  app.add_option("--timeout", session.timeout, "How long a call or a wait may take")
      ->check([](const std::string& text) {
        const Result<int64_t> ms = ParseDurationMs(text);
        return ms.ok() ? "" : ms.status().message();
      })
      ->each([&session](const std::string&) { session.is_timeout_given = true; })
      ->capture_default_str();
  app.add_option("--token", session.token_option, "Bearer token")->group("");
  app.add_option("--token-file", session.token_file_option,
                 "File with the bearer token (or WEIR_TOKEN_FILE, or the token as WEIR_TOKEN)");
  app.add_option("--ca-file", session.ca_file_option,
                 "PEM certificates that https trusts (or WEIR_CA_FILE; default: the system's)");
  app.set_version_flag("--version", fmt::format("weir {} ({})", BuildVersion(), BuildType()));
  app.fallthrough();
  app.require_subcommand(1);
}

// CLI11 says which argument it does not know; the nearest command is ours to find.
std::string NearestCommand(const CLI::App& app, int argc, char** argv) {
  const CLI::App* at = &app;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.rfind('-', 0) == 0) {
      const CLI::Option* option = at->get_option_no_throw(word);
      if (option == nullptr) option = app.get_option_no_throw(word);
      if (option != nullptr && option->get_items_expected_max() > 0) ++i;  // its value
      continue;
    }
    std::vector<std::string> names;
    for (const CLI::App* sub : at->get_subcommands({})) names.push_back(sub->get_name());
    if (names.empty()) return "";
    if (std::find(names.begin(), names.end(), word) == names.end()) {
      return fmt::format("\"{}\" is not a command{}", word, DidYouMean(word, names));
    }
    at = at->get_subcommand(word);
  }
  return "";
}

int Main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app("weir: progressive delivery for model inference");
  app.name("weir");
  Session session;
  AddGlobalOptions(app, session);
  AddLocalCommands(app, session);
  AddApplyCommands(app, session);
  AddResourceCommands(app, session);
  AddModelCommands(app, session);
  AddFlagCommands(app, session);
  AddRolloutCommands(app, session);
  AddPolicyCommands(app, session);
  AddImportCommands(app, session);
  AddAlertCommands(app, session);
  AddSinkCommands(app, session);
  AddTokenCommands(app, session);
  AddOperationCommands(app, session);
  AddNodeCommands(app, session);
  AddBackupCommands(app, session);
  AddAuditCommands(app, session);
  AddUpgradeCommands(app, session);
  AddKeyCommands(app, session);
  AddHistoryCommands(app, session);
  AddContextCommands(app, session);
  // Last, since commands inherit what stands when they are added.
  app.footer(
      "Examples:\n"
      "  weir demo                                        the whole story in under a minute\n"
      "  weir up --nodes 3                                a control plane and three nodes here\n"
      "  weir model push fraud_detection 1.1.0 model.json\n"
      "  weir apply -f rollout.yaml                       start what the file says\n"
      "  weir rollout watch fraud-1-1-0\n"
      "  weir status                                      what is wrong, and what helps");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    const std::string nearest = NearestCommand(app, argc, argv);
    std::fprintf(stderr, "error: %s\n", nearest.empty() ? error.what() : nearest.c_str());
    std::fprintf(stderr, "`weir --help` and `weir COMMAND --help` say what there is\n");
    return kExitUsage;
  }
  return session.exit_code();
}

}  // namespace
}  // namespace weir::control::cli

int main(int argc, char** argv) { return weir::control::cli::Main(argc, argv); }
