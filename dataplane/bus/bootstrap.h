// SPDX-License-Identifier: Apache-2.0
// How a node finds its control plane: /v1/bootstrap says where the channels are, /v1/enroll lets
// this node's key in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/status.h"

namespace weir::node::bus {

struct JoinRequest {
  std::vector<std::string> control;  // "http://127.0.0.1:7080", tried in this order
  std::string node;
  std::string public_key;  // z85
  // "secret.fingerprint": a server key with another fingerprint is refused before anything is sent
  // to it. "" if there is none.
  std::string token;
  // Server keys that the control plane itself announced, under one that was known: as good as the
  // token's.
  std::vector<std::string> trusted_keys{};
  std::string ca_file{};  // PEM, of https; "" trusts the system's certificates
};

struct Channels {
  std::string control;  // the address that answered
  uint64_t epoch = 0;
  std::string server_key;  // z85
  std::string cfg;
  std::string session;
  std::string telemetry;
  int64_t heartbeat_ms = 1000;
};

// The answer of /v1/bootstrap; DataLoss names what is missing or wrong in it, and a server key that
// does not have the fingerprint it was announced with.
Result<Channels> ParseBootstrap(std::string_view json);
// FailedPrecondition unless the token (if there is one) speaks of this server key.
Status CheckToken(const std::string& token, const std::string& server_key);

// Asks each address in turn until one bootstraps and enrols this node. Blocks, 3 s per request at
// most. The error is the last address's and names it.
Result<Channels> Join(const JoinRequest& request);

}  // namespace weir::node::bus
