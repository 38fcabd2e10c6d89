// SPDX-License-Identifier: Apache-2.0
// weir node drain, node uncordon.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <thread>

#include "controlplane/cli/operator_commands.h"
#include "controlplane/cli/session.h"
#include "shared/base/clock.h"

namespace weir::control::cli {
namespace {

using codec::Json;

constexpr int64_t kLookEveryMs = 100;
constexpr int64_t kDrainTimeoutMs = 120'000;  // unless --timeout says otherwise

// What a drained node still has; "" when nothing.
std::string WaitsFor(const Json& node, int64_t quiet_wanted_ms) {
  if (node.value("state", "") == "gone") return "";  // takes nothing either
  if (!node.value("cordoned", false)) return "it to say that it is unready";
  if (const uint64_t open = node.value("open_requests", uint64_t{0}); open > 0)
    return fmt::format("{} open requests", open);
  const int64_t quiet_ms = node.value("quiet_ms", int64_t{0});
  if (quiet_ms < quiet_wanted_ms) {
    return fmt::format("{} without a request; the last was {} ago",
                       FormatDurationMs(quiet_wanted_ms), FormatDurationMs(quiet_ms));
  }
  return "";
}

void WaitUntilQuiet(Session& session, const std::string& id, int64_t quiet_ms) {
  const int64_t timeout_ms = session.is_timeout_given ? session.timeout_ms() : kDrainTimeoutMs;
  const int64_t deadline_ms = Clock::System().MonotonicMs() + timeout_ms;
  std::string told;
  for (;;) {
    const Result<Json> node = session.api().Get("/v1/nodes/" + http::PercentEncode(id));
    if (!node.ok()) return session.Fail(node.status());
    const std::string waits_for = WaitsFor(*node, quiet_ms);
    if (waits_for.empty()) {
      std::fprintf(stderr, "%s takes no traffic%s\n", id.c_str(),
                   node->value("state", "") == "gone" ? ": it is gone" : "");
      return;
    }
    if (Clock::System().MonotonicMs() > deadline_ms) {
      return session.FailAs(
          kExitTimeout, fmt::format("{} is cordoned, but not drained within {}: waiting for {}", id,
                                    FormatDurationMs(timeout_ms), waits_for));
    }
    if (const std::string word = waits_for.substr(0, waits_for.find(';')); word != told) {
      std::fprintf(stderr, "waiting for %s\n", word.c_str());
      told = word;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(kLookEveryMs));
  }
}

void SetCordon(Session& session, const std::string& id, const char* verb,
               const std::string& reason) {
  const Result<Json> answer = session.api().Send(
      "POST", fmt::format("/v1/nodes/{}/{}", http::PercentEncode(id), verb), {{"reason", reason}});
  if (!answer.ok()) return session.Fail(answer.status());
  const bool is_cordoned = answer->value("cordoned", false);
  if (!session.PrintData(*answer)) {
    std::printf("node/%s %s%s\n", id.c_str(), is_cordoned ? "cordoned" : "uncordoned",
                answer->value("told", false) ? "" : "; it is away, and is told when it comes back");
  }
}

}  // namespace

void AddNodeCommands(CLI::App& app, Session& session) {
  struct Options {
    std::string id, reason, quiet = "3s";
    bool wait = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* node = app.get_subcommand("node");
  CLI::App* drain = node->add_subcommand(
      "drain", "Make a node unready, so that balancers leave it; it goes on answering");
  drain->add_option("id", options->id, "The node")->required();
  drain->add_option("--reason", options->reason, "Why; shown in the audit and in node list");
  drain->add_flag("--wait", options->wait,
                  "Until it has had no request for --quiet, or --timeout (2m) has passed: exit 4");
  drain->add_option("--quiet", options->quiet, "How long it must have had no request")
      ->check([](const std::string& text) {
        const Result<int64_t> ms = ParseDurationMs(text);
        return ms.ok() ? "" : ms.status().message();
      })
      ->capture_default_str();
  drain->footer(
      "It stays so over restarts of the node and of the control plane, until\n"
      "weir node uncordon ID");
  drain->callback([&session, options] {
    SetCordon(session, options->id, "drain", options->reason);
    if (options->wait && session.exit_code() == kExitDone)
      WaitUntilQuiet(session, options->id, *ParseDurationMs(options->quiet));
  });
  CLI::App* uncordon = node->add_subcommand("uncordon", "Let a drained node take traffic again");
  uncordon->add_option("id", options->id, "The node")->required();
  uncordon->add_option("--reason", options->reason, "Why; shown in the audit");
  uncordon->callback(
      [&session, options] { SetCordon(session, options->id, "uncordon", options->reason); });
}

}  // namespace weir::control::cli
