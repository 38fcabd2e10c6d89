// SPDX-License-Identifier: Apache-2.0
// `weir demo`: the whole story in under a minute, with the real programs, real models and real
// requests: one rollout that is promoted, one that is taken back by itself, and a policy that mends
// a latency.
#pragma once

#include <string>

namespace weir::control::cli {

struct DemoOptions {
  bool keep = false;  // leave it running and print the addresses
  std::string dir;    // "" : a temporary one, removed at the end unless kept
  bool json = false;  // only the JSON on stdout
};

// The exit code. Progress goes to stderr, the report and the closing JSON to stdout.
int RunDemo(const DemoOptions& options);

}  // namespace weir::control::cli
