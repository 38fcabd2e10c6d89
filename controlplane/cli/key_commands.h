// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace CLI {
class App;
}

namespace weir::control::cli {

class Session;

// weir node revoke and weir keys; after AddOperationCommands, which makes `weir node`.
void AddKeyCommands(CLI::App& app, Session& session);

}  // namespace weir::control::cli
