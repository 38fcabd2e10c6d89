// SPDX-License-Identifier: Apache-2.0
#include "bench/ofrep.h"

#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "bench/duel.h"
#include "bench/process.h"
#include "bench/stage.h"
#include "shared/http/client.h"

namespace weir::bench {
namespace {

using codec::Json;

constexpr char kAll[] = "/ofrep/v1/evaluate/flags";
constexpr size_t kFlags = 350;
constexpr int64_t kReadyMs = 10'000;

std::string NameOf(size_t i) { return fmt::format("team-{}-feature-{}", i % 10, i); }

constexpr char kTargeting[] =
    R"({"if": [{"ends_with": [{"var": "email"}, "@example.com"]}, "on",
               {"fractional": [["on", 10], ["off", 90]]}]})";

// Rollouts, and every second one with variants and a rule.
Json Flag(size_t i) {
  Json spec = {{"enabled", true}, {"rollout_percentage", 20}, {"hash_seed", NameOf(i)}};
  if (i % 2 == 0) {
    spec = {{"enabled", true},
            {"variants", {{"on", true}, {"off", false}}},
            {"default_variant", "off"},
            {"off_variant", "off"},
            {"targeting", Json::parse(kTargeting)}};
  }
  return {{"apiVersion", "weir/v1"},
          {"kind", "Flag"},
          {"metadata", {{"name", NameOf(i)}}},
          {"spec", std::move(spec)}};
}

std::vector<std::string> Bodies() {
  std::vector<std::string> bodies;
  for (int i = 0; i < 64; ++i) {
    const std::string key = fmt::format("user-{}", 100'000 + i);
    const Json context = {{"targetingKey", key},
                          {"email", key + "@elsewhere.example"},
                          {"country", "NZ"},
                          {"age", 20 + i}};
    bodies.push_back(Json{{"context", context}}.dump());
  }
  return bodies;
}

// Applies the flags, and waits until the node answers with all of them.
Status PutFlags(Stage& stage, const std::string& body) {
  Json resources = Json::array();
  for (size_t i = 0; i < kFlags; ++i) resources.push_back(Flag(i));
  WEIR_RETURN_IF_ERROR(
      stage.api().Send("POST", "/v1/apply", {{"resources", std::move(resources)}}).status());
  http::Client client("http://" + stage.NodeAddresses()[0]);
  for (int64_t waited_ms = 0; waited_ms < kReadyMs && !Interrupted(); waited_ms += 20) {
    const auto answer = client.Do("POST", kAll, {{"Content-Type", "application/json"}}, body);
    if (answer.ok() && answer->status == 200) {
      const Json json = Json::parse(answer->body, nullptr, false);
      if (json.is_object() && json.contains("flags") && json["flags"].size() == kFlags)
        return OkStatus();
    }
    PauseMs(20);
  }
  return Unavailable(fmt::format("the node does not answer with {} flags", kFlags));
}

void AddRate(const std::string& name, double value, const char* unit, double nginx, double goal,
             Report& report) {
  report.Add({.name = name,
              .value = value,
              .unit = unit,
              .yardstick = "nginx, the same answer statically",
              .yardstick_value = nginx,
              .goal = goal,
              .more_is_better = true});
}

}  // namespace

Status MeasureOfrep(int rounds, Report& report) {
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<Stage> stage, Stage::Open(1));
  const std::vector<std::string> bodies = Bodies();
  WEIR_RETURN_IF_ERROR(PutFlags(*stage, bodies[0]));
  const auto cpu = [&](const char* name, const DuelResult& duel) {
    report.Add({.name = name,
                .value = duel.node.user_us() + duel.node.system_us(),
                .unit = "µs",
                .yardstick = "nginx",
                .yardstick_value = duel.nginx.user_us() + duel.nginx.system_us()});
  };

  DuelPlan plan{.target = fmt::format("{}/{}", kAll, NameOf(0)),
                .bodies = bodies,
                .headers = {},
                .rounds = rounds};
  WEIR_ASSIGN_OR_RETURN(const DuelResult one, RunDuel(plan, *stage));
  AddRate("OFREP, one flag, closed loop, one worker", Median(one.node.per_second), "requests/s",
          Median(one.nginx.per_second), one.saturated() ? 0.6 : 0, report);
  cpu("  CPU time of a request", one);
  one.NoteLoad("OFREP, one flag", report);

  plan.target = kAll;
  WEIR_ASSIGN_OR_RETURN(const DuelResult all, RunDuel(plan, *stage));
  const double per_second = Median(all.node.per_second);
  AddRate(fmt::format("OFREP, all {} flags, closed loop, one worker", kFlags), per_second,
          "requests/s", Median(all.nginx.per_second), 0, report);
  report.Add({.name = "  evaluations",
              .value = per_second * kFlags,
              .unit = "/s",
              .yardstick = "OFREP, one flag, evaluations/s",
              .yardstick_value = Median(one.node.per_second)});
  cpu("  CPU time of a request for all", all);
  all.NoteLoad("OFREP, all flags", report);
  return OkStatus();
}

}  // namespace weir::bench
