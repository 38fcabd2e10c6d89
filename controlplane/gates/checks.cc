// SPDX-License-Identifier: Apache-2.0
#include "controlplane/gates/checks.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <utility>

#include "controlplane/gates/command.h"
#include "shared/base/clock.h"
#include "shared/codec/json.h"
#include "shared/domain/validate.h"
#include "shared/http/client.h"
#include "shared/http/target.h"

namespace weir::control::gates {
namespace {

using codec::Json;
using State = Outcome::State;

constexpr size_t kMaxAnswer = size_t{1024} * 1024;  // bytes
constexpr size_t kMaxLabels = 200;                  // bytes of them that are shown

Outcome Waiting(std::string reason) { return {State::kWaiting, std::move(reason)}; }

// "attempt 3: what (tried every 1m): output".
Outcome Attempted(const Attempt& attempt, bool passed, const std::string& what,
                  const std::string& output) {
  const std::string lines = LastLines(output);
  return {passed ? State::kPassed : State::kWaiting,
          fmt::format("attempt {}: {}{}{}{}", attempt.number, what,
                      passed ? "" : fmt::format(" (tried every {})", attempt.every),
                      lines.empty() ? "" : ": ", lines)};
}

http::ClientOptions OptionsOf(const Attempt& attempt) {
  http::ClientOptions options;
  options.timeout_ms = attempt.timeout_ms;
  options.max_body = kMaxAnswer;
  return options;
}

struct Sample {
  std::string labels;  // "{instance=…}"; "" of a scalar
  double value = 0;
};

std::string LabelsOf(const Json& metric) {
  std::string text;
  for (const auto& [name, value] : metric.items()) {
    if (name == "__name__") continue;
    text += fmt::format("{}{}=\"{}\"", text.empty() ? "" : ",", name,
                        value.is_string() ? value.get<std::string>() : "");
  }
  const std::string name = metric.value("__name__", "");
  text = text.empty() ? name : fmt::format("{}{{{}}}", name, text);
  return LastLines(text.substr(0, kMaxLabels));
}

// `pair` is [seconds, "0.5"]. NaN is left out.
Status AddSample(const std::string& labels, const Json& pair, std::vector<Sample>& samples) {
  if (!pair.is_array() || pair.size() != 2 || !pair[1].is_string())
    return Unavailable("a sample is not [time, value]");
  const auto& text = pair[1].get_ref<const std::string&>();
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || *end != '\0')
    return Unavailable(fmt::format("\"{}\" is not a number", LastLines(text)));
  if (!std::isnan(value)) samples.push_back({labels, value});
  return OkStatus();
}

Result<std::vector<Sample>> SamplesOf(const Json& data) {
  if (!data.is_object()) return Unavailable("the answer has no data");
  const std::string type = data.value("resultType", "");
  const Json result = data.value("result", Json::array());
  std::vector<Sample> samples;
  if (type == "scalar") {
    WEIR_RETURN_IF_ERROR(AddSample("", result, samples));
  } else if (type == "vector" && result.is_array()) {
    for (const Json& item : result) {
      if (!item.is_object()) return Unavailable("a sample is not an object");
      const Json metric = item.value("metric", Json::object());
      WEIR_RETURN_IF_ERROR(AddSample(metric.is_object() ? LabelsOf(metric) : "",
                                     item.value("value", Json()), samples));
    }
  } else {
    return Unavailable(
        fmt::format("the query gives a {}; it must give a vector or a scalar", LastLines(type)));
  }
  return samples;
}

Outcome NoData(const domain::Gate& gate) {
  const std::string text =
      fmt::format("no data: the query {} gives no sample", LastLines(gate.query));
  if (gate.on_no_data == "pass") return {State::kPassed, text + " (on_no_data: pass)"};
  if (gate.on_no_data == "fail") return {State::kFailed, text + " (on_no_data: fail)"};
  return Waiting(text);
}

}  // namespace

