// SPDX-License-Identifier: Apache-2.0
#include "controlplane/notify/send.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>
#include <vector>

#include "controlplane/gates/command.h"
#include "controlplane/notify/formats.h"
#include "controlplane/notify/signature.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/printable.h"
#include "shared/base/text.h"
#include "shared/domain/sink.h"
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

Sent WriteLog(const domain::SinkSpec& sink, const Notice& notice) {
  const std::string severity = SeverityOf(notice);
  const int rank = domain::SeverityRank(severity);
  const auto level = rank >= domain::SeverityRank("high") ? spdlog::level::err
                     : rank > 0                           ? spdlog::level::warn
                                                          : spdlog::level::info;
  const std::string team =
      sink.team.empty() ? ""
                        : fmt::format(" for {}{}", sink.team, sink.on_call ? " (on call)" : "");
  Log("alert").log(level, "[{}]{} {}", severity, Printable(team), Summary(notice));
  return {Sent::Result::kDelivered, "logged"};
}

// A variable of the environment ends at a NUL.
void AddVariable(std::vector<std::string>& environment, const char* name, std::string value) {
  if (value.empty()) return;
  std::replace(value.begin(), value.end(), '\0', ' ');
  environment.push_back(fmt::format("WEIR_ALERT_{}={}", name, value));
}

std::vector<std::string> EnvironmentOf(const domain::SinkSpec& sink, const Notice& notice) {
  std::vector<std::string> environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/",
                                          "LANG=C.UTF-8"};
  AddVariable(environment, "TYPE", notice.type);
  AddVariable(environment, "SEVERITY", SeverityOf(notice));
  AddVariable(environment, "SUMMARY", Summary(notice));
  AddVariable(environment, "DELIVERY", notice.id);
  AddVariable(environment, "STATUS", Word(notice.data, "status"));
  AddVariable(environment, "POLICY", Word(notice.data, "policy"));
  AddVariable(environment, "TEAM", sink.team);
  const auto alerts = notice.data.find("alerts");
  if (alerts == notice.data.end() || !alerts->is_array() || alerts->size() != 1) return environment;
  const codec::Json& alert = alerts->front();
  for (const auto& [name, field] :
       {std::pair("ID", "id"), std::pair("SLO", "slo"), std::pair("MODEL", "model"),
        std::pair("VERSION", "version"), std::pair("RUNBOOK_URL", "runbook_url")})
    AddVariable(environment, name, Word(alert, field));
  return environment;
}

Sent Execute(const domain::SinkSpec& sink, const Notice& notice,
             const std::vector<std::string>& allowed) {
  const Result<std::string> file =
      gates::AllowedCommand(sink.command.empty() ? "" : sink.command[0], allowed);
  if (!file.ok()) return {Sent::Result::kRetry, file.status().ToString()};
  static const std::atomic<bool> kNever{false};
  const Result<gates::CommandEnd> end = gates::RunCommand(
      {*file, sink.command, EnvironmentOf(sink, notice), sink.timeout.ms, Body("json", notice)},
      kNever);
  if (!end.ok()) return {Sent::Result::kRetry, end.status().ToString()};
  using How = gates::CommandEnd::How;
  if (end->how == How::kExited && end->code == 0) return {Sent::Result::kDelivered, "exit code 0"};
  const std::string what = end->how == How::kExited ? fmt::format("exit code {}", end->code)
                           : end->how == How::kTimedOut
                               ? fmt::format("killed after {}", FormatDurationMs(sink.timeout.ms))
                               : fmt::format("ended by signal {}", end->code);
  const std::string lines = gates::LastLines(end->output);
  return {Sent::Result::kRetry, what + (lines.empty() ? "" : ": " + lines)};
}

Sent Post(const domain::SinkSpec& sink, const Notice& notice, int64_t now_wall_ms,
          const std::string& address) {
  const Result<http::Target> target = http::ParseTarget(sink.url);
  if (!target.ok()) return {Sent::Result::kFailed, "url: " + target.status().ToString()};
  std::string secret;
  if (!sink.secret_file.empty()) {
    Result<std::string> read = ReadSecret(sink.secret_file);
    if (!read.ok()) return {Sent::Result::kRetry, read.status().ToString()};
    secret = *std::move(read);
  }
  http::ClientOptions options;
  options.timeout_ms = sink.timeout.ms;
  options.max_body = kMaxAnswer;
  http::Client client(target->base, std::move(options));
  Sent sent;
  std::optional<Sent> failed;
  for (const std::string& body : Bodies(sink, notice, secret, address)) {
    std::vector<http::Header> headers = {{"Content-Type", "application/json"},
                                         {"User-Agent", "weir"},
                                         {"X-Weir-Event", notice.type},
                                         {"X-Weir-Delivery", notice.id}};
    if (!secret.empty() && sink.format != "pagerduty") {
      const std::string timestamp = std::to_string(now_wall_ms / 1000);
      headers.push_back({"X-Weir-Timestamp", timestamp});
      headers.push_back(
          {"X-Weir-Signature", "sha256=" + HmacSha256Hex(secret, timestamp + "." + body)});
    }
    sent = Judge(client.Do("POST", PathFor(sink.format, target->path), headers, body));
    // What was taken already is taken again at the next attempt, and known by its key; what is
    // refused for good keeps the others from nobody.
    if (sent.result == Sent::Result::kRetry) return sent;
    if (sent.result == Sent::Result::kFailed) failed = sent;
  }
  return failed.value_or(sent);
}

}  // namespace

Sent Send(const domain::SinkSpec& sink, const Notice& notice, int64_t now_wall_ms,
          const Surroundings& surroundings) {
  if (sink.format == "log") return WriteLog(sink, notice);
  if (sink.format == "exec") return Execute(sink, notice, surroundings.commands);
  return Post(sink, notice, now_wall_ms, surroundings.address);
}

}  // namespace weir::control::notify
