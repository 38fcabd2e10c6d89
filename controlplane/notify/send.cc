// SPDX-License-Identifier: Apache-2.0
#include "controlplane/notify/send.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <utility>
#include <vector>

#include "controlplane/notify/signature.h"
#include "shared/base/printable.h"
#include "shared/base/text.h"
#include "shared/http/client.h"
#include "shared/http/target.h"

namespace weir::control::notify {
namespace {

constexpr size_t kMaxAnswer = size_t{1024} * 1024;  // bytes
constexpr size_t kMaxShown = 200;                   // bytes of an answer
constexpr int64_t kMaxSecret = 64 * 1024;           // bytes

Result<std::string> ReadSecret(const std::string& path) {
  struct stat found {};
  if (::stat(path.c_str(), &found) == 0 && (!S_ISREG(found.st_mode) || found.st_size > kMaxSecret))
    return Unavailable(fmt::format("secret_file {} is not a file of at most 64 KiB", path));
  Result<std::string> secret = ReadFile(path);
  if (!secret.ok())
    return Unavailable(
        fmt::format("secret_file: {}; nothing is sent unsigned", secret.status().message()));
  while (!secret->empty() && (secret->back() == '\n' || secret->back() == '\r')) secret->pop_back();
  if (secret->empty()) return Unavailable(fmt::format("secret_file {} is empty", path));
  return secret;
}

Sent Judge(const Result<http::ClientResponse>& answer) {
  if (!answer.ok()) {
    const bool is_final = answer.status().code() == Code::kInvalidArgument;
    return {is_final ? Sent::Result::kFailed : Sent::Result::kRetry, answer.status().ToString()};
  }
  const int status = answer->status;
  const std::string body = PrintableBegin(answer->body, kMaxShown);
  const std::string detail = fmt::format("status {}{}{}", status, body.empty() ? "" : ": ", body);
  if (status >= 200 && status < 300)
    return {Sent::Result::kDelivered, fmt::format("status {}", status)};
  const bool is_worth_it = status == 408 || status == 429 || status >= 500;
  return {is_worth_it ? Sent::Result::kRetry : Sent::Result::kFailed, detail};
}

}  // namespace

Sent Send(const domain::SinkSpec& sink, const Notice& notice, int64_t now_wall_ms) {
  const Result<http::Target> target = http::ParseTarget(sink.url);
  if (!target.ok()) return {Sent::Result::kFailed, "url: " + target.status().ToString()};
  const std::string body = Body(sink.format, notice);
  std::vector<http::Header> headers = {{"Content-Type", "application/json"},
                                       {"User-Agent", "weir"},
                                       {"X-Weir-Event", notice.type},
                                       {"X-Weir-Delivery", notice.id}};
  if (!sink.secret_file.empty()) {
    const Result<std::string> secret = ReadSecret(sink.secret_file);
    if (!secret.ok()) return {Sent::Result::kRetry, secret.status().ToString()};
    const std::string timestamp = std::to_string(now_wall_ms / 1000);
    headers.push_back({"X-Weir-Timestamp", timestamp});
    headers.push_back(
        {"X-Weir-Signature", "sha256=" + HmacSha256Hex(*secret, timestamp + "." + body)});
  }
  http::ClientOptions options;
  options.timeout_ms = sink.timeout.ms;
  options.max_body = kMaxAnswer;
  http::Client client(target->base, std::move(options));
  return Judge(client.Do("POST", target->path, headers, body));
}

}  // namespace weir::control::notify
