// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace weir::control::publish {

// Where frames for nodes go; the bus's sockets, or a test's list. Nothing blocks, nothing fails
// visibly: what a peer cannot take is lost to it, and the beacon lets it notice.
class Outbox {
 public:
  virtual ~Outbox() = default;
  virtual void Broadcast(std::string_view frame) = 0;                        // cfg
  virtual void SendTo(const std::string& peer, std::string_view frame) = 0;  // session
};

}  // namespace weir::control::publish
