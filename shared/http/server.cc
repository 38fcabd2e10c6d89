// SPDX-License-Identifier: Apache-2.0
#include "shared/http/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/error.hpp>
#include <chrono>
#include <future>
#include <utility>

#include "shared/base/log.h"
#include "shared/http/address.h"
#include "shared/http/stream.h"
#include "shared/http/worker.h"

namespace weir::http {
namespace {

using internal::Tcp;
using internal::Worker;
namespace asio = boost::asio;

constexpr size_t kMaxRefusals = 256;  // connections beyond the limit that are told so

std::string EndpointText(const Tcp::endpoint& endpoint) {
  const asio::ip::address address = endpoint.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return EndpointText(
        {asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()), endpoint.port()});
  }
  return Address{address.to_string(), endpoint.port()}.ToString();
}

}  // namespace

struct Server::State {
  // Constant after Start.
  internal::Shared shared;
  std::vector<std::unique_ptr<Worker>> workers;
  std::string address;

  // The first worker's thread.
  std::unique_ptr<Tcp::acceptor> acceptor;
  std::unique_ptr<asio::steady_timer> retry;
  internal::Counter accepted;

  bool running = false;  // the caller's thread

  Status LoadTls();
  Status Listen();
  Status Open(const Tcp::endpoint& endpoint);
  void AwaitConnections();
  bool AcceptOne();
};

Status Server::State::LoadTls() {
  const ServerOptions& options = shared.options;
  if (options.tls_cert_file.empty() && options.tls_key_file.empty()) return OkStatus();
  WEIR_ASSIGN_OR_RETURN(const auto tls, internal::TlsContext::CreateServer(options.tls_cert_file,
                                                                           options.tls_key_file));
  if (tls->IsExpired()) {
    Log("http").warn("{}: the certificate expired on {}; clients will refuse it",
                     options.tls_cert_file, tls->expires());
  }
  for (const auto& worker : workers) worker->SetTls(tls);
  return OkStatus();
}

Status Server::State::Listen() {
  WEIR_ASSIGN_OR_RETURN(const Address wanted, ParseAddress(shared.options.listen));
  if (wanted.host.empty()) {  // both families, or IPv4 where there is no IPv6
    Status status = Open({Tcp::v6(), wanted.port});
    return status.ok() ? status : Open({Tcp::v4(), wanted.port});
  }
  boost::system::error_code ec;
  Tcp::resolver resolver(workers[0]->context());
  const auto found =
      resolver.resolve(wanted.host, std::to_string(wanted.port), Tcp::resolver::passive, ec);
  if (ec || found.empty()) {
    return InvalidArgument(
        "", fmt::format("cannot listen on {}: {}", shared.options.listen, ec.message()));
  }
  Tcp::endpoint endpoint = found.begin()->endpoint();
  for (const auto& entry : found) {  // "localhost" is 127.0.0.1 first
    if (entry.endpoint().protocol() == Tcp::v4()) {
      endpoint = entry.endpoint();
      break;
    }
  }
  return Open(endpoint);
}

Status Server::State::Open(const Tcp::endpoint& endpoint) {
  acceptor = std::make_unique<Tcp::acceptor>(workers[0]->context());
  boost::system::error_code ec;
  acceptor->open(endpoint.protocol(), ec);
  if (!ec) acceptor->set_option(Tcp::acceptor::reuse_address(true), ec);
  if (!ec) acceptor->bind(endpoint, ec);
  if (!ec) acceptor->listen(4096, ec);
  if (!ec) acceptor->non_blocking(true, ec);
  if (ec) {
    return Unavailable(fmt::format("cannot listen on {}: {}", shared.options.listen, ec.message()));
  }
  address = EndpointText(acceptor->local_endpoint(ec));
  return OkStatus();
}

void Server::State::AwaitConnections() {
  acceptor->async_wait(Tcp::acceptor::wait_read, [this](const boost::system::error_code& ec) {
    if (ec) return;  // closed
    while (AcceptOne()) {
    }
  });
}

// True if there may be more to accept; otherwise the next wait has been arranged.
bool Server::State::AcceptOne() {
  const auto worker = std::min_element(
      workers.begin(), workers.end(),
      [](const auto& a, const auto& b) { return a->open.load() < b->open.load(); });
  Worker* chosen = worker->get();
  Tcp::socket socket(chosen->context());
  Tcp::endpoint remote;
  boost::system::error_code ec;
  acceptor->accept(socket, remote, ec);
  if (ec == asio::error::would_block) {
    AwaitConnections();
    return false;
  }
  if (ec == asio::error::connection_aborted || ec == asio::error::interrupted) return true;
  if (ec) {  // out of descriptors, most likely: they come back
    Log("http").warn("cannot accept on {}: {}", address, ec.message());
    retry->expires_after(std::chrono::milliseconds(100));
    retry->async_wait([this](const boost::system::error_code& cancelled) {
      if (!cancelled) AwaitConnections();
    });
    return false;
  }
  accepted.Add(1);
  size_t open = 0;
  for (const auto& each : workers) open += each->open.load();
  if (open >= shared.options.max_connections + kMaxRefusals) return true;  // closed unheard
  const bool refuse = open >= shared.options.max_connections;
  chosen->open.fetch_add(1);
  asio::dispatch(chosen->context(), [chosen, refuse, socket = std::move(socket),
                                     text = EndpointText(remote)]() mutable {
    chosen->Adopt(std::move(socket), std::move(text), refuse);
  });
  return true;
}

