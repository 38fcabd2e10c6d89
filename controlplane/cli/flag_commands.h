// SPDX-License-Identifier: Apache-2.0
// What the commands below `weir flag`, `weir explain` and `weir emergency` share; one source each.
#pragma once

#include <string>
#include <vector>

#include "controlplane/cli/session.h"

namespace weir::control::cli {

// Below `flag`: list, show · eval · export, import. At the top: explain · emergency.
void AddFlagViewCommands(CLI::App& flag, Session& session);
void AddFlagEvalCommand(CLI::App& flag, Session& session);
void AddFlagTransferCommands(CLI::App& flag, Session& session);
void AddExplainCommand(CLI::App& app, Session& session);
void AddEmergencyCommands(CLI::App& app, Session& session);

// "/v1/flags/NAME"
std::string FlagPath(const std::string& name);
// "boolean", "string", "number", "object" or "malformed" for a variant flag, else "rollout".
std::string FlagType(const codec::Json& spec);
// What it serves, for one column: "10 %", "large", "by rule, else large", "off".
std::string FlagServes(const codec::Json& spec);
// "at 2026-12-01T00:00:00.000Z: percent=50", one for each item of a schedule.
std::vector<std::string> ScheduleLines(const codec::Json& schedule);

// JSON given as text, as @FILE, or as FILE when `bare_file`. InvalidArgument names the option.
Result<codec::Json> JsonArgument(const std::string& option, const std::string& text,
                                 bool bare_file = false);
// The same, and it must be an object; "" is an empty one.
Result<codec::Json> ContextArgument(const std::string& text);

}  // namespace weir::control::cli
