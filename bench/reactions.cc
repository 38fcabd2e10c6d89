// SPDX-License-Identifier: Apache-2.0
#include "bench/reactions.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "bench/process.h"
#include "bench/stage.h"
#include "shared/base/clock.h"
#include "shared/http/client.h"

namespace weir::bench {
namespace {

using codec::Json;

constexpr int kNodes = 3;
constexpr int64_t kStepMs = 20'000;

double NowMs() { return static_cast<double>(Clock::System().MonotonicNs()) / 1e6; }

// Median of appending 4 KB and making it durable, ms.
double SyncMs(const std::string& dir) {
  const std::string path = dir + "/sync";
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  const std::string page(4096, 'x');
  std::vector<double> times;
  for (int i = 0; i < 50 && fd >= 0; ++i) {
    const double start = NowMs();
    if (::write(fd, page.data(), page.size()) < 0 || ::fdatasync(fd) != 0) break;
    times.push_back(NowMs() - start);
  }
  ::close(fd);
  return Median(std::move(times));
}

bool AllHave(const Json& nodes, uint64_t version) {
  size_t having = 0;
  for (const Json& node : nodes.value("items", Json::array())) {
    having += node["snapshot"].value("version", uint64_t{0}) >= version ? 1 : 0;
  }
  return having == kNodes;
}

Status PutFlag(Stage& stage) {
  const Json flag = {
      {"apiVersion", "weir/v1"},
      {"kind", "Flag"},
      {"metadata", {{"name", "bench"}}},
      {"spec", {{"enabled", true}, {"rollout_percentage", 5}, {"hash_seed", "bench"}}}};
  return stage.api().Send("PUT", "/v1/flags/bench", flag).status();
}

Result<double> OneChange(Stage& stage, int i) {
  const Json patch = {{"spec", {{"rollout_percentage", 10 + i % 80}}}};
  const double start = NowMs();
  WEIR_ASSIGN_OR_RETURN(const Json resource, stage.api().Send("PATCH", "/v1/flags/bench", patch));
  const auto revision = resource["metadata"].value("revision", uint64_t{0});
  while (NowMs() - start < kStepMs && !Interrupted()) {
    WEIR_ASSIGN_OR_RETURN(const Json nodes, stage.api().Get("/v1/nodes"));
    if (AllHave(nodes, revision)) return NowMs() - start;
  }
  return Unavailable(fmt::format("not every node applied revision {}", revision));
}

// Whether the node answers for the flag `bench` as the kill switch says.
Result<bool> IsSwitched(http::Client& node, bool on) {
  WEIR_ASSIGN_OR_RETURN(const http::ClientResponse answer,
                        node.Do("POST", "/weir/v1/explain", {{"Content-Type", "application/json"}},
                                R"({"key": "user-1", "flag": "bench"})"));
  if (answer.status != 200) return Unavailable("the node answers " + answer.body);
  return (answer.body.find("\"KILL_SWITCH\"") != std::string::npos) == on;
}

Result<double> OneSwitch(Stage& stage, std::vector<http::Client>& nodes, bool on) {
  const double start = NowMs();
  WEIR_RETURN_IF_ERROR(
      stage.api()
          .Send("PATCH", "/v1/emergency/default?reason=bench", {{"spec", {{"kill_switch", on}}}})
          .status());
  for (http::Client& node : nodes) {
    for (bool switched = false; !switched;) {
      if (NowMs() - start > kStepMs || Interrupted())
        return Unavailable("not every node switched its flags");
      WEIR_ASSIGN_OR_RETURN(switched, IsSwitched(node, on));
    }
  }
  return NowMs() - start;
}

}  // namespace

Status MeasureChanges(int changes, Report& report) {
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<Stage> stage, Stage::Open(kNodes));
  WEIR_RETURN_IF_ERROR(PutFlag(*stage));
  std::vector<double> times;
  for (int i = 0; i < changes; ++i) {
    PauseMs(5 + i * 7 % 13);  // at any moment of beacons and ticks
    WEIR_ASSIGN_OR_RETURN(const double ms, OneChange(*stage, i));
    times.push_back(ms);
  }
  const double sync_ms = SyncMs(stage->dir());
  for (const double q : {0.5, 0.99}) {
    report.Add({.name = fmt::format("change → APPLIED on all 3 nodes, p{:.0f}", q * 100),
                .value = Quantile(times, q),
                .unit = "ms",
                .yardstick = "4 KB written and fdatasync, p50",
                .yardstick_value = sync_ms});
  }
  report.Note(fmt::format(
      "Change: {} flag changes, from sending the PATCH (which answers after the SQLite commit) "
      "until GET /v1/nodes, asked without a pause, shows the version for all 3 nodes.",
      changes));
  return OkStatus();
}

Status MeasureEmergency(int switches, Report& report) {
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<Stage> stage, Stage::Open(kNodes));
  WEIR_RETURN_IF_ERROR(PutFlag(*stage));
  std::vector<http::Client> nodes;
  for (const std::string& address : stage->NodeAddresses()) nodes.emplace_back("http://" + address);
  std::vector<double> times;
  for (int i = 0; i < switches; ++i) {
    PauseMs(5 + i * 7 % 13);
    WEIR_ASSIGN_OR_RETURN(const double ms, OneSwitch(*stage, nodes, i % 2 == 0));
    times.push_back(ms);
  }
  const double sync_ms = SyncMs(stage->dir());
  for (const double q : {0.5, 0.99}) {
    report.Add(
        {.name = fmt::format("kill switch → in force on the last of 3 nodes, p{:.0f}", q * 100),
         .value = Quantile(times, q),
         .unit = "ms",
         .yardstick = "4 KB written and fdatasync, p50",
         .yardstick_value = sync_ms});
  }
  report.Note(fmt::format(
      "Kill switch: {} times on or off, from sending it to the API until each node has answered an "
      "explain of a flag accordingly.",
      switches));
  return OkStatus();
}

}  // namespace weir::bench
