// SPDX-License-Identifier: Apache-2.0
// Contexts: named control planes, in $XDG_CONFIG_HOME/weir/config.yaml. Of a token they keep where
// it stands, never the token.
#pragma once

#include <map>
#include <string>

#include "shared/base/status.h"

namespace weir::control::cli {

struct Contexts {
  std::string current;
  std::map<std::string, std::string> servers;      // name → URL
  std::map<std::string, std::string> token_files;  // name → path; absent: none
  std::map<std::string, std::string> ca_files;     // name → path; absent: the system's
};

std::string ContextsPath();
// Empty when there is no file; a damaged file is reported on stderr and counts as empty.
Contexts LoadContexts();
Status SaveContexts(const Contexts& contexts);

}  // namespace weir::control::cli
