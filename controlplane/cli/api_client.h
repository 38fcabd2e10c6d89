// SPDX-License-Identifier: Apache-2.0
// The admin API as the CLI calls it: JSON in and out, problems turned into a Status, and the exit
// code that the last failure deserves. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/http/client.h"

namespace weir::control::cli {

// What every command may end with.
inline constexpr int kExitDone = 0;
inline constexpr int kExitNo = 1;  // the answer is no, or the server refused
inline constexpr int kExitUsage = 2;
inline constexpr int kExitUnreachable = 3;
inline constexpr int kExitTimeout = 4;

// Who acts, as histories show it: "alice@host".
std::string UserAtHost();

struct ApiAccess {
  std::string token;    // "": none is shown
  std::string ca_file;  // of https; "" trusts the system's certificates
};

class ApiClient {
 public:
  // "http://127.0.0.1:7080", "https://…" or "host:port".
  ApiClient(std::string server, ApiAccess access, int64_t timeout_ms);

  const std::string& server() const { return server_; }

  Result<codec::Json> Get(const std::string& target);
  // With a JSON body unless it is null. `headers` beside the client's own.
  Result<codec::Json> Send(const std::string& method, const std::string& target,
                           const codec::Json& body, const std::vector<http::Header>& headers = {});
  Result<codec::Json> SendText(const std::string& method, const std::string& target,
                               const std::string& body, const std::string& content_type);
  // Stores a blob under its SHA-256 (made here) and returns "sha256:…".
  Result<std::string> PutBlob(const std::string& bytes);
  Status Stream(const std::string& target, const std::vector<http::Header>& headers,
                const std::function<bool(std::string_view)>& on_data);

  // Of the last call that failed.
  int exit_code() const { return exit_code_; }
  // HTTP status of the last answer; 0 when there was none.
  int last_status() const { return last_status_; }
  // The snapshot version that nodes must have for the last write to be in force; 0 when it was
  // none.
  uint64_t last_version() const { return last_version_; }

 private:
  Status Failed(const Status& status);
  Result<codec::Json> Answer(const Result<http::ClientResponse>& response);

  std::string server_;
  std::string actor_;  // user@host
  http::Client client_;
  int exit_code_ = kExitNo;
  int last_status_ = 0;
  uint64_t last_version_ = 0;
};

}  // namespace weir::control::cli
