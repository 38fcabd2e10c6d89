// SPDX-License-Identifier: Apache-2.0
// The rules of sinks. The address is often a secret: no message repeats it.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "shared/domain/checker.h"
#include "shared/domain/sink.h"

namespace weir::domain {
namespace {

constexpr size_t kMaxUrl = 2048;  // bytes
constexpr int64_t kShortestTimeoutMs = 100;
constexpr int64_t kLongestTimeoutMs = 60'000;
constexpr size_t kMaxTeam = 253;  // bytes
constexpr size_t kMaxArguments = 64;
constexpr size_t kMaxArgument = 4096;  // bytes
constexpr int64_t kShortestPauseMs = 1'000;
constexpr int64_t kAlertmanagerRepeatMs = 60'000;
constexpr int64_t kLongestPauseMs = 30LL * 86'400'000;

void CheckAddress(Checker& c, const std::string& url) {
  const size_t scheme = url.starts_with("http://") ? 7 : url.starts_with("https://") ? 8 : 0;
  if (scheme == 0) return c.Fail("spec.url", "is not an http:// or https:// address");
  const auto is_unfit = [](char x) {
    return static_cast<unsigned char>(x) <= 0x20 || static_cast<unsigned char>(x) == 0x7f;
  };
  if (std::any_of(url.begin(), url.end(), is_unfit))
    return c.Fail("spec.url", "has blanks or control characters; write them as %20");
  if (url.size() > kMaxUrl)
    c.Fail("spec.url", fmt::format("{} bytes; at most {} are allowed", url.size(), kMaxUrl));
  const std::string host = url.substr(scheme, url.find_first_of("/?#", scheme) - scheme);
  if (host.empty() || host.front() == ':') c.Fail("spec.url", "names no host");
  if (host.find('@') != std::string::npos)
    c.Fail("spec.url", "holds credentials before the host; they do not belong there");
}

// What a format needs, and what would mean nothing to it.
void CheckWhereTo(Checker& c, const SinkSpec& spec) {
  const bool is_local = spec.format == "log" || spec.format == "exec";
  if (!is_local) {
    CheckAddress(c, spec.url);
  } else if (!spec.url.empty()) {
    c.Fail("spec.url", fmt::format("has no meaning for the format {}", spec.format));
  }
  if (spec.format != "exec") {
    if (!spec.command.empty()) c.Fail("spec.command", "is for the format exec");
    return;
  }
  if (spec.command.empty() || !spec.command[0].starts_with('/'))
    c.Fail("spec.command", "begins with the absolute path of a program");
  c.Count("spec.command", spec.command.size(), kMaxArguments);
  for (size_t i = 0; i < spec.command.size(); ++i) {
    if (spec.command[i].size() > kMaxArgument)
      c.Fail(fmt::format("spec.command[{}]", i),
             fmt::format("{} bytes; at most {} are allowed", spec.command[i].size(), kMaxArgument));
  }
}

}  // namespace

const std::vector<std::string>& NotifyTypes() {
  static const std::vector<std::string> kTypes = {"rollout",
                                                  "rollout_trend",
                                                  "rollout_alert",
                                                  "rollback_incomplete",
                                                  "emergency_rollback",
                                                  "gate",
                                                  "breaker",
                                                  "unwatched",
                                                  "drift",
                                                  "alert",
                                                  "remediation",
                                                  "emergency",
                                                  "resource_file"};
  return kTypes;
}

const std::vector<std::string>& Severities() {
  static const std::vector<std::string> kSeverities = {"info", "warning", "high", "critical"};
  return kSeverities;
}

int SeverityRank(std::string_view severity) {
  const auto& all = Severities();
  const auto found = std::find(all.begin(), all.end(), severity);
  return found == all.end() ? -1 : static_cast<int>(found - all.begin());
}

int64_t RepeatEveryMs(const SinkSpec& sink) {
  if (sink.repeat_every.ms > 0 || sink.format != "alertmanager") return sink.repeat_every.ms;
  return kAlertmanagerRepeatMs;
}

void Check(Checker& c, const SinkSpec& spec) {
  c.OneOf("spec.format", spec.format,
          {"json", "slack", "alertmanager", "pagerduty", "log", "exec"});
  CheckWhereTo(c, spec);
  c.OneOf("spec.min_severity", spec.min_severity, Severities());
  std::set<std::string> seen;
  for (size_t i = 0; i < spec.events.size(); ++i) {
    const std::string path = fmt::format("spec.events[{}]", i);
    c.OneOf(path, spec.events[i], NotifyTypes());
    if (!seen.insert(spec.events[i]).second)
      c.Fail(path, fmt::format("\"{}\" is repeated", spec.events[i]));
  }
  if (!spec.secret_file.empty() && !spec.secret_file.starts_with('/')) {
    c.Fail("spec.secret_file",
           fmt::format("\"{}\" is not an absolute path on the control plane's machine",
                       spec.secret_file));
  }
  if (spec.format == "pagerduty" && spec.secret_file.empty())
    c.Fail("spec.secret_file", "is missing: the file that holds PagerDuty's routing key");
  if (spec.team.size() > kMaxTeam)
    c.Fail("spec.team",
           fmt::format("{} bytes; at most {} are allowed", spec.team.size(), kMaxTeam));
  const auto check_pause = [&](const char* path, int64_t ms) {
    if (ms != 0 && (ms < kShortestPauseMs || ms > kLongestPauseMs))
      c.Fail(path, "is not in 1s..30d");
  };
  check_pause("spec.escalate_after", spec.escalate_after.ms);
  check_pause("spec.repeat_every", spec.repeat_every.ms);
  if (spec.timeout.ms < kShortestTimeoutMs || spec.timeout.ms > kLongestTimeoutMs)
    c.Fail("spec.timeout", "is not in 100ms..60s");
}

}  // namespace weir::domain
