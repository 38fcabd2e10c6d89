// SPDX-License-Identifier: Apache-2.0
#include "bench/raw_zmq.h"

#include <fmt/format.h>
#include <zmq.h>

#include <array>
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "shared/base/clock.h"
#include "shared/transport/keys.h"
#include "shared/wire/messages.h"

namespace weir::bench {
namespace {

constexpr int64_t kStepMs = 30'000;
constexpr int kMaxSockets = 8192;

double NowMs() { return static_cast<double>(Clock::System().MonotonicNs()) / 1e6; }

struct Context {
  void* handle = zmq_ctx_new();
  Context() { zmq_ctx_set(handle, ZMQ_MAX_SOCKETS, kMaxSockets); }
  ~Context() { zmq_ctx_term(handle); }
};

Status Failed(const char* what) {
  return Unavailable(fmt::format("raw libzmq: {}: {}", what, zmq_strerror(zmq_errno())));
}

class RawSocket {
 public:
  RawSocket(const Context& context, int type) : handle_(zmq_socket(context.handle, type)) {
    Set(ZMQ_LINGER, 0);
    Set(ZMQ_BACKLOG, 4096);
  }
  RawSocket(RawSocket&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  ~RawSocket() {
    if (handle_ != nullptr) zmq_close(handle_);
  }
  void* handle() const { return handle_; }
  void Set(int option, int value) { zmq_setsockopt(handle_, option, &value, sizeof value); }

  void ServeCurve(const transport::KeyPair& keys) {
    Set(ZMQ_CURVE_SERVER, 1);
    zmq_setsockopt(handle_, ZMQ_CURVE_SECRETKEY, keys.secret_key.c_str(), 41);
  }
  void UseCurve(const transport::KeyPair& own, const std::string& server_key) {
    zmq_setsockopt(handle_, ZMQ_CURVE_SERVERKEY, server_key.c_str(), 41);
    zmq_setsockopt(handle_, ZMQ_CURVE_PUBLICKEY, own.public_key.c_str(), 41);
    zmq_setsockopt(handle_, ZMQ_CURVE_SECRETKEY, own.secret_key.c_str(), 41);
  }
  Result<std::string> Bind() {
    if (zmq_bind(handle_, "tcp://127.0.0.1:*") != 0) return Failed("bind");
    std::array<char, 128> text{};
    size_t size = text.size();
    zmq_getsockopt(handle_, ZMQ_LAST_ENDPOINT, text.data(), &size);
    return std::string(text.data());
  }
  // One frame, or one of a message; false if there is none.
  bool Receive(std::string& into, int flags = ZMQ_DONTWAIT) {
    zmq_msg_t message;
    zmq_msg_init(&message);
    const bool is_there = zmq_msg_recv(&message, handle_, flags) >= 0;
    if (is_there)
      into.assign(static_cast<const char*>(zmq_msg_data(&message)), zmq_msg_size(&message));
    zmq_msg_close(&message);
    return is_there;
  }

 private:
  void* handle_;
};

}  // namespace

struct RawFanOut::Parts {
  Context context;
  RawSocket xpub{context, ZMQ_XPUB};
  RawSocket router{context, ZMQ_ROUTER};
  std::vector<RawSocket> subs;
  std::vector<RawSocket> dealers;
  std::string reply;
  std::atomic<bool> stop{false};
  std::atomic<size_t> received{0};
  std::atomic<int64_t> last_received_ns{0};
  std::thread subscribers;

