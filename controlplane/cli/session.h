// SPDX-License-Identifier: Apache-2.0
// What all commands share: which server, how to print, how to wait, and the exit code. Only data
// goes to stdout; messages go to stderr. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/cli/api_client.h"
#include "shared/base/status.h"
#include "shared/codec/json.h"

namespace CLI {
class App;
}

namespace weir::control::cli {

class Session {
 public:
  // Global options, filled by the parser before any command runs.
  std::string server_option;   // --server, WEIR_SERVER
  std::string context_option;  // --context
  std::string output = "table";
  std::string token_option;                      // --token
  std::optional<std::string> token_file_option;  // --token-file
  std::optional<std::string> ca_file_option;     // --ca-file
  std::string timeout = "10s";
  bool is_timeout_given = false;  // a wait for a rollout has no limit of its own

  // What https trusts: --ca-file, WEIR_CA_FILE, the context's; "": the system's certificates.
  std::string CaFile() const;
  // The client of the chosen server: --server, WEIR_SERVER, the context, http://127.0.0.1:7080.
  // Its token: --token, --token-file, WEIR_TOKEN, WEIR_TOKEN_FILE, the context's file, in this
  // order.
  ApiClient& api();
  // "http://127.0.0.1:7080" or "prod (http://…)", for messages on writes.
  std::string Target();
  int64_t timeout_ms() const;

  bool json() const { return output == "json"; }
  // Prints data as json or yaml as asked; false when a table is wanted.
  bool PrintData(const codec::Json& data) const;

  // Prints the error and remembers the exit code that fits.
  void Fail(const Status& status);
  void FailAs(int exit_code, const std::string& message);
  // The answer is no: nothing is printed.
  void No() { exit_code_ = kExitNo; }
  int exit_code() const { return exit_code_; }

  // Waits until every live node has applied `version`; says how many have. Fails with exit code 4.
  void WaitForNodes(uint64_t version);
  bool wait = true;  // --no-wait

 private:
  Result<std::string> Token() const;

  std::unique_ptr<ApiClient> api_;
  int exit_code_ = kExitDone;
};

// Aligned columns: the header in capitals, as kubectl's. Empty rows print "none".
void PrintTable(const std::vector<std::string>& header,
                const std::vector<std::vector<std::string>>& rows);
// What a commit changed, "Flag/ttft updated" and below it the fields with their old and new values;
// if wanted; of what is created only when nothing was done yet.
void PrintCommitted(const codec::Json& commit, bool with_diff = true);
// "3m12s ago" style age of an RFC 3339 time; "" for none.
std::string Age(const codec::Json& time);
// A number or text without quotes, for people: control characters are blanks; "" for null.
std::string Text(const codec::Json& value);

// Each adds its commands; `session` outlives the parse.
void AddApplyCommands(CLI::App& app, Session& session);
void AddResourceCommands(CLI::App& app, Session& session);
void AddModelCommands(CLI::App& app, Session& session);
void AddFlagCommands(CLI::App& app, Session& session);
void AddRolloutCommands(CLI::App& app, Session& session);
void AddSinkCommands(CLI::App& app, Session& session);
void AddTokenCommands(CLI::App& app, Session& session);
void AddOperationCommands(CLI::App& app, Session& session);
void AddImportCommands(CLI::App& app, Session& session);
void AddHistoryCommands(CLI::App& app, Session& session);
void AddContextCommands(CLI::App& app, Session& session);
void AddLocalCommands(CLI::App& app, Session& session);

}  // namespace weir::control::cli
