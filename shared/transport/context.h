// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace weir::transport {

// The process's ZeroMQ context; one per process, made before any socket and outliving all of them.
// The constructor sets ZMQ_MAX_SOCKETS and raises the soft RLIMIT_NOFILE (never lowers it). The
// destructor waits until every socket of the context is closed, so close them first. Nothing may
// fork after a Context exists; posix_spawn is fine (descriptors are CLOEXEC). Any thread.
class Context {
 public:
  Context();
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  void* handle() const { return handle_; }

 private:
  void* const handle_;
};

}  // namespace weir::transport
