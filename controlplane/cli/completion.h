// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace weir::control::cli {

// A completion script for "bash", "zsh" or "fish" that knows every command and option of `app`, and
// the kinds of resources. Made from the parser itself, so that it cannot fall behind.
std::string CompletionScript(const CLI::App& app, const std::string& shell);

}  // namespace weir::control::cli
