// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/api_client.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <cstdlib>

#include "shared/wire/digest.h"

namespace weir::control::cli {
namespace {

http::ClientOptions Options(int64_t timeout_ms, ApiAccess access) {
  http::ClientOptions options;
  options.timeout_ms = timeout_ms;
  options.bearer_token = std::move(access.token);
  options.ca_file = std::move(access.ca_file);
  return options;
}

Code CodeOf(int http_status) {
  switch (http_status) {
    case 400:
      return Code::kInvalidArgument;
    case 404:
      return Code::kNotFound;
    case 401:
    case 403:
    case 409:
    case 412:
      return Code::kFailedPrecondition;
    case 429:
    case 507:
      return Code::kResourceExhausted;
    case 503:
      return Code::kUnavailable;
    default:
      return Code::kInternal;
  }
}

}  // namespace

std::string UserAtHost() {
  char host[256] = "localhost";
  ::gethostname(host, sizeof host - 1);
  const passwd* user = ::getpwuid(::getuid());
  return fmt::format("{}@{}", user != nullptr ? user->pw_name : std::to_string(::getuid()).c_str(),
                     host);
}

ApiClient::ApiClient(std::string server, ApiAccess access, int64_t timeout_ms)
    : server_(std::move(server)),
      actor_(UserAtHost()),
      client_(server_, Options(timeout_ms, std::move(access))) {}

Status ApiClient::Failed(const Status& status) {
  const bool timed_out = status.message().find("timed out") != std::string::npos;
  exit_code_ = timed_out ? kExitTimeout : kExitUnreachable;
  last_status_ = 0;
  return Unavailable(
      fmt::format("cannot reach the control plane at {}: {} (is it running? `weir up` starts one; "
                  "--server, WEIR_SERVER or `weir context` name another)",
                  server_, status.message()));
}

Result<codec::Json> ApiClient::Answer(const Result<http::ClientResponse>& response) {
  if (!response.ok()) return Failed(response.status());
  last_status_ = response->status;
  const std::string version(response->Header("x-weir-version"));
  last_version_ = std::strtoull(version.c_str(), nullptr, 10);
  exit_code_ = kExitNo;
  if (response->body.empty() && response->status < 300) return codec::Json();
  const Result<codec::Json> json = codec::ParseJson(response->body);
  if (response->status < 300) {
    if (!json.ok()) return Internal(fmt::format("{} answered something that is not JSON", server_));
    return *json;
  }
  if (!json.ok() || !json->is_object()) {
    return Status(CodeOf(response->status),
                  fmt::format("{} answered {}: {}", server_, response->status, response->body));
  }
  const std::string detail =
      json->value("detail", json->value("title", json->value("error", "refused")));
  return Status(CodeOf(response->status), detail, json->value("field", ""));
}

Result<codec::Json> ApiClient::Get(const std::string& target) {
  return Answer(client_.Do("GET", target));
}

Result<codec::Json> ApiClient::Send(const std::string& method, const std::string& target,
                                    const codec::Json& body,
                                    const std::vector<http::Header>& headers) {
  std::vector<http::Header> all = {{"Content-Type", "application/json"}, {"X-Weir-Actor", actor_}};
  all.insert(all.end(), headers.begin(), headers.end());
  return Answer(client_.Do(method, target, all, body.is_null() ? std::string() : body.dump()));
}

Result<codec::Json> ApiClient::SendText(const std::string& method, const std::string& target,
                                        const std::string& body, const std::string& content_type) {
  return Answer(
      client_.Do(method, target, {{"Content-Type", content_type}, {"X-Weir-Actor", actor_}}, body));
}

Result<std::string> ApiClient::PutBlob(const std::string& bytes) {
  const std::string sha256 = wire::Sha256Hex(bytes);
  WEIR_ASSIGN_OR_RETURN(const codec::Json stored,
                        SendText("PUT", "/v1/blobs/" + sha256, bytes, "application/octet-stream"));
  return "sha256:" + sha256;
}

Status ApiClient::Stream(const std::string& target, const std::vector<http::Header>& headers,
                         const std::function<bool(std::string_view)>& on_data) {
  const Status status = client_.Stream(target, headers, on_data);
  return status.ok() || status.code() != Code::kUnavailable ? status : Failed(status);
}

}  // namespace weir::control::cli
