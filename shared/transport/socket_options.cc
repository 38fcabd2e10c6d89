// SPDX-License-Identifier: Apache-2.0
#include "shared/transport/socket_options.h"

#include <zmq.h>

#include <cerrno>
#include <span>

#include "shared/base/text.h"

namespace weir::transport {
namespace {

// ZMQ_ZAP_ENFORCE_DOMAIN: missing in the public header of libzmq 4.3.4, honoured by the library.
// Without it a server socket admits everyone while no ZAP handler is there.
constexpr int kZapEnforceDomain = 93;
constexpr char kZapDomain[] = "weir";

// libzmq holds the encrypted frame against MAXMSGSIZE: 33 bytes more than the frame itself.
constexpr int64_t kCurveOverhead = 64;
constexpr int64_t kKiB = 1024;
constexpr int64_t kMiB = 1024 * 1024;

struct Option {
  int name;
  int value;
};

Status Set(void* zmq_socket, std::span<const Option> options) {
  for (const Option& option : options) {
    if (zmq_setsockopt(zmq_socket, option.name, &option.value, sizeof(option.value)) != 0) {
      return ZmqError("cannot set socket option " + std::to_string(option.name));
    }
  }
  return OkStatus();
}

Status SetBytes(void* zmq_socket, int name, const std::string& value) {
  if (zmq_setsockopt(zmq_socket, name, value.data(), value.size()) != 0) {
    return ZmqError("cannot set socket option " + std::to_string(name));
  }
  return OkStatus();
}

// The largest frame that the role may receive. Publishers get subscriptions, PUSH gets nothing;
// they are bounded as well, for the default is unlimited.
int64_t MaxReceiveBytes(Role role) {
  switch (role) {
    case Role::kCfgSubscriber:
    case Role::kSessionClient:
      return 16 * kMiB;
    case Role::kTelemetryServer:
      return 256 * kKiB;
    case Role::kSessionServer:
    case Role::kTelemetryClient:
      return 64 * kKiB;
    case Role::kCfgPublisher:  // subscriptions of a byte or a few; each is kept byte by byte
      return kKiB;
  }
  return 0;
}

Status SetQueueOptions(void* zmq_socket, Role role) {
  switch (role) {
    case Role::kCfgPublisher: {
      // VERBOSER: each peer's subscriptions and unsubscriptions reach us, not only the first and
      // last.
      const Option options[] = {
          {ZMQ_SNDHWM, 64}, {ZMQ_RCVHWM, 64}, {ZMQ_LINGER, 0}, {ZMQ_XPUB_VERBOSER, 1}};
      return Set(zmq_socket, options);
    }
    case Role::kCfgSubscriber: {
      const Option options[] = {{ZMQ_RCVHWM, 256}, {ZMQ_LINGER, 0}};
      return Set(zmq_socket, options);
    }
    case Role::kSessionServer: {
      const Option options[] = {{ZMQ_RCVHWM, 1000}, {ZMQ_LINGER, 0}, {ZMQ_ROUTER_MANDATORY, 1}};
      return Set(zmq_socket, options);
    }
    case Role::kSessionClient: {
      const Option options[] = {{ZMQ_LINGER, 0}, {ZMQ_IMMEDIATE, 1}};
      return Set(zmq_socket, options);
    }
    case Role::kTelemetryServer: {
      const Option options[] = {{ZMQ_RCVHWM, 64}, {ZMQ_LINGER, 0}};
      return Set(zmq_socket, options);
    }
    case Role::kTelemetryClient: {
      const Option options[] = {{ZMQ_LINGER, 1000}, {ZMQ_IMMEDIATE, 1}};
      return Set(zmq_socket, options);
    }
  }
  return Internal("unknown socket role");
}

Status SetOwnKeys(void* zmq_socket, const KeyPair& own) {
  WEIR_ASSIGN_OR_RETURN(const std::string public_key, DecodeKey(own.public_key));
  WEIR_ASSIGN_OR_RETURN(const std::string secret_key, DecodeKey(own.secret_key));
  WEIR_RETURN_IF_ERROR(SetBytes(zmq_socket, ZMQ_CURVE_PUBLICKEY, public_key));
  return SetBytes(zmq_socket, ZMQ_CURVE_SECRETKEY, secret_key);
}

}  // namespace

size_t MaxSendBytes(Role role) {
  switch (role) {
    case Role::kCfgPublisher:
      return static_cast<size_t>(MaxReceiveBytes(Role::kCfgSubscriber));
    case Role::kSessionServer:
      return static_cast<size_t>(MaxReceiveBytes(Role::kSessionClient));
    case Role::kSessionClient:
      return static_cast<size_t>(MaxReceiveBytes(Role::kSessionServer));
    case Role::kTelemetryClient:
      return static_cast<size_t>(MaxReceiveBytes(Role::kTelemetryServer));
    case Role::kCfgSubscriber:
    case Role::kTelemetryServer:
      return 0;
  }
  return 0;
}

int ZmqType(Role role) {
  switch (role) {
    case Role::kCfgPublisher:
      return ZMQ_XPUB;
    case Role::kCfgSubscriber:
      return ZMQ_SUB;
    case Role::kSessionServer:
      return ZMQ_ROUTER;
    case Role::kSessionClient:
      return ZMQ_DEALER;
    case Role::kTelemetryServer:
      return ZMQ_PULL;
    case Role::kTelemetryClient:
      return ZMQ_PUSH;
  }
  return -1;
}

bool IsServer(Role role) {
  return role == Role::kCfgPublisher || role == Role::kSessionServer ||
         role == Role::kTelemetryServer;
}

Status SetRoleOptions(void* zmq_socket, Role role) {
  const bool telemetry = role == Role::kTelemetryServer || role == Role::kTelemetryClient;
  // libzmq adds 0 to one RECONNECT_IVL at random to each interval, which is little once they have
  // doubled; a random start spreads the doubled ones too.
  const int reconnect_ms = 200 + static_cast<int>(RandomU64() % 100);
  const Option common[] = {
      {ZMQ_HEARTBEAT_IVL, telemetry ? 5000 : 2000},
      {ZMQ_HEARTBEAT_TIMEOUT, telemetry ? 20000 : 6000},
      {ZMQ_HEARTBEAT_TTL, telemetry ? 30000 : 10000},
      {ZMQ_TCP_KEEPALIVE, 1},
      {ZMQ_TCP_KEEPALIVE_IDLE, 30},
      {ZMQ_TCP_KEEPALIVE_INTVL, 10},
      {ZMQ_TCP_KEEPALIVE_CNT, 3},
      {ZMQ_RECONNECT_IVL, reconnect_ms},
      {ZMQ_RECONNECT_IVL_MAX, 5000},
      {ZMQ_BACKLOG, 4096},
      {ZMQ_HANDSHAKE_IVL, 5000},
  };
  WEIR_RETURN_IF_ERROR(Set(zmq_socket, common));
  const int64_t limit = MaxReceiveBytes(role) + kCurveOverhead;
  if (zmq_setsockopt(zmq_socket, ZMQ_MAXMSGSIZE, &limit, sizeof(limit)) != 0) {
    return ZmqError("cannot set the size limit");
  }
  return SetQueueOptions(zmq_socket, role);
}

Status SetHandshakeMs(void* zmq_socket, int handshake_ms) {
  const Option options[] = {{ZMQ_HANDSHAKE_IVL, handshake_ms}};
  return Set(zmq_socket, options);
}

Status SetCurveServer(void* zmq_socket, const KeyPair& server) {
  const Option options[] = {{ZMQ_CURVE_SERVER, 1}, {kZapEnforceDomain, 1}};
  WEIR_RETURN_IF_ERROR(Set(zmq_socket, options));
  WEIR_RETURN_IF_ERROR(SetBytes(zmq_socket, ZMQ_ZAP_DOMAIN, kZapDomain));
  return SetOwnKeys(zmq_socket, server);
}

Status SetCurveClient(void* zmq_socket, const KeyPair& own, const std::string& server_public_key) {
  WEIR_ASSIGN_OR_RETURN(const std::string server, DecodeKey(server_public_key));
  WEIR_RETURN_IF_ERROR(SetBytes(zmq_socket, ZMQ_CURVE_SERVERKEY, server));
  return SetOwnKeys(zmq_socket, own);
}

Status ZmqError(const std::string& what) {
  const int error = zmq_errno();
  const std::string message = what + ": " + zmq_strerror(error);
  switch (error) {
    case EAGAIN:
    case ETERM:
      return Unavailable(message);
    case EHOSTUNREACH:
      return NotFound(message);
    case EADDRINUSE:
    case EACCES:
      return FailedPrecondition(message);
    case EINVAL:
    case ENODEV:
    case EADDRNOTAVAIL:
    case ENOENT:
    case EPROTONOSUPPORT:
      return InvalidArgument("", message);
    case EMFILE:
      return {Code::kResourceExhausted, message};
    default:
      return Internal(message);
  }
}

}  // namespace weir::transport
