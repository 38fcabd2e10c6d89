// SPDX-License-Identifier: Apache-2.0
#include "shared/http/upstream.h"

#include <fmt/format.h>

#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "shared/http/upstream_pool.h"

namespace weir::http {

Result<std::shared_ptr<Upstream>> Upstream::Create(Executor& worker, UpstreamOptions options) {
  auto* const loop = dynamic_cast<internal::Worker*>(&worker);
  if (loop == nullptr) {
    return InvalidArgument("", "calls to " + options.url + " need a worker of an HTTP server");
  }
  if (options.max_connections == 0) return InvalidArgument("max_connections", "at least 1");
  if (options.connect_timeout_ms <= 0 || options.idle_timeout_ms <= 0) {
    return InvalidArgument("", options.url + ": time-outs are at least 1 ms");
  }
  WEIR_ASSIGN_OR_RETURN(internal::Url url, internal::ParseUrl(options.url));
  std::shared_ptr<const internal::TlsContext> tls;
  if (url.is_tls) {
    WEIR_ASSIGN_OR_RETURN(tls, internal::TlsContext::Create(options.ca_file));
  }
  return std::shared_ptr<Upstream>(new Upstream(std::make_shared<internal::UpstreamPool>(
      loop, std::move(options), std::move(url), std::move(tls))));
}

Upstream::Upstream(std::shared_ptr<internal::UpstreamPool> pool) : pool_(std::move(pool)) {}

// The pool may be on the stack below (inside a `done`): it is freed by a later task.
Upstream::~Upstream() {
  boost::asio::io_context& context = pool_->worker().context();
  boost::asio::dispatch(context, [pool = std::move(pool_), &context]() mutable {
    pool->Close();
    boost::asio::post(context, [pool = std::move(pool)] {});
  });
}

uint64_t Upstream::Send(UpstreamCall call, Done done) {
  return pool_->Send(std::move(call), std::move(done));
}

void Upstream::Cancel(uint64_t call) { pool_->Cancel(call); }

size_t Upstream::busy() const { return pool_->busy(); }
size_t Upstream::open() const { return pool_->open(); }

}  // namespace weir::http
