// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace weir::transport {

// What a Loop and the socket or file descriptor it polls share, so that either may go first;
// private to the module. Used by the loop's thread, or by the owner while the loop does not run.
// Once `active` is false the handle may be closed already and is not touched, nor is the callback
// called.
struct SocketWatch {
  void* handle;  // null: `fd` is polled
  std::function<void()> on_readable;
  bool active = true;
  int fd = -1;
};

}  // namespace weir::transport
