// SPDX-License-Identifier: Apache-2.0
#include "shared/transport/socket.h"

#include <zmq.h>

#include <array>
#include <cerrno>
#include <utility>

#include "shared/transport/address.h"
#include "shared/transport/socket_options.h"
#include "shared/transport/watch.h"

namespace weir::transport {
namespace {

class Frame {
 public:
  Frame() { zmq_msg_init(&msg_); }
  ~Frame() { zmq_msg_close(&msg_); }
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;

  // False if nothing is there or on an error; zmq_errno tells which.
  bool Receive(void* zmq_socket) {
    int size = -1;
    do {
      size = zmq_msg_recv(&msg_, zmq_socket, ZMQ_DONTWAIT);
    } while (size < 0 && zmq_errno() == EINTR);
    return size >= 0;
  }
  bool HasMore() { return zmq_msg_more(&msg_) != 0; }
  std::string Text() {
    return {static_cast<const char*>(zmq_msg_data(&msg_)), zmq_msg_size(&msg_)};
  }
  // "" if the ZAP handler gave it none.
  std::string Property(const char* name) {
    const char* value = zmq_msg_gets(&msg_, name);
    return value == nullptr ? "" : value;
  }
  // The connection it came from; -1 if there was none.
  int Descriptor() { return zmq_msg_get(&msg_, ZMQ_SRCFD); }

 private:
  zmq_msg_t msg_;
};

bool SendFrame(void* zmq_socket, std::string_view frame, int flags) {
  int sent = -1;
  do {
    sent = zmq_send(zmq_socket, frame.data(), frame.size(), ZMQ_DONTWAIT | flags);
  } while (sent < 0 && zmq_errno() == EINTR);
  return sent >= 0;
}

enum class Received { kNothing, kMessage, kMalformed };

// Takes one whole message off the socket. Its parts arrive together, so the later ones are there.
Result<Received> ReceiveOne(void* zmq_socket, Role role, Message& message, int& fd) {
  Frame body;
  if (!body.Receive(zmq_socket)) {
    if (zmq_errno() == EAGAIN) return Received::kNothing;
    return ZmqError("cannot receive");
  }
  bool well_formed = true;
  if (role == Role::kSessionServer) {
    message.routing_id = body.Text();
    if (!body.HasMore()) return Received::kMalformed;
    if (!body.Receive(zmq_socket)) return ZmqError("cannot receive");
  }
  if (IsServer(role)) {
    // From the body: in libzmq 4.3.4 the routing id's frame has no user id after a zmq_poll.
    message.user_id = body.Property("User-Id");
    message.key = body.Property(kKeyProperty);
    fd = body.Descriptor();
  }
  message.body = body.Text();
  if (role == Role::kCfgPublisher) {
    well_formed = !message.body.empty() && (message.body[0] == 0 || message.body[0] == 1);
  }
  while (body.HasMore()) {
    well_formed = false;
    if (!body.Receive(zmq_socket)) return ZmqError("cannot receive");
  }
  return well_formed ? Received::kMessage : Received::kMalformed;
}

Result<void*> OpenHandle(Context& context, Role role) {
  void* handle = zmq_socket(context.handle(), ZmqType(role));
  if (handle == nullptr) return ZmqError("cannot open a socket");
  return handle;
}

// Brackets mean IPv6. Only then: with it on, ZeroMQ tries a name's IPv6 address and no other.
Status AllowIpv6(void* zmq_socket, const std::string& address) {
  const int on = 1;
  if (address.find('[') != std::string::npos &&
      zmq_setsockopt(zmq_socket, ZMQ_IPV6, &on, sizeof(on)) != 0) {
    return ZmqError("cannot use IPv6");
  }
  return OkStatus();
}

}  // namespace

Result<Socket> Socket::OpenServer(Context& context, Role role, const KeyPair& server,
                                  const PeerLimits& limits) {
  WEIR_CHECK(IsServer(role));
  WEIR_ASSIGN_OR_RETURN(void* const handle, OpenHandle(context, role));
  Socket socket(handle, role);
  WEIR_RETURN_IF_ERROR(SetRoleOptions(handle, role));
  WEIR_RETURN_IF_ERROR(SetCurveServer(handle, server));
  WEIR_RETURN_IF_ERROR(SetHandshakeMs(handle, limits.handshake_ms));
  socket.peers_ = std::make_unique<Peers>(limits, role == Role::kCfgPublisher);
  WEIR_RETURN_IF_ERROR(socket.peers_->Start(context, handle));
  return socket;
}

Result<Socket> Socket::OpenClient(Context& context, Role role, const KeyPair& own,
                                  const std::string& server_public_key) {
  WEIR_CHECK(!IsServer(role));
  WEIR_ASSIGN_OR_RETURN(void* const handle, OpenHandle(context, role));
  Socket socket(handle, role);
  WEIR_RETURN_IF_ERROR(SetRoleOptions(handle, role));
  WEIR_RETURN_IF_ERROR(SetCurveClient(handle, own, server_public_key));
  return socket;
}

Socket::Socket(Socket&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)),
      role_(other.role_),
      malformed_(other.malformed_),
      peers_(std::move(other.peers_)),
      watch_(std::move(other.watch_)) {}

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this == &other) return *this;
  Close();
  handle_ = std::exchange(other.handle_, nullptr);
  role_ = other.role_;
  malformed_ = other.malformed_;
  peers_ = std::move(other.peers_);
  watch_ = std::move(other.watch_);
  return *this;
}

