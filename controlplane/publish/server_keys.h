// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "shared/base/status.h"
#include "shared/transport/keys.h"

namespace weir::control::publish {

// The server's key pairs, as files of the data directory (mode 0600): server.key, and while a
// rotation goes on server.key.next, so that a restart goes on with it. One thread.
class ServerKeys {
 public:
  ServerKeys() = default;
  // Makes the first pair if there is none.
  static Result<ServerKeys> Load(const std::string& data_dir);

  const transport::KeyPair& current() const { return current_; }
  const std::optional<transport::KeyPair>& next() const { return next_; }

  // FailedPrecondition while one goes on.
  Status BeginRotation();
  // As if it had not begun; nothing happens when none goes on.
  void AbandonRotation();
  // The next pair becomes the current one, and the one before is gone for good.
  // FailedPrecondition when none goes on; on another error nothing has changed.
  Status FinishRotation();

 private:
  std::string path_;
  transport::KeyPair current_;
  std::optional<transport::KeyPair> next_;
};

}  // namespace weir::control::publish
