// SPDX-License-Identifier: Apache-2.0
#include "controlplane/publish/server_keys.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace weir::control::publish {

Result<ServerKeys> ServerKeys::Load(const std::string& data_dir) {
  ServerKeys keys;
  keys.path_ = data_dir + "/server.key";
  WEIR_ASSIGN_OR_RETURN(keys.current_, transport::LoadOrCreateKeyPair(keys.path_));
  std::error_code error;
  if (std::filesystem::exists(keys.path_ + ".next", error)) {
    WEIR_ASSIGN_OR_RETURN(keys.next_, transport::LoadOrCreateKeyPair(keys.path_ + ".next"));
  }
  return keys;
}

Status ServerKeys::BeginRotation() {
  if (next_.has_value()) {
    return FailedPrecondition("a rotation to the key " + transport::Fingerprint(next_->public_key) +
                              " goes on already; weir keys status shows how far it is");
  }
  WEIR_ASSIGN_OR_RETURN(next_, transport::LoadOrCreateKeyPair(path_ + ".next"));
  return OkStatus();
}

void ServerKeys::AbandonRotation() {
  if (!next_.has_value()) return;
  next_.reset();
  std::remove((path_ + ".next").c_str());
}

Status ServerKeys::FinishRotation() {
  if (!next_.has_value()) return FailedPrecondition("no rotation goes on; weir keys rotate");
  const std::string from = path_ + ".next";
  if (std::rename(from.c_str(), path_.c_str()) != 0) {
    return Unavailable("cannot rename " + from + " to " + path_ + ": " + std::strerror(errno));
  }
  current_ = *next_;
  next_.reset();
  return OkStatus();
}

}  // namespace weir::control::publish