  void Subscribe();
  Status AwaitReplies(size_t count);
};

// The subscribers' thread.
void RawFanOut::Parts::Subscribe() {
  std::vector<zmq_pollitem_t> items;
  for (const RawSocket& sub : subs) items.push_back({sub.handle(), 0, ZMQ_POLLIN, 0});
  std::string bytes;
  while (!stop) {
    if (zmq_poll(items.data(), static_cast<int>(items.size()), 50) <= 0) continue;
    for (size_t i = 0; i < items.size(); ++i) {
      if (items[i].revents == 0) continue;
      while (subs[i].Receive(bytes)) {
        last_received_ns = Clock::System().MonotonicNs();
        ++received;
        zmq_send(dealers[i].handle(), reply.data(), reply.size(), ZMQ_DONTWAIT);
      }
    }
  }
}

Status RawFanOut::Parts::AwaitReplies(size_t count) {
  const double end_ms = NowMs() + kStepMs;
  std::string frame;
  size_t replies = 0;
  while (replies < count) {
    zmq_pollitem_t item{router.handle(), 0, ZMQ_POLLIN, 0};
    zmq_poll(&item, 1, 100);
    while (router.Receive(frame)) {
      if (router.Receive(frame)) ++replies;
    }
    if (NowMs() > end_ms)
      return Unavailable(fmt::format("raw libzmq: {} of {} replies", replies, count));
  }
  return OkStatus();
}

RawFanOut::RawFanOut() : parts_(std::make_unique<Parts>()) {}

RawFanOut::~RawFanOut() {
  parts_->stop = true;
  if (parts_->subscribers.joinable()) parts_->subscribers.join();
}

Result<std::unique_ptr<RawFanOut>> RawFanOut::Open(size_t count, size_t reply_bytes) {
  std::unique_ptr<RawFanOut> self(new RawFanOut());
  Parts& parts = *self->parts_;
  parts.reply.assign(reply_bytes, 'r');
  WEIR_ASSIGN_OR_RETURN(const transport::KeyPair server, transport::GenerateKeyPair());
  parts.xpub.ServeCurve(server);
  parts.router.ServeCurve(server);
  parts.xpub.Set(ZMQ_XPUB_VERBOSE, 1);
  WEIR_ASSIGN_OR_RETURN(const std::string xpub, parts.xpub.Bind());
  WEIR_ASSIGN_OR_RETURN(const std::string router, parts.router.Bind());
  for (size_t i = 0; i < count; ++i) {
    WEIR_ASSIGN_OR_RETURN(const transport::KeyPair own, transport::GenerateKeyPair());
    RawSocket& sub = parts.subs.emplace_back(parts.context, ZMQ_SUB);
    RawSocket& dealer = parts.dealers.emplace_back(parts.context, ZMQ_DEALER);
    if (sub.handle() == nullptr || dealer.handle() == nullptr) return Failed("socket");
    sub.UseCurve(own, server.public_key);
    dealer.UseCurve(own, server.public_key);
    zmq_setsockopt(sub.handle(), ZMQ_SUBSCRIBE, "", 0);
    if (zmq_connect(sub.handle(), xpub.c_str()) != 0) return Failed("connect");
    if (zmq_connect(dealer.handle(), router.c_str()) != 0) return Failed("connect");
    zmq_send(dealer.handle(), "here", 4, ZMQ_DONTWAIT);
  }
  WEIR_RETURN_IF_ERROR(parts.AwaitReplies(count));  // every DEALER stands
  std::string subscription;
  for (size_t subscribed = 0; subscribed < count;) {
    zmq_pollitem_t item{parts.xpub.handle(), 0, ZMQ_POLLIN, 0};
    if (zmq_poll(&item, 1, kStepMs) <= 0) return Failed("subscriptions");
    while (parts.xpub.Receive(subscription)) ++subscribed;
  }
  parts.subscribers = std::thread([&parts] { parts.Subscribe(); });
  return self;
}

Result<RawFanOut::Times> RawFanOut::Publish(const std::string& bytes) {
  Parts& parts = *parts_;
  parts.received = 0;
  const int64_t start_ns = Clock::System().MonotonicNs();
  if (zmq_send(parts.xpub.handle(), bytes.data(), bytes.size(), 0) < 0) return Failed("send");
  WEIR_RETURN_IF_ERROR(parts.AwaitReplies(parts.subs.size()));
  const int64_t end_ns = Clock::System().MonotonicNs();
  return Times{static_cast<double>(parts.last_received_ns - start_ns) / 1e6,
               static_cast<double>(end_ns - start_ns) / 1e6};
}

struct RawPull::Parts {
  Context context;
  RawSocket pull{context, ZMQ_PULL};
  transport::KeyPair keys;
  std::string address;
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> decoded{0};
  std::thread thread;
};

RawPull::RawPull() : parts_(std::make_unique<Parts>()) {}

RawPull::~RawPull() {
  parts_->stop = true;
  if (parts_->thread.joinable()) parts_->thread.join();
}

Result<std::unique_ptr<RawPull>> RawPull::Open() {
  std::unique_ptr<RawPull> self(new RawPull());
  Parts& parts = *self->parts_;
  WEIR_ASSIGN_OR_RETURN(parts.keys, transport::GenerateKeyPair());
  parts.pull.ServeCurve(parts.keys);
  parts.pull.Set(ZMQ_RCVHWM, 64);  // as Weir's
  parts.pull.Set(ZMQ_RCVTIMEO, 100);
  WEIR_ASSIGN_OR_RETURN(parts.address, parts.pull.Bind());
  parts.thread = std::thread([&parts] {
    std::string bytes;
    while (!parts.stop) {
      if (!parts.pull.Receive(bytes, 0)) continue;
      const auto frame = wire::DecodeFrame(bytes);
      if (frame.ok() && wire::Decode<wire::Batch>(*frame).ok()) ++parts.decoded;
    }
  });
  return self;
}

std::string RawPull::address() const { return parts_->address; }
std::string RawPull::public_key() const { return parts_->keys.public_key; }
uint64_t RawPull::decoded() const { return parts_->decoded; }

}  // namespace weir::bench
