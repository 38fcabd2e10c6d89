// SPDX-License-Identifier: Apache-2.0
// weir rollout show, status, watch, history: the commands that look and change nothing (but for the
// keys of watch).
#pragma once

#include "shared/codec/json.h"

namespace CLI {
class App;
}

namespace weir::control::cli {

class Session;

// `rollout` is the app of `weir rollout`; `session` outlives the parse.
void AddRolloutViews(CLI::App& rollout, Session& session);
// Its tree, in colour where that is wanted.
void PrintRollout(const codec::Json& rollout);

}  // namespace weir::control::cli
