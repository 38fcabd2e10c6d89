// SPDX-License-Identifier: Apache-2.0
#include "shared/transport/context.h"

#include <sys/resource.h>
#include <zmq.h>

#include <algorithm>
#include <cerrno>

#include "shared/base/log.h"
#include "shared/base/status.h"

namespace weir::transport {
namespace {

constexpr int kMaxSockets = 4096;
constexpr rlim_t kWantedFiles = 65536;

void RaiseFileLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted =
      std::min(limit.rlim_max, kWantedFiles);  // RLIM_INFINITY is the largest value
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    Log("transport").warn("cannot raise the limit of open files to {}: errno {}", wanted, errno);
  }
}

}  // namespace

Context::Context() : handle_(zmq_ctx_new()) {
  WEIR_CHECK(handle_ != nullptr);
  WEIR_CHECK(zmq_ctx_set(handle_, ZMQ_MAX_SOCKETS, kMaxSockets) == 0);
  RaiseFileLimit();
}

Context::~Context() {
  while (zmq_ctx_term(handle_) != 0 && errno == EINTR) {
  }
}

}  // namespace weir::transport