Server::Server() : state_(std::make_unique<State>()) {}

Server::~Server() { Stop(); }

void Server::SetIdleHook(std::function<void(int worker)> hook) {
  WEIR_CHECK(!state_->running);
  state_->shared.idle_hook = std::move(hook);
}

Status Server::Start(const ServerOptions& options, Handler handler) {
  WEIR_CHECK(state_->workers.empty());
  if (options.workers < 1) return InvalidArgument("workers", "at least 1");
  state_->shared.options = options;
  state_->shared.handler = std::move(handler);
  for (int i = 0; i < options.workers; ++i) {
    state_->workers.push_back(std::make_unique<Worker>(i, &state_->shared));
  }
  Status status = state_->LoadTls();
  Worker& first = *state_->workers[0];
  state_->retry = std::make_unique<asio::steady_timer>(first.context());
  if (status.ok()) status = state_->Listen();
  if (!status.ok()) {
    state_->acceptor.reset();
    state_->retry.reset();
    state_->workers.clear();
    return status;
  }
  state_->AwaitConnections();
  for (const auto& worker : state_->workers) worker->Start();
  state_->running = true;
  return OkStatus();
}

std::string Server::address() const { return state_->address; }

int Server::workers() const { return static_cast<int>(state_->workers.size()); }

Executor& Server::worker(int index) { return *state_->workers.at(static_cast<size_t>(index)); }

ServerCounters Server::counters() const {
  ServerCounters sum;
  sum.accepted = state_->accepted.Get();
  for (const auto& worker : state_->workers) {
    const internal::WorkerCounters& c = worker->counters;
    sum.open += worker->open.load();
    const uint64_t ended = c.ended.Get();  // first: what ends meanwhile counts as open
    sum.requests += c.requests.Get();
    sum.handling += c.requests.Get() - ended;
    sum.rejected_malformed += c.malformed.Get();
    sum.rejected_oversize += c.oversize.Get();
    sum.rejected_headers += c.headers.Get();
    sum.rejected_busy += c.busy.Get();
    sum.header_timeouts += c.header_timeouts.Get();
    sum.request_timeouts += c.request_timeouts.Get();
    sum.handshake_failures += c.handshakes.Get();
  }
  return sum;
}

std::vector<size_t> Server::connections() const {
  std::vector<size_t> open;
  for (const auto& worker : state_->workers) open.push_back(worker->open.load());
  return open;
}

Status Server::ReloadCertificate() {
  const ServerOptions& options = state_->shared.options;
  if (!state_->running || options.tls_cert_file.empty()) return OkStatus();
  WEIR_ASSIGN_OR_RETURN(const auto tls, internal::TlsContext::CreateServer(options.tls_cert_file,
                                                                           options.tls_key_file));
  if (tls->IsExpired()) {
    return InvalidArgument("tls_cert",
                           fmt::format("{}: expired on {}", options.tls_cert_file, tls->expires()));
  }
  for (const auto& worker : state_->workers) {
    worker->Post([w = worker.get(), tls] { w->SetTls(tls); });
  }
  return OkStatus();
}

void Server::Drain(int64_t deadline_ms) {
  if (!state_->running) return;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(deadline_ms);
  auto closed = std::make_shared<std::promise<void>>();
  std::vector<std::future<void>> drained;
  state_->workers[0]->Post([state = state_.get(), closed] {
    boost::system::error_code ignored;
    state->acceptor->close(ignored);
    state->retry->cancel();
    closed->set_value();
  });
  if (closed->get_future().wait_until(deadline) != std::future_status::ready) return;
  for (const auto& worker : state_->workers) {
    auto done = std::make_shared<std::promise<void>>();
    drained.push_back(done->get_future());
    worker->Post([w = worker.get(), done] { w->Drain([done] { done->set_value(); }); });
  }
  for (const auto& future : drained) future.wait_until(deadline);
}

void Server::Stop() {
  if (!state_->running) return;
  state_->running = false;
  auto closed = std::make_shared<std::promise<void>>();
  state_->workers[0]->Post([state = state_.get(), closed] {
    boost::system::error_code ignored;
    state->acceptor->close(ignored);
    state->retry->cancel();
    closed->set_value();
  });
  closed->get_future().wait();
  for (const auto& worker : state_->workers) worker->Stop();
}

}  // namespace weir::http
