// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "shared/base/status.h"
#include "shared/transport/context.h"
#include "shared/transport/loop.h"

namespace weir::transport {

// Says who may connect: serves inproc://zeromq.zap.01 on a running Loop. Admits CURVE peers of
// domain "weir" whose public key was allowed, under the user id of their node and with the key
// itself as a property of their messages; answers 400 to all else. Start it before binding any
// server socket; server sockets refuse everyone while it is not there. One per context. Allow and
// Revoke: any thread, in force when they return. Start and Stop: one owner; Stop is idempotent,
// also after the loop has stopped, and the destructor calls it; the context must still be alive.
// The loop must outlive the handler.
class ZapHandler {
 public:
  ZapHandler() = default;
  ~ZapHandler();
  ZapHandler(const ZapHandler&) = delete;
  ZapHandler& operator=(const ZapHandler&) = delete;

  Status Start(Context& context, Loop& loop);
  void Stop();

  // InvalidArgument if the key is not Z85. Allowing a key again gives it the new node id.
  Status Allow(const std::string& public_key_z85, const std::string& node_id);
  // From now on refused at every new connection; standing ones are Socket::CutKey's.
  void Revoke(const std::string& public_key_z85);
  uint64_t denied_count() const { return denied_; }

 private:
  void OnLoop(const std::function<void()>& task);
  void Serve();
  void Answer(const std::vector<std::string>& request);

  Loop* loop_ = nullptr;
  std::atomic<uint64_t> denied_{0};

  // Owned by the loop's thread while the handler is started.
  void* handle_ = nullptr;
  std::shared_ptr<SocketWatch> watch_;
  std::map<std::string, std::string> nodes_;  // 32-byte public key → node id
  int64_t last_log_ms_ = 0;
};

}  // namespace weir::transport
