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
                                                  "emergency",
                                                  "resource_file"};
  return kTypes;
}

const std::vector<std::string>& Severities() {
  static const std::vector<std::string> kSeverities = {"info", "warning", "critical"};
  return kSeverities;
}

int SeverityRank(std::string_view severity) {
  const auto& all = Severities();
  const auto found = std::find(all.begin(), all.end(), severity);
  return found == all.end() ? -1 : static_cast<int>(found - all.begin());
}

void Check(Checker& c, const SinkSpec& spec) {
  CheckAddress(c, spec.url);
  c.OneOf("spec.format", spec.format, {"json", "slack"});
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
  if (spec.timeout.ms < kShortestTimeoutMs || spec.timeout.ms > kLongestTimeoutMs)
    c.Fail("spec.timeout", "is not in 100ms..60s");
}

}  // namespace weir::domain
