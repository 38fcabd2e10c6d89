// SPDX-License-Identifier: Apache-2.0
// What a node's operator decides about OFREP.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace weir::node::ofrep {

struct OfrepOptions {
  // Web pages that may call: "https://shop.example", or "*" for all. Empty: none, and answers say
  // nothing about origins.
  std::vector<std::string> cors_origins;
  // Secrets, of which a caller shows one as `Authorization: Bearer …` or `X-API-Key: …`. Empty:
  // anyone may call.
  std::vector<std::string> tokens;
  size_t max_streams = 1000;  // open event streams of all workers together; beyond: 503
};

}  // namespace weir::node::ofrep
