// SPDX-License-Identifier: Apache-2.0
// weir rollout start: an existing rollout, or without a file one made of a model or a flag.
#pragma once

namespace CLI {
class App;
}

namespace weir::control::cli {

class Session;

// `rollout` is the app of `weir rollout`; `session` outlives the parse.
void AddRolloutStart(CLI::App& rollout, Session& session);

}  // namespace weir::control::cli