Socket::~Socket() { Close(); }

void Socket::CutKey(const std::string& public_key) {
  if (IsOpen() && peers_ != nullptr) peers_->CutKey(public_key);
}

void Socket::CheckPeers(int64_t now_ms) {
  if (IsOpen() && peers_ != nullptr) peers_->Check(now_ms);
}

PeerCounters Socket::peer_counters() const {
  return peers_ == nullptr ? PeerCounters{} : peers_->counters();
}

void Socket::Close() {
  if (watch_ != nullptr) watch_->active = false;
  watch_.reset();
  if (peers_ != nullptr) peers_->Stop();
  if (handle_ != nullptr) zmq_close(std::exchange(handle_, nullptr));
}

Status Socket::Bind(const std::string& address) {
  if (!IsOpen()) return FailedPrecondition("the socket is closed");
  WEIR_ASSIGN_OR_RETURN(const std::string url, ZmqAddress(address));
  WEIR_RETURN_IF_ERROR(AllowIpv6(handle_, url));
  if (zmq_bind(handle_, url.c_str()) != 0) return ZmqError("cannot bind " + url);
  return OkStatus();
}

Result<std::string> Socket::BoundAddress() const {
  if (!IsOpen()) return FailedPrecondition("the socket is closed");
  std::array<char, 256> text{};
  size_t size = text.size();
  if (zmq_getsockopt(handle_, ZMQ_LAST_ENDPOINT, text.data(), &size) != 0) {
    return ZmqError("cannot tell the bound address");
  }
  if (text[0] == '\0') return FailedPrecondition("the socket is not bound");
  return std::string(text.data());
}

Status Socket::Connect(const std::string& address) {
  if (!IsOpen()) return FailedPrecondition("the socket is closed");
  WEIR_ASSIGN_OR_RETURN(const std::string url, ZmqAddress(address));
  WEIR_RETURN_IF_ERROR(AllowIpv6(handle_, url));
  if (zmq_connect(handle_, url.c_str()) != 0) return ZmqError("cannot connect to " + url);
  return OkStatus();
}

Status Socket::Subscribe(std::string_view prefix) {
  if (!IsOpen()) return FailedPrecondition("the socket is closed");
  if (zmq_setsockopt(handle_, ZMQ_SUBSCRIBE, prefix.data(), prefix.size()) != 0) {
    return ZmqError("cannot subscribe");
  }
  return OkStatus();
}

Status Socket::SetWelcome(std::string_view frame) {
  WEIR_RETURN_IF_ERROR(CheckFrame(frame));
  if (zmq_setsockopt(handle_, ZMQ_XPUB_WELCOME_MSG, frame.data(), frame.size()) != 0) {
    return ZmqError("cannot set the welcome message");
  }
  return OkStatus();
}

Status Socket::CheckFrame(std::string_view frame) const {
  if (!IsOpen()) return FailedPrecondition("the socket is closed");
  if (frame.size() > MaxSendBytes(role_)) {
    return {Code::kResourceExhausted, "a frame of " + std::to_string(frame.size()) +
                                          " bytes is larger than the peer's limit of " +
                                          std::to_string(MaxSendBytes(role_))};
  }
  return OkStatus();
}

Status Socket::Send(std::string_view frame) {
  WEIR_CHECK(role_ != Role::kSessionServer);
  WEIR_RETURN_IF_ERROR(CheckFrame(frame));
  if (!SendFrame(handle_, frame, 0)) return ZmqError("cannot send");
  return OkStatus();
}

Status Socket::SendTo(const std::string& routing_id, std::string_view frame) {
  WEIR_CHECK(role_ == Role::kSessionServer);
  WEIR_RETURN_IF_ERROR(CheckFrame(frame));
  if (!SendFrame(handle_, routing_id, ZMQ_SNDMORE)) return ZmqError("cannot send to the peer");
  if (!SendFrame(handle_, frame, 0)) return ZmqError("cannot send to the peer");
  return OkStatus();
}

Result<std::optional<Message>> Socket::Receive() {
  constexpr int kMaxSkipped = 256;  // then the caller's loop gets its turn
  if (!IsOpen()) return FailedPrecondition("the socket is closed");
  for (int i = 0; i < kMaxSkipped; ++i) {
    Message message;
    int fd = -1;
    WEIR_ASSIGN_OR_RETURN(const Received received, ReceiveOne(handle_, role_, message, fd));
    if (received == Received::kNothing) break;
    const bool is_message = received == Received::kMessage;
    if (!is_message) ++malformed_;
    // After a disconnect nobody is told of: libzmq's own unsubscriptions.
    const bool is_wanted = peers_ == nullptr || message.key.empty() ||
                           peers_->OnMessage(fd, message.key, is_message, message.body);
    if (is_message && is_wanted) return std::optional<Message>(std::move(message));
  }
  return std::optional<Message>();
}

Status Socket::Drain(const std::function<void(Message)>& handler, int max_messages) {
  for (int i = 0; i < max_messages && IsOpen(); ++i) {
    WEIR_ASSIGN_OR_RETURN(std::optional<Message> message, Receive());
    if (!message.has_value()) break;
    handler(*std::move(message));
  }
  return OkStatus();
}

}  // namespace weir::transport
