// SPDX-License-Identifier: Apache-2.0
// weir sink test.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <thread>

#include "controlplane/cli/session.h"
#include "shared/base/clock.h"

namespace weir::control::cli {
namespace {

using codec::Json;

constexpr std::chrono::milliseconds kLookEvery{100};

// What the control plane noted of that attempt; null while it is under way.
Result<Json> ResultOf(Session& session, const std::string& path, const std::string& id) {
  const Result<Json> sink = session.api().Get(path);
  if (!sink.ok()) return sink.status();
  const Json status = sink->value("status", Json::object());
  const Json last = status.value("last_test", Json::object());
  return last.value("id", Json()) == Json(id) ? last : Json();
}

void Test(Session& session, const std::string& name) {
  const std::string path = "/v1/sinks/" + http::PercentEncode(name);
  const Result<Json> begun = session.api().Send("POST", path + "/test", Json::object());
  if (!begun.ok()) return session.Fail(begun.status());
  const std::string id = Text((*begun)["id"]);
  const int64_t end_ms = Clock::System().MonotonicMs() + session.timeout_ms();
  for (;;) {
    const Result<Json> last = ResultOf(session, path, id);
    if (!last.ok()) return session.Fail(last.status());
    if (!last->is_null()) {
      const bool arrived = Text((*last)["result"]) == "delivered";
      if (!session.PrintData(*last)) {
        std::printf("sink %s: %s, %s\n", name.c_str(), arrived ? "told" : "NOT told",
                    Text((*last)["detail"]).c_str());
      }
      if (!arrived) session.No();
      return;
    }
    if (Clock::System().MonotonicMs() >= end_ms) {
      return session.FailAs(kExitTimeout,
                            fmt::format("no answer of the sink {} within {}; `weir get sinks/{} -o "
                                        "json` shows what came of it",
                                        name, session.timeout, name));
    }
    std::this_thread::sleep_for(kLookEvery);
  }
}

}  // namespace

void AddSinkCommands(CLI::App& app, Session& session) {
  CLI::App* sink = app.add_subcommand("sink", "Sinks: who is told of what happens");
  sink->require_subcommand(1);
  auto name = std::make_shared<std::string>();
  CLI::App* test =
      sink->add_subcommand("test", "Tell a sink that this is a test; exit 1 if that fails");
  test->add_option("name", *name, "The sink")->required();
  test->callback([&session, name] { Test(session, *name); });
}

}  // namespace weir::control::cli
