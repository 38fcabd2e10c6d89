// SPDX-License-Identifier: Apache-2.0
// Emergencies without the control plane: nodes are told one by one over their admin addresses, all
// at the same time, with the break-glass token that they were started with.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/status.h"
#include "shared/codec/json.h"

namespace weir::control::cli {

// Addresses of a file: one per line, host:port, http://host:port or https://host:port; "#" begins a
// comment. InvalidArgument: there is none. What is no address stays in the list, for
// OverrideDirectly to say so: one bad line must not keep the others from being told.
Result<std::vector<std::string>> ReadNodeAddresses(std::string_view text, const std::string& file);

struct DirectAnswer {
  std::string node;    // the address
  std::string state;   // applied | refused | unreachable
  std::string detail;  // why not
  int64_t took_ms = 0;
};

// Who breaks the glass, and how long each node may take to answer.
struct BreakGlass {
  std::string token;
  std::string actor;  // "alice@host"
  int64_t timeout_ms = 2000;
  std::string ca_file{};  // of https; "" trusts the system's certificates
};

// POST /weir/v1/override to each, on at most 64 threads; returns when all have answered or timed
// out, in the order of `nodes`.
std::vector<DirectAnswer> OverrideDirectly(const std::vector<std::string>& nodes,
                                           const codec::Json& body, const BreakGlass& who);

}  // namespace weir::control::cli
