// SPDX-License-Identifier: Apache-2.0
// One attempt to tell a sink. Blocks for at most the sink's time-out; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "controlplane/notify/notice.h"
#include "shared/domain/resource.h"

namespace weir::control::notify {

struct Sent {
  enum class Result { kDelivered, kRetry, kFailed };
  Result result = Result::kRetry;
  std::string detail;  // "status 404: no such hook"; names no more of the address than its host
};

// POST. 2xx is delivered; 408, 429, 5xx and no answer are worth another attempt; anything else is
// final. Headers: X-Weir-Event (type), X-Weir-Delivery (the notice's id: one that came already can
// be dropped), and with a secret X-Weir-Timestamp (seconds since the Unix epoch) and
// X-Weir-Signature, sha256=<hex HMAC-SHA256 over "TIMESTAMP.BODY">. The secret's file is read at
// every attempt; line breaks at its end are no part of it.
Sent Send(const domain::SinkSpec& sink, const Notice& notice, int64_t now_wall_ms);

}  // namespace weir::control::notify
