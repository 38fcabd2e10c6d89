// SPDX-License-Identifier: Apache-2.0
// The commands for the programs themselves. `session` outlives the parse.
#pragma once

namespace CLI {
class App;
}

namespace weir::control::cli {

class Session;

void AddBackupCommands(CLI::App& app, Session& session);   // backup, restore
void AddAuditCommands(CLI::App& app, Session& session);    // audit, telemetry
void AddNodeCommands(CLI::App& app, Session& session);     // node drain, uncordon; `node` is there
void AddAlertCommands(CLI::App& app, Session& session);    // alert
void AddUpgradeCommands(CLI::App& app, Session& session);  // upgrade

}  // namespace weir::control::cli
