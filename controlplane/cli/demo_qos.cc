// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/demo_qos.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

#include "controlplane/cli/load.h"
#include "shared/base/clock.h"

namespace weir::control::cli {
namespace {

using codec::Json;

constexpr char kPolicy[] = "quick-answers";
// Four at once, 40 ms each, are 100 requests a second; 12 callers a node then wait for 120 ms. With
// 12 at once nobody waits.
constexpr int kSendersPerNode = 12;
constexpr int kQosRequestsPerSecond = 600;
constexpr int kSlots = 4;
constexpr int kStep = 8;
constexpr int kDelayMs = 40;
constexpr int kAllowedMs = 80;
constexpr int64_t kDeadlineMs = 40'000;
constexpr std::chrono::milliseconds kQosLookEvery{50};

int64_t ClockMs() { return Clock::System().WallMs(); }

// The policy as it stands.
struct Look {
  std::string state;          // of its objective
  std::optional<double> p95;  // ms
  Json acted;                 // the first act, null before
  std::string text;
};

Look LookOf(const Json& policy) {
  Look look;
  const Json status = policy.value("status", Json::object());
  const Json slos = status.value("slos", Json::array());
  if (!slos.empty()) {
    look.state = slos[0].value("state", "");
    look.text = slos[0].value("text", "");
    const Json value = slos[0].value("value", Json());
    if (value.is_number()) look.p95 = value.get<double>();
  }
  for (const Json& act : status.value("last", Json::array())) {
    if (act.value("action", "") == "scale_up" && act.value("result", "") == "done")
      look.acted = act;
  }
  return look;
}

class Scene {
 public:
  explicit Scene(const QosScene& scene) : scene_(scene), api_(*scene.api) {}

  Result<Json> Play() {
    WEIR_RETURN_IF_ERROR(SetUp());
    LoadOptions options;
    options.model = scene_.model;
    options.bodies = scene_.bodies;
    options.requests_per_second = kQosRequestsPerSecond;
    for (int i = 0; i < kSendersPerNode; ++i)
      options.nodes.insert(options.nodes.end(), scene_.nodes.begin(), scene_.nodes.end());
    Load load(std::move(options));
    WEIR_RETURN_IF_ERROR(
        Wait("calm", "the objective holds", [](const Look& look) { return look.state == "ok"; }));
    load.Mark();
    WEIR_RETURN_IF_ERROR(SetFault({{"delay", fmt::format("{}ms", kDelayMs)}, {"expires", "10m"}}));
    slow_at_ms_ = ClockMs();
    const Status mended = Follow();
    load.Stop();
    const Status restored = SetFault(nullptr);
    WEIR_RETURN_IF_ERROR(mended);
    WEIR_RETURN_IF_ERROR(restored);
    const LoadCounts counts = load.Counts();
    result_["requests"] = counts.requests;
    result_["failed_requests"] = counts.failed;
    return result_;
  }

 private:
  Status Put(const char* kind, const char* plural, const std::string& name, const Json& spec) {
    const Json resource = {
        {"apiVersion", "weir/v1"}, {"kind", kind}, {"metadata", {{"name", name}}}, {"spec", spec}};
    return api_
        .Send("PUT", fmt::format("/v1/{}/{}?reason=demo", plural, http::PercentEncode(name)),
              resource)
        .status();
  }
  Status SetUp() {
    WEIR_RETURN_IF_ERROR(
        Put("Limit", "limits", scene_.model, {{"max_concurrent", kSlots}, {"max_queue", 64}}));
    return Put("Policy", "policies", kPolicy,
               {{"description", "answers within 80 ms"},
                {"slos",
                 {{{"name", "p95"},
                   {"metric", "p95_latency_ms"},
                   {"threshold", kAllowedMs},
                   {"window", "3s"},
                   {"min_samples", 50},
                   {"model", scene_.model}}}},
                {"remediations", {{{"action", "scale_up"}, {"step", kStep}}}},
                {"cooldown", "30s"}});
  }
  Status SetFault(const Json& fault) {
    return api_
        .Send("PATCH", "/v1/models/" + http::PercentEncode(scene_.model) + "?reason=demo",
              {{"spec", {{"versions", {{scene_.version, {{"fault", fault}}}}}}}})
        .status();
  }

