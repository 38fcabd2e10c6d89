// SPDX-License-Identifier: Apache-2.0
// weir policy. `session` outlives the parse.
#pragma once

namespace CLI {
class App;
}

namespace weir::control::cli {

class Session;

void AddPolicyCommands(CLI::App& app, Session& session);

}  // namespace weir::control::cli
