// SPDX-License-Identifier: Apache-2.0
#include "shared/codec/openslo_file.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "shared/base/text.h"
#include "shared/codec/document_check.h"
#include "shared/codec/policy_file.h"
#include "shared/codec/rollout_text.h"
#include "shared/domain/policy.h"

namespace weir::codec {
namespace {

constexpr char kVersion[] = "openslo/v1";
constexpr char kPrefix[] = "weir.dev/";
constexpr int64_t kDayMs = 86'400'000;
constexpr double kSloParts = 1e9;  // of a percent; further digits are those of binary fractions
constexpr int64_t kLongestWindowMs = 35 * kDayMs;
constexpr char kBurnRates[] =
    "an error budget is watched at 14.4 times over 1h and 5m, 6 over 6h and 30m, 3 over 1d and 2h "
    "and 1 over 3d and 6h";

const Json& Nothing() {
  static const Json kNothing;
  return kNothing;
}
// A member of a mapping, null where there is none.
const Json& SloMember(const Json& mapping, const std::string& name) {
  if (!mapping.is_object()) return Nothing();
  const auto found = mapping.find(name);
  return found == mapping.end() ? Nothing() : *found;
}
std::string SloText(const Json& value) { return value.is_string() ? value.get<std::string>() : ""; }

// "1w", "28d", "1M": a month has 30 days, a quarter 90, a year 365. 0: no such length.
int64_t WindowMs(const std::string& text) {
  static const std::map<char, int64_t> kUnits = {
      {'m', 60'000},      {'h', 3'600'000},   {'d', kDayMs},      {'w', 7 * kDayMs},
      {'M', 30 * kDayMs}, {'Q', 90 * kDayMs}, {'Y', 365 * kDayMs}};
  constexpr size_t kMostDigits = 6;
  if (text.size() < 2 || text.size() > kMostDigits + 1) return 0;
  const auto unit = kUnits.find(text.back());
  int64_t number = 0;
  for (const char c : std::string_view(text).substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return 0;
    number = number * 10 + (c - '0');
  }
  return unit == kUnits.end() ? 0 : number * unit->second;
}

// What an SLO is measured by.
struct Indicator {
  Json spec;         // ratioMetric or thresholdMetric
  std::string path;  // of spec, without a dot at its end
};
using Indicators = std::map<std::string, Indicator>;

class SloDocument {
 public:
  SloDocument(const Json& value, const std::string& path, const OpenSloFile::LineOf& line_of,
              const std::string& file, const Indicators& indicators, FileContent& out)
      : value_(value),
        path_(path),
        line_of_(line_of),
        file_(file),
        indicators_(indicators),
        out_(out),
        spec_(SloMember(value, "spec")),
        annotations_(SloMember(SloMember(value, "metadata"), "annotations")) {}

  void Read() {
    Metadata();
    CheckKeys(spec_, path_ + "spec",
              {"description", "service", "indicator", "indicatorRef", "timeWindow",
               "budgetingMethod", "objectives", "alertPolicies"});
    const std::string description = SloText(SloMember(spec_, "description"));
    if (!description.empty()) document_.spec["description"] = description;
    Window();
    Budgeting();
    AlertPolicies();
    if (Watched()) Objectives();
    Add();
  }

 private:
  void Error(const std::string& path, std::string message) {
    errors_.push_back({path, std::move(message)});
  }
  void Warn(const std::string& path, std::string message) {
    out_.warnings.push_back({file_, line_of_(path), path, std::move(message)});
  }
  void CheckKeys(const Json& mapping, const std::string& path,
                 const std::vector<std::string>& known) {
    if (!mapping.is_object())
      return Error(
          path, mapping.is_null() ? "is missing" : Show(mapping) + ", but a mapping is expected");
    for (const auto& [key, unused] : mapping.items()) {
      if (std::find(known.begin(), known.end(), key) == known.end())
        Error(path + "." + key, "is not known" + DidYouMean(key, known));
    }
  }

  void Metadata() {
    const Json& metadata = SloMember(value_, "metadata");
    document_.kind = domain::Kind::kPolicy;
    document_.name = NameFromTitle(SloText(SloMember(metadata, "name")));
    document_.file = file_;
    document_.line = line_of_(path_ + "kind");
    if (document_.name.empty()) Error(path_ + "metadata.name", "is missing: the policy's name");
    const Json& labels = SloMember(metadata, "labels");
    if (labels.is_object()) {
      for (const auto& [key, value] : labels.items()) Label(key, value);
    }
    if (annotations_.is_object() && !annotations_.empty())
      document_.metadata["annotations"] = annotations_;
  }
  // OpenSLO allows lists of values.
  void Label(const std::string& key, const Json& value) {
    const Json& first = value.is_array() && !value.empty() ? value[0] : value;
    document_.metadata["labels"][key] = first;
    if (value.is_array() && value.size() > 1) {
      Warn(
          path_ + "metadata.labels." + key,
          fmt::format("has {} values; the label keeps the first, {}", value.size(), SloText(first)));
    }
  }

  void Window() {
    const std::string path = path_ + "spec.timeWindow";
    const Json& windows = SloMember(spec_, "timeWindow");
    if (windows.is_null()) return;
    if (!windows.is_array() || windows.size() != 1)
      return Error(path, Show(windows) + ", but a list of one window is expected");
    const std::string text = SloText(SloMember(windows[0], "duration"));
    const int64_t ms = WindowMs(text);
    if (ms == 0) {
      return Error(path + "[0].duration",
                   fmt::format("\"{}\" is not a length such as 1h, 28d, 1w or 1M", text));
    }
    if (ms > kLongestWindowMs) {
      return Error(path + "[0].duration",
                   fmt::format("{} is longer than the 35 days that telemetry is kept", text));
    }
    window_ = fmt::format("{}ms", ms);
    if (SloMember(windows[0], "isRolling") == false || !SloMember(windows[0], "calendar").is_null())
      Warn(path + "[0]", "follows the calendar; Weir's windows roll");
  }
  void Budgeting() {
    const std::string method = SloText(SloMember(spec_, "budgetingMethod"));
    if (!method.empty() && method != "Occurrences") {
      Warn(path_ + "spec.budgetingMethod",
           fmt::format("is {}; Weir counts requests, as Occurrences does", method));
    }
  }
  void AlertPolicies() {
    const Json& policies = SloMember(spec_, "alertPolicies");
    if (!policies.is_array() || policies.empty()) return;
    Warn(path_ + "spec.alertPolicies",
         fmt::format("are left out: {}; a Policy tells of what it sees by itself, to the Sinks",
                     kBurnRates));
  }

  // Metric, model and what narrows it down. False when it cannot be said.
  bool Watched() {
    const std::optional<Indicator> indicator = FindIndicator();
    if (!indicator) return false;
    const Json& source = SourceOf(indicator->spec);
    const std::string type = SloText(SloMember(source, "type"));
    const Json& ours = type == "Weir" || type == "weir" ? SloMember(source, "spec") : Nothing();
    for (const char* key : {"metric", "model", "version", "arm", "tenant"}) {
      const std::string annotation = std::string(kPrefix) + key;
      std::string text = SloText(SloMember(annotations_, annotation));
      where_[key] = text.empty() ? indicator->path : path_ + "metadata.annotations." + annotation;
      if (text.empty()) text = SloText(SloMember(ours, key));
      if (!text.empty()) watched_[key] = text;
    }
    if (!watched_.contains("metric")) {
      Error(indicator->path, Unmapped(source));
      return false;
    }
    watched_["metric"] = domain::CanonicalPolicyMetric(SloText(watched_["metric"]));
    Model();
    return true;
  }
  void Model() {
    const std::string model = SloText(SloMember(watched_, "model"));
    if (model == "*") watched_.erase("model");
    const std::string service = SloText(SloMember(spec_, "service"));
    if (!model.empty() || service.empty()) return;
    watched_["model"] = service;
    where_["model"] = path_ + "spec.service";
    Warn(path_ + "spec.service",
         fmt::format("\"{}\" is taken for the model's name; the annotation {}model says another, "
                     "\"*\" every model",
                     service, kPrefix));
  }
  std::optional<Indicator> FindIndicator() {
    if (const std::string name = SloText(SloMember(spec_, "indicatorRef")); !name.empty()) {
      const auto found = indicators_.find(name);
      if (found != indicators_.end()) return found->second;
      // The annotations say enough.
      if (!SloText(SloMember(annotations_, std::string(kPrefix) + "metric")).empty())
        return Indicator{Json::object(), path_ + "spec.indicatorRef"};
      Error(path_ + "spec.indicatorRef",
            fmt::format("there is no SLI \"{}\" in this file, and no annotation {}metric says what "
                        "it measures",
                        name, kPrefix));
      return std::nullopt;
    }
    const Json& indicator = SloMember(spec_, "indicator");
    if (indicator.is_object())
      return Indicator{SloMember(indicator, "spec"), path_ + "spec.indicator.spec"};
    Error(path_ + "spec.indicator", "is missing: what is measured (or indicatorRef)");
    return std::nullopt;
  }
  // The first metricSource of the indicator, null if there is none.
  static const Json& SourceOf(const Json& indicator) {
    const Json& threshold = SloMember(indicator, "thresholdMetric");
    if (!threshold.is_null()) return SloMember(threshold, "metricSource");
    const Json& ratio = SloMember(indicator, "ratioMetric");
    for (const char* part : {"good", "bad", "raw", "total"}) {
      const Json& source = SloMember(SloMember(ratio, part), "metricSource");
      if (!source.is_null()) return source;
    }
    return Nothing();
  }
  std::string Unmapped(const Json& source) const {
    std::string type = SloText(SloMember(source, "type"));
    if (type.empty()) type = SloText(SloMember(source, "metricSourceRef"));
    return fmt::format(
        "is asked of {}, and Weir watches its own metrics: say which is meant, with "
        "metadata.annotations: {{{}metric: error_rate, {}model: NAME}}; metrics: {}",
        type.empty() ? "another system" : type, kPrefix, kPrefix,
        Join(domain::PolicyMetrics(), ", "));
  }

  void Objectives() {
    const std::string path = path_ + "spec.objectives";
    const Json& objectives = SloMember(spec_, "objectives");
    if (!objectives.is_array() || objectives.empty())
      return Error(path, "is missing: a list of one objective or more");
    for (size_t i = 0; i < objectives.size(); ++i)
      Objective(objectives[i], fmt::format("{}[{}]", path, i), i);
  }
  void Objective(const Json& objective, const std::string& path, size_t index) {
    if (!objective.is_object()) return Error(path, Show(objective) + ", but a mapping is expected");
    if (objective.contains("indicator") || objective.contains("indicatorRef")) {
      return Error(path, "has an indicator of its own; write an SLO for each");
    }
    CheckKeys(objective, path,
              {"displayName", "op", "value", "target", "targetPercent", "timeSliceTarget",
               "timeSliceWindow", "compositeWeight"});
    for (const char* key : {"timeSliceTarget", "timeSliceWindow", "compositeWeight"}) {
      if (objective.contains(key))
        Warn(path + "." + key, "is left out: requests are counted, not slices of time");
    }
    Json slo = watched_;
    const std::string name = NameFromTitle(SloText(SloMember(objective, "displayName")));
    if (!name.empty()) slo["name"] = name;
    if (!window_.empty()) slo["window"] = window_;
    const std::string to = fmt::format("spec.slos[{}]", index);
    Threshold(objective, path, to, slo);
    Target(objective, path, to, slo);
    for (const auto& [key, where] : where_) written_.emplace_back(to + "." + key, where);
    written_.emplace_back(to + ".window", path_ + "spec.timeWindow");
    written_.emplace_back(to + ".name", path + ".displayName");
    written_.emplace_back(to, path);
    document_.spec["slos"].push_back(std::move(slo));
  }
  void Threshold(const Json& objective, const std::string& path, const std::string& to, Json& slo) {
    const std::string metric = SloText(slo["metric"]);
    if (objective.contains("value")) {
      slo["threshold"] = objective["value"];
      written_.emplace_back(to + ".threshold", path + ".value");
    } else if (metric != "error_rate") {
      Error(path + ".value",
            fmt::format("is missing: the {} that good requests stay within", metric));
    }
    // Of a ratio `op` would compare the target.
    if (!objective.contains("op") || !objective.contains("value")) return;
    slo["comparison"] = CanonicalComparison(SloText(objective["op"]));
    written_.emplace_back(to + ".comparison", path + ".op");
    const bool is_ceiling = SloText(slo["comparison"]).starts_with('<');
    if (is_ceiling != std::string_view(domain::DefaultComparison(metric)).starts_with('<') &&
        metric != "throughput" && metric != "tokens_per_second") {
      Error(path + ".op", fmt::format("{} would want {} to be high; what must hold is lt or lte",
                                      SloText(objective["op"]), metric));
    }
  }
  void Target(const Json& objective, const std::string& path, const std::string& to, Json& slo) {
    const bool is_percent = !objective.contains("target");
    const char* key = is_percent ? "targetPercent" : "target";
    const Json& target = SloMember(objective, key);
    const std::string at = fmt::format("{}.{}", path, key);
    if (!target.is_number())
      return Error(at, target.is_null() ? "is missing: the share that must be good, such as 0.999"
                                        : Show(target) + ", but a number is expected");
    const std::string metric = SloText(slo["metric"]);
    const bool is_budget =
        metric == "error_rate" ? !objective.contains("value") : metric.ends_with("_ms");
    if (!is_budget) {
      Warn(at, fmt::format("is left out: an error budget is of error_rate without a value, or of a "
                           "latency; {} is held to the value at any time",
                           metric));
      return;
    }
    slo["target"] = is_percent ? std::round(target.get<double>() * kSloParts) / (100 * kSloParts)
                               : target.get<double>();
    written_.emplace_back(to + ".target", at);
  }

  void Add() {
    Errors incomplete;
    Errors wrong;
    if (errors_.empty()) CheckAlone(document_, wrong, incomplete);
    for (const domain::Violation& e : wrong) {
      const std::string written = WrittenPath(written_, e.path);
      Error(written == e.path ? path_ + e.path : written, e.message);
    }
    for (const domain::Violation& e : errors_)
      out_.errors.push_back({file_, line_of_(e.path), e.path, e.message});
    if (errors_.empty()) out_.documents.push_back(std::move(document_));
  }

  const Json& value_;
  const std::string& path_;
  const OpenSloFile::LineOf& line_of_;
  const std::string& file_;
  const Indicators& indicators_;
  FileContent& out_;
  const Json& spec_;
  const Json& annotations_;
  ResourceDocument document_;
  WrittenPaths written_;
  Errors errors_;
  std::string window_;
  Json watched_ = Json::object();             // what every objective has in common
  std::map<std::string, std::string> where_;  // its fields → where they are written
};

// What is said of a document that is no SLO; "" when nothing needs to be.
std::string NotCarriedOver(const std::string& kind) {
  static const std::map<std::string, std::string> kWords = {
      {"SLI", ""},
      {"Service", ""},
      {"DataSource", "is left out: Weir watches its own metrics"},
      {"AlertPolicy", fmt::format("is left out: {}; a Policy tells of what it sees by itself, to "
                                  "the Sinks",
                                  kBurnRates)},
      {"AlertCondition", fmt::format("is left out: {}", kBurnRates)},
      {"AlertNotificationTarget", "is left out: write a Sink, which says where alerts go"}};
  const auto words = kWords.find(kind);
  return words == kWords.end() ? "?" : words->second;
}

}  // namespace

bool LooksLikeOpenSlo(const Json& value) {
  return value.is_object() && SloText(SloMember(value, "apiVersion")).starts_with("openslo/");
}

void OpenSloFile::Add(const Json& value, const std::string& path, const LineOf& line_of) {
  documents_.push_back({value, path, line_of});
}

void OpenSloFile::Finish(FileContent& out) {
  Indicators indicators;
  for (const Document& document : documents_) {
    if (SloText(SloMember(document.value, "kind")) != "SLI") continue;
    indicators[SloText(SloMember(SloMember(document.value, "metadata"), "name"))] = {
        SloMember(document.value, "spec"), document.path + "spec"};
  }
  for (const Document& document : documents_) {
    const auto fail = [&](const std::string& key, std::string message) {
      const std::string path = document.path + key;
      out.errors.push_back({file_, document.line_of(path), path, std::move(message)});
    };
    const std::string version = SloText(SloMember(document.value, "apiVersion"));
    const std::string kind = SloText(SloMember(document.value, "kind"));
    if (version != kVersion) {
      fail("apiVersion", fmt::format("\"{}\" is not {}", version, kVersion));
    } else if (kind == "SLO") {
      SloDocument(document.value, document.path, document.line_of, file_, indicators, out).Read();
    } else if (const std::string words = NotCarriedOver(kind); words == "?") {
      fail("kind", fmt::format("\"{}\" is not a kind of {}", kind, kVersion));
    } else if (!words.empty()) {
      const std::string path = document.path + "kind";
      out.warnings.push_back({file_, document.line_of(path), path, kind + " " + words});
    }
  }
}

}  // namespace weir::codec
