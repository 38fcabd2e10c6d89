// SPDX-License-Identifier: Apache-2.0
#include "shared/transport/zap.h"

#include <zmq.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "shared/base/log.h"
#include "shared/transport/keys.h"
#include "shared/transport/socket_options.h"
#include "shared/transport/watch.h"

namespace weir::transport {
namespace {

constexpr char kEndpoint[] = "inproc://zeromq.zap.01";
constexpr int kMaxPerRound = 256;
constexpr int64_t kLogEveryMs = 10'000;

// The parts of a request (ZAP 1.0, https://rfc.zeromq.org/spec/27).
enum Part : size_t { kVersion, kRequestId, kDomain, kAddress, kIdentity, kMechanism, kKey, kParts };

// False if no request is there. A request's parts arrive together.
bool ReceiveParts(void* handle, std::vector<std::string>& parts) {
  parts.clear();
  while (true) {
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    int size = -1;
    do {
      size = zmq_msg_recv(&frame, handle, ZMQ_DONTWAIT);
    } while (size < 0 && zmq_errno() == EINTR);
    if (size >= 0) {
      parts.emplace_back(static_cast<const char*>(zmq_msg_data(&frame)), zmq_msg_size(&frame));
    }
    const bool more = size >= 0 && zmq_msg_more(&frame) != 0;
    zmq_msg_close(&frame);
    if (size < 0) return false;
    if (!more) return true;
  }
}

std::string PublicKeyText(const std::string& raw) {
  std::array<char, 41> text{};
  if (raw.size() != 32) return "";
  zmq_z85_encode(text.data(), reinterpret_cast<const uint8_t*>(raw.data()), raw.size());
  return text.data();
}

// ZMTP's metadata: the length of the name, the name, the length of the value, the value.
std::string Metadata(std::string_view name, std::string_view value) {
  std::string text(1, static_cast<char>(name.size()));
  text += name;
  for (const int shift : {24, 16, 8, 0}) text += static_cast<char>(value.size() >> shift);
  text += value;
  return text;
}

}  // namespace

ZapHandler::~ZapHandler() { Stop(); }

Status ZapHandler::Start(Context& context, Loop& loop) {
  WEIR_CHECK(loop_ == nullptr);
  Status status;
  const bool ran = loop.Call([&] {
    loop_ = &loop;
    handle_ = zmq_socket(context.handle(), ZMQ_REP);
    if (handle_ == nullptr) {
      status = ZmqError("cannot open the ZAP socket");
      return;
    }
    const int no_linger = 0;
    zmq_setsockopt(handle_, ZMQ_LINGER, &no_linger, sizeof(no_linger));
    if (zmq_bind(handle_, kEndpoint) != 0) {
      status = ZmqError("cannot serve ZAP, one handler per context");
      zmq_close(std::exchange(handle_, nullptr));
      return;
    }
    watch_ = loop.WatchHandle(handle_, [this] { Serve(); });
    last_log_ms_ = loop.clock().MonotonicMs() - kLogEveryMs;
  });
  if (!ran) return FailedPrecondition("the loop has stopped");
  if (!status.ok()) loop_ = nullptr;
  return status;
}

void ZapHandler::Stop() {
  if (loop_ == nullptr) return;
  OnLoop([this] {
    watch_->active = false;
    watch_.reset();
    zmq_close(std::exchange(handle_, nullptr));
  });
  loop_ = nullptr;
}

Status ZapHandler::Allow(const std::string& public_key_z85, const std::string& node_id) {
  WEIR_ASSIGN_OR_RETURN(const std::string key, DecodeKey(public_key_z85));
  OnLoop([&] { nodes_[key] = node_id; });
  return OkStatus();
}

void ZapHandler::Revoke(const std::string& public_key_z85) {
  const Result<std::string> key = DecodeKey(public_key_z85);
  if (!key.ok()) return;  // was never allowed
  OnLoop([&] { nodes_.erase(*key); });
}

void ZapHandler::OnLoop(const std::function<void()>& task) {
  if (loop_ != nullptr && loop_->Call(task)) return;
  if (loop_ != nullptr) loop_->Stop();  // it is stopping: wait until its thread is gone
  task();
}

void ZapHandler::Serve() {
  std::vector<std::string> request;
  for (int i = 0; i < kMaxPerRound && ReceiveParts(handle_, request); ++i) Answer(request);
}

void ZapHandler::Answer(const std::vector<std::string>& request) {
  const std::string* node_id = nullptr;
  if (request.size() == kParts && request[kVersion] == "1.0" && request[kDomain] == "weir" &&
      request[kMechanism] == "CURVE") {
    const auto found = nodes_.find(request[kKey]);
    if (found != nodes_.end()) node_id = &found->second;
  }
  if (node_id == nullptr) {
    ++denied_;
    const int64_t now_ms = loop_->clock().MonotonicMs();
    if (now_ms - last_log_ms_ >= kLogEveryMs && request.size() == kParts) {
      last_log_ms_ = now_ms;
      Log("transport")
          .warn("refused {} with key {} ({} refused so far)", request[kAddress],
                Fingerprint(PublicKeyText(request[kKey])), denied_.load());
    }
  }
  const std::string request_id = request.size() > kRequestId ? request[kRequestId] : "";
  const bool yes = node_id != nullptr;
  const std::string metadata = yes ? Metadata(kKeyProperty, PublicKeyText(request[kKey])) : "";
  const std::string_view reply[] = {"1.0",
                                    request_id,
                                    yes ? "200" : "400",
                                    yes ? "OK" : "the key is not allowed",
                                    yes ? std::string_view(*node_id) : std::string_view(),
                                    metadata};
  for (size_t i = 0; i < std::size(reply); ++i) {
    const int more = i + 1 < std::size(reply) ? ZMQ_SNDMORE : 0;
    int sent = -1;
    do {
      sent = zmq_send(handle_, reply[i].data(), reply[i].size(), ZMQ_DONTWAIT | more);
    } while (sent < 0 && zmq_errno() == EINTR);
  }
}

}  // namespace weir::transport
