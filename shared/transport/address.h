// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "shared/base/status.h"

namespace weir::transport {

// A channel address as people write it → as ZeroMQ takes it: "127.0.0.1:7081" and
// "tcp://127.0.0.1:7081" → "tcp://127.0.0.1:7081", "ipc:///run/weir/cfg" stays. "[::1]:7081" for
// IPv6, "*" or "0.0.0.0" for every interface, port 0 for a free one. "localhost" becomes 127.0.0.1,
// because ZeroMQ binds to numbers and interfaces only. InvalidArgument says what is wrong
// otherwise.
Result<std::string> ZmqAddress(const std::string& listen_or_url);

}  // namespace weir::transport
