// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "shared/base/status.h"
#include "shared/transport/socket.h"

namespace weir::transport {

// The property of a message that the ZAP handler puts the sender's key in, as Z85.
inline constexpr char kKeyProperty[] = "Key";

// The wire contract's table of socket options, one place for all roles; private to the module.
int ZmqType(Role role);
bool IsServer(Role role);
// Everything but CURVE; before bind and connect.
Status SetRoleOptions(void* zmq_socket, Role role);
Status SetHandshakeMs(void* zmq_socket, int handshake_ms);
// CURVE as a server, with ZAP domain "weir" enforced; `secret` is the Z85 text.
Status SetCurveServer(void* zmq_socket, const KeyPair& server);
Status SetCurveClient(void* zmq_socket, const KeyPair& own, const std::string& server_public_key);

// The last ZeroMQ error as a Status; `what` says what was tried.
Status ZmqError(const std::string& what);

}  // namespace weir::transport