  template <class Done>
  Status Wait(const std::string& key, const std::string& what, const Done& done) {
    const int64_t end_ms = ClockMs() + kDeadlineMs;
    Look look;
    while (ClockMs() < end_ms) {
      if (scene_.is_interrupted()) return FailedPrecondition("interrupted");
      WEIR_ASSIGN_OR_RETURN(const Json policy, api_.Get(std::string("/v1/policies/") + kPolicy));
      look = LookOf(policy);
      if (done(look)) return OkStatus();
      scene_.show(
          key,
          fmt::format("{}: waiting until {}; p95 {} where {} ms are allowed", kPolicy, what,
                      look.p95 ? fmt::format("{:.0f} ms", *look.p95) : "not known", kAllowedMs));
      std::this_thread::sleep_for(kQosLookEvery);
    }
    return Unavailable(fmt::format("{}: not within {}: {} ({}: {})", kPolicy,
                                   FormatDurationMs(kDeadlineMs), what, look.state, look.text));
  }
  int64_t SinceSlow() const { return ClockMs() - slow_at_ms_; }

  // From the first slow answer until the objective holds again.
  Status Follow() {
    result_ = {{"policy", kPolicy},
               {"version", scene_.version},
               {"objective", fmt::format("p95_latency_ms <= {}", kAllowedMs)},
               {"slots", {{"before", kSlots}, {"after", kSlots + kStep}}}};
    WEIR_RETURN_IF_ERROR(Wait("slow", "the slow version is noticed", [this](const Look& look) {
      if (look.state != "violated") return false;
      result_["violated_ms"] = SinceSlow();
      return true;
    }));
    double worst = 0;
    WEIR_RETURN_IF_ERROR(Wait("act", "the policy acts", [&](const Look& look) {
      worst = std::max(worst, look.p95.value_or(0));
      if (look.acted.is_null()) return false;
      result_["acted_ms"] = SinceSlow();
      result_["action"] = look.acted["action"];
      result_["revision"] = look.acted.value("revision", Json());
      return true;
    }));
    return Wait("mend", "it helps", [&](const Look& look) {
      worst = std::max(worst, look.p95.value_or(0));
      if (look.state != "ok" || !look.p95) return false;
      result_["mended_ms"] = SinceSlow();
      result_["slow_p95_ms"] = worst;
      result_["mended_p95_ms"] = *look.p95;
      return true;
    });
  }

  const QosScene& scene_;
  ApiClient& api_;
  int64_t slow_at_ms_ = 0;  // wall
  Json result_;
};

}  // namespace

Result<Json> PlayQosScene(const QosScene& scene) { return Scene(scene).Play(); }

std::string QosSummary(const Json& qos) {
  return fmt::format(
      "{} got slower, p95 {:.0f} ms; {} did {}, p95 {:.0f} ms: {} requests, {} failed",
      qos.value("version", ""), qos.value("slow_p95_ms", 0.0), qos.value("policy", ""),
      qos.value("action", ""), qos.value("mended_p95_ms", 0.0), qos["requests"].dump(),
      qos["failed_requests"].dump());
}

std::vector<std::string> QosLines(const Json& qos) {
  return {fmt::format("\nThe objective {}, in milliseconds after the version got slower:",
                      qos.value("objective", "")),
          fmt::format("  violated           {:>6}  p95 {:.0f} ms", qos["violated_ms"].dump(),
                      qos.value("slow_p95_ms", 0.0)),
          fmt::format("  acted              {:>6}  {}: {} at once on each node instead of {}",
                      qos["acted_ms"].dump(), qos.value("action", ""), qos["slots"]["after"].dump(),
                      qos["slots"]["before"].dump()),
          fmt::format("  mended             {:>6}  p95 {:.0f} ms; {} of {} requests failed",
                      qos["mended_ms"].dump(), qos.value("mended_p95_ms", 0.0),
                      qos["failed_requests"].dump(), qos["requests"].dump())};
}

}  // namespace weir::control::cli