Outcome TryCommand(const Attempt& attempt, const std::atomic<bool>& cancelled) {
  const Result<std::string> file =
      AllowedCommand(attempt.gate.command.empty() ? "" : attempt.gate.command[0], attempt.allowed);
  if (!file.ok()) return Waiting(file.status().ToString());
  CommandRun run{*file, attempt.gate.command, attempt.environment, attempt.timeout_ms};
  for (const char* fixed : {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/", "LANG=C.UTF-8"})
    run.environment.emplace_back(fixed);
  const Result<CommandEnd> end = RunCommand(run, cancelled);
  if (!end.ok()) return Attempted(attempt, false, end.status().ToString(), "");
  switch (end->how) {
    case CommandEnd::How::kTimedOut:
      return Attempted(attempt, false,
                       fmt::format("killed after {}", FormatDurationMs(attempt.timeout_ms)),
                       end->output);
    case CommandEnd::How::kCancelled:
      return Attempted(attempt, false, "killed: nobody needs it any more", end->output);
    case CommandEnd::How::kSignalled:
      return Attempted(attempt, false, fmt::format("ended by signal {}", end->code), end->output);
    case CommandEnd::How::kExited:
      break;
  }
  return Attempted(attempt, end->code == 0, fmt::format("exit code {}", end->code), end->output);
}

Outcome TryUrl(const Attempt& attempt) {
  const Result<http::Target> url = http::ParseTarget(attempt.gate.url);
  if (!url.ok()) return Waiting("url: " + url.status().ToString());
  http::Client client(url->base, OptionsOf(attempt));
  const Result<http::ClientResponse> answer = client.Do("GET", url->path);
  if (!answer.ok()) return Attempted(attempt, false, answer.status().ToString(), "");
  const bool passed = answer->status >= 200 && answer->status < 300;
  return Attempted(attempt, passed, fmt::format("status {}", answer->status),
                   passed ? "" : answer->body);
}

Outcome AskPrometheus(const Attempt& attempt) {
  http::Client client(attempt.gate.url, OptionsOf(attempt));
  const Result<http::ClientResponse> answer =
      client.Do("GET", "/api/v1/query?query=" + http::PercentEncode(attempt.gate.query));
  if (!answer.ok()) return Waiting("Prometheus: " + answer.status().ToString());
  return JudgePrometheusAnswer(attempt.gate, answer->status, answer->body);
}

Outcome JudgePrometheusAnswer(const domain::Gate& gate, int http_status, std::string_view body) {
  const Result<domain::Condition> condition = domain::ParseCondition(gate.condition);
  if (!condition.ok()) return Waiting("condition: " + condition.status().ToString());
  const Result<Json> json = codec::ParseJson(body);
  if (!json.ok() || !json->is_object()) {
    return Waiting(fmt::format("Prometheus: status {}, and the answer is not JSON: {}", http_status,
                               LastLines(std::string(body))));
  }
  if (json->value("status", Json()) != Json("success")) {
    const Json error = json->value("error", Json(""));
    return Waiting(fmt::format("Prometheus: status {}: {}", http_status,
                               error.is_string() ? LastLines(error.get<std::string>()) : ""));
  }
  const Result<std::vector<Sample>> samples = SamplesOf(json->value("data", Json()));
  if (!samples.ok()) return Waiting("Prometheus: " + samples.status().ToString());
  if (samples->empty()) return NoData(gate);
  for (const Sample& sample : *samples) {
    if (condition->Holds(sample.value)) continue;
    return Waiting(fmt::format("{} is {}, required {}",
                               sample.labels.empty() ? "the value" : sample.labels, sample.value,
                               gate.condition));
  }
  if (samples->size() == 1)
    return {State::kPassed, fmt::format("{} is {}", (*samples)[0].value, gate.condition)};
  return {State::kPassed, fmt::format("all {} samples are {}", samples->size(), gate.condition)};
}

}  // namespace weir::control::gates
