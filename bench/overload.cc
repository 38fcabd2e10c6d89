// SPDX-License-Identifier: Apache-2.0
#include "bench/overload.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "bench/flood.h"
#include "bench/process.h"
#include "bench/slow_service.h"
#include "bench/stage.h"
#include "shared/codec/json.h"

namespace weir::bench {
namespace {

constexpr size_t kAtOnce = 8;
constexpr int64_t kEachMs = 50;
constexpr double kCapacity = kAtOnce * 1000.0 / kEachMs;  // a second
constexpr double kObjectiveMs = 250;
constexpr int kCallers = 1000;
constexpr char kAnswer[] =
    R"({"model_name":"fraud_detection","model_version":"1","outputs":[{"name":"probability",)"
    R"("datatype":"FP32","shape":[1],"data":[0.0625]}]})";

enum class Way { kNone, kStatic, kGovernor };
constexpr Way kWays[] = {Way::kNone, Way::kStatic, Way::kGovernor};

// Of one load in one way.
struct Outcome {
  double goodput = 0;  // of the capacity
  double shed = 0;     // of what was sent
  double admitted_p99_ms = 0;
  double rejected_p99_ms = 0;
};

Outcome OutcomeOf(const std::vector<FloodAnswer>& answers, double from_s, double to_s,
                  double capacity) {
  std::vector<double> admitted;
  std::vector<double> rejected;
  double sent = 0;
  double good = 0;
  for (const FloodAnswer& answer : answers) {
    if (answer.due_s < from_s || answer.due_s >= to_s) continue;
    ++sent;
    if (answer.status == 429) rejected.push_back(answer.latency_ms);
    if (answer.status != 200) continue;
    admitted.push_back(answer.latency_ms);
    good += answer.latency_ms <= kObjectiveMs ? 1 : 0;
  }
  return {.goodput = good / (capacity * (to_s - from_s)),
          .shed = static_cast<double>(rejected.size()) / std::max(1.0, sent),
          .admitted_p99_ms = Quantile(admitted, 0.99),
          .rejected_p99_ms = Quantile(rejected, 0.99)};
}

class Overload {
 public:
  Overload(Stage& stage, SlowService& service, const OverloadEffort& effort)
      : stage_(stage), service_(service), effort_(effort) {}

  Status Prepare() {
    WEIR_ASSIGN_OR_RETURN(const std::vector<std::string> bodies, RequestBodies());
    for (int i = 0; i < kCallers; ++i) {
      const std::string& body = bodies[static_cast<size_t>(i) % bodies.size()];
      requests_.push_back(fmt::format(
          "POST /v2/models/{}/infer HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
          "x-user-id: caller-{}\r\nContent-Length: {}\r\n\r\n{}",
          kModel, i, body.size(), body));
    }
    return OkStatus();
  }

  Status Choose(Way way) {
    const auto put = [&](const char* kind, const char* path, const std::string& name,
                         codec::Json spec) {
      return stage_.api()
          .Send("PUT", fmt::format("/v1/{}/{}", path, name),
                {{"apiVersion", "weir/v1"},
                 {"kind", kind},
                 {"metadata", {{"name", name}}},
                 {"spec", std::move(spec)}})
          .status();
    };
    WEIR_RETURN_IF_ERROR(
        put("Limit", "limits", kModel, {{"max_concurrent", way == Way::kNone ? 0 : kAtOnce}}));
    return put("Flag", "flags", "adaptive_governor",
               {{"enabled", way == Way::kGovernor}, {"percentage", 100}});
  }

  Result<Outcome> Steady(Way way, double load) {
    WEIR_RETURN_IF_ERROR(Begin(way));
    const double seconds = effort_.warm_up_seconds + effort_.seconds;
    const Flood flood{.address = stage_.NodeAddresses()[0],
                      .requests = requests_,
                      .per_second = load * kCapacity,
                      .seconds = seconds};
    WEIR_ASSIGN_OR_RETURN(const auto answers, RunFlood(flood));
    return OutcomeOf(answers, effort_.warm_up_seconds, seconds, kCapacity);
  }

