// SPDX-License-Identifier: Apache-2.0
// Contexts: named control planes, in $XDG_CONFIG_HOME/weir/config.yaml.
#pragma once

#include <map>
#include <string>

#include "shared/base/status.h"

namespace weir::control::cli {

struct Contexts {
  std::string current;
  std::map<std::string, std::string> servers;  // name → URL
};

std::string ContextsPath();
// Empty when there is no file; a damaged file is reported on stderr and counts as empty.
Contexts LoadContexts();
Status SaveContexts(const Contexts& contexts);

}  // namespace weir::control::cli