  // 0.8 × until half of the capacity is gone; measured from two seconds later.
  Result<Outcome> Halved(Way way) {
    WEIR_RETURN_IF_ERROR(Begin(way));
    const double at = effort_.warm_up_seconds;
    const double seconds = at + 2 + effort_.seconds;
    const Flood flood{.address = stage_.NodeAddresses()[0],
                      .requests = requests_,
                      .per_second = 0.8 * kCapacity,
                      .seconds = seconds,
                      .at_seconds = at,
                      .then = [this] { service_.SetEachMs(2 * kEachMs); }};
    WEIR_ASSIGN_OR_RETURN(const auto answers, RunFlood(flood));
    return OutcomeOf(answers, at + 2, seconds, kCapacity / 2);
  }

 private:
  // What the load before left behind is gone.
  Status Begin(Way way) {
    service_.AnswerAll();
    service_.SetEachMs(kEachMs);
    WEIR_RETURN_IF_ERROR(Choose(way));
    PauseMs(1500);
    return OkStatus();
  }

  Stage& stage_;
  SlowService& service_;
  const OverloadEffort& effort_;
  std::vector<std::string> requests_;
};

void AddFigures(const std::string& load, const Outcome (&of)[3], Report& report) {
  const Outcome& none = of[0];
  const Outcome& fixed = of[1];
  const Outcome& governor = of[2];
  report.Add({.name = fmt::format("overload, {}: goodput / capacity, governor", load),
              .value = governor.goodput,
              .unit = "",
              .yardstick = "a static limit",
              .yardstick_value = fixed.goodput});
  report.Add({.name = "  without a limit",
              .value = none.goodput,
              .unit = "",
              .yardstick = "a static limit",
              .yardstick_value = fixed.goodput});
  report.Add({.name = "  admitted, p99, governor",
              .value = governor.admitted_p99_ms,
              .unit = "ms",
              .yardstick = "a static limit",
              .yardstick_value = fixed.admitted_p99_ms});
  report.Add({.name = "  turned away, p99, governor",
              .value = governor.rejected_p99_ms,
              .unit = "ms",
              .yardstick = "the goal",
              .yardstick_value = 5,
              .goal = 1});
  report.Add({.name = "  turned away, governor",
              .value = governor.shed * 100,
              .unit = "%",
              .yardstick = "a static limit",
              .yardstick_value = fixed.shed * 100});
}

}  // namespace

Status MeasureOverload(const OverloadEffort& effort, Report& report) {
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<Stage> stage, Stage::Open(1));
  SlowService service(kAtOnce, kEachMs, kAnswer);
  WEIR_RETURN_IF_ERROR(service.Start());
  WEIR_RETURN_IF_ERROR(stage->PushService(service.url()));
  Overload overload(*stage, service, effort);
  WEIR_RETURN_IF_ERROR(overload.Prepare());
  for (const double load : {0.8, 1.0, 2.0, 5.0, 10.0}) {
    Outcome outcomes[3];
    for (const Way way : kWays) {
      WEIR_ASSIGN_OR_RETURN(outcomes[static_cast<size_t>(way)], overload.Steady(way, load));
    }
    AddFigures(fmt::format("{:.3g} x", load), outcomes, report);
  }
  Outcome outcomes[3];
  for (const Way way : kWays) {
    WEIR_ASSIGN_OR_RETURN(outcomes[static_cast<size_t>(way)], overload.Halved(way));
  }
  AddFigures("half the capacity gone 2 s ago", outcomes, report);
  report.Note(fmt::format(
      "Overload: a service that takes {} requests at once, {} ms each ({:.0f}/s); the limit is {} "
      "slots; {} callers; good is an answer within {:.0f} ms.",
      kAtOnce, kEachMs, kCapacity, kAtOnce, kCallers, kObjectiveMs));
  return OkStatus();
}

}  // namespace weir::bench
