// SPDX-License-Identifier: Apache-2.0
#include "shared/codec/policy_file.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <map>
#include <set>

#include "shared/base/text.h"
#include "shared/codec/document_check.h"
#include "shared/codec/rollout_text.h"
#include "shared/domain/policy.h"

namespace weir::codec {
namespace {

// Parts of the source system that its remediations name; an action of Weir's is on a model, a
// rollout or a flag.
constexpr std::array kParts = {"governor", "batch_queue", "stream_registry", "python_runtime"};
constexpr std::array kLengths = {"window",   "for",      "horizon",      "keep_firing_for",
                                 "cooldown", "duration", "budget_window"};

bool HasSlos(const Json& policy) {
  return policy.is_object() && policy.contains("slos") && policy["slos"].is_array();
}

// "maxExecutions" → "max_executions", "LTE" → "lte".
std::string SnakeCase(const std::string& text) {
  std::string out;
  bool was_lower = false;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (was_lower && std::isupper(byte) != 0) out += '_';
    was_lower = std::islower(byte) != 0 || std::isdigit(byte) != 0;
    out += static_cast<char>(std::tolower(byte));
  }
  return out;
}

// "windowMs" → ("window", true): a length of time given in milliseconds.
std::pair<std::string, bool> FieldOf(const std::string& key) {
  std::string field = SnakeCase(key);
  if (field == "execution_window_ms") return {"budget_window", true};
  if (!field.ends_with("_ms")) return {std::move(field), false};
  const std::string length = field.substr(0, field.size() - 3);
  const bool is_length = std::find(kLengths.begin(), kLengths.end(), length) != kLengths.end();
  return {is_length ? length : std::move(field), is_length};
}

// The field that a parameter of an action is; "" when it is none.
std::string FieldOfParameter(const std::string& action, const std::string& parameter) {
  static const std::map<std::string, std::map<std::string, std::string>> kFields = {
      {"scale_up", {{"increment", "step"}, {"step", "step"}, {"slots", "step"}}},
      {"scale_down",
       {{"decrement", "step"}, {"increment", "step"}, {"step", "step"}, {"slots", "step"}}},
      {"throttle",
       {{"factor", "factor"},
        {"rate", "factor"},
        {"percent", "factor"},
        {"percentage", "factor"},
        {"caller_requests_per_second", "caller_requests_per_second"},
        {"caller_concurrent", "caller_concurrent"}}},
      {"shed_load", {{"share", "share"}, {"percent", "share"}, {"percentage", "share"}}},
      {"set_percentage", {{"percentage", "percentage"}, {"percent", "percentage"}}},
      {"circuit_break", {{"version", "version"}}},
      {"restart", {{"version", "version"}}}};
  static const std::set<std::string> kEndless = {"rollback", "restart", "alert"};
  if (parameter == "reason" || parameter == "min_severity") return parameter;
  if (parameter == "duration") return kEndless.contains(action) ? "" : parameter;
  const auto fields = kFields.find(action);
  if (fields == kFields.end()) return "";
  const auto field = fields->second.find(parameter);
  return field == fields->second.end() ? "" : field->second;
}

class PolicyDocument {
 public:
  // `base`: the policy's path in the file, without a dot at its end; "" when it is the file.
  PolicyDocument(std::string base, const std::string& file,
                 const std::function<int(const std::string&)>& line_of, FileContent& out)
      : base_(std::move(base)), file_(file), line_of_(line_of), out_(out) {}

  void Read(const Json& policy, const std::string& name_of_key) {
    if (!HasSlos(policy)) {
      const bool is_mapping = policy.is_object();
      Error(is_mapping ? At("slos") : base_,
            is_mapping ? "is missing: a list of objectives"
                       : Show(policy) + ", but a policy is a mapping with slos");
      return Report();
    }
    document_.kind = domain::Kind::kPolicy;
    document_.file = file_;
    document_.line = line_of_(base_.empty() ? "slos" : base_);
    Name(policy, name_of_key);
    for (const auto& [key, value] : policy.items()) {
      if (key == "id" || key == "name" || key == "slos" || key == "remediations") continue;
      Take(key, value, base_, "spec", document_.spec);
    }
    List(policy, "slos", [this](const Json& slo, const std::string& at, const std::string& to) {
      return Slo(slo, at, to);
    });
    List(policy, "remediations",
         [this](const Json& r, const std::string& at, const std::string& to) {
           return Remediation(r, at, to);
         });
    if (!parts_.empty()) {
      Warn(
          At("remediations"),
          fmt::format("name parts of another system as targets ({}), which are left out: an action "
                      "is on the model that its objective is of; give target: a model, a rollout "
                      "or a flag, for another",
                      Join({parts_.begin(), parts_.end()}, ", ")));
    }
    Add();
  }

 private:
  std::string At(const std::string& key) const { return base_.empty() ? key : base_ + "." + key; }
  void Error(const std::string& path, std::string message) {
    errors_.push_back({path, std::move(message)});
  }
  void Warn(const std::string& path, std::string message) {
    out_.warnings.push_back({file_, line_of_(path), path, std::move(message)});
  }
  void Report() {
    for (const domain::Violation& e : errors_)
      out_.errors.push_back({file_, line_of_(e.path), e.path, e.message});
  }

  void Name(const Json& policy, const std::string& name_of_key) {
    const auto text = [&](const char* key) {
      const auto found = policy.find(key);
      if (found == policy.end()) return std::string();
      if (!found->is_string()) Error(At(key), Show(*found) + ", but text is expected");
      return found->is_string() ? found->get<std::string>() : std::string();
    };
    const std::string id = text("id");
    const std::string name = text("name");
    const std::string& title = !id.empty() ? id : !name_of_key.empty() ? name_of_key : name;
    document_.name = NameFromTitle(title);
    if (document_.name.empty() && errors_.empty())
      Error(At(id.empty() ? "name" : "id"), "is missing: the policy's name");
    written_.emplace_back("metadata.name", At(id.empty() ? "name" : "id"));
    if (!policy.contains("description") && !name.empty() && name != document_.name)
      document_.spec["description"] = name;
  }

  // One field under its name in a Policy; what is unknown is left for the strict reader to refuse.
  void Take(const std::string& key, const Json& value, const std::string& at, const std::string& to,
            Json& fields) {
    const auto [field, is_ms] = FieldOf(key);
    const std::string path = at.empty() ? key : at + "." + key;
    if (fields.contains(field))
      return Error(path, fmt::format("means {}, which is given too", field));
    written_.emplace_back(to + "." + field, path);
    fields[field] = is_ms ? Length(value, path) : value;
  }
  // Milliseconds as a length of time in text.
  Json Length(const Json& value, const std::string& path) {
    constexpr double kMost = 1e15;
    const double ms = value.is_number() ? value.get<double>() : -1;
    if (ms >= 0 && ms <= kMost && ms == std::floor(ms))
      return fmt::format("{}ms", static_cast<int64_t>(ms));
    Error(path, Show(value) + ", but a whole number of milliseconds is expected");
    return nullptr;
  }

  template <class Make>
  void List(const Json& policy, const std::string& key, const Make& make) {
    const auto list = policy.find(key);
    if (list == policy.end()) return;
    if (!list->is_array()) return Error(At(key), Show(*list) + ", but a list is expected");
    for (size_t i = 0; i < list->size(); ++i) {
      const std::string at = fmt::format("{}[{}]", At(key), i);
      const Json& item = (*list)[i];
      if (!item.is_object()) Error(at, Show(item) + ", but a mapping is expected");
      document_.spec[key].push_back(
          item.is_object() ? make(item, at, fmt::format("spec.{}[{}]", key, i)) : Json::object());
    }
  }

  Json Slo(const Json& slo, const std::string& at, const std::string& to) {
    Json fields = Json::object();
    for (const auto& [key, value] : slo.items()) Take(key, value, at, to, fields);
    Rewrite(fields, "name", NameFromTitle);
    Rewrite(fields, "metric", domain::CanonicalPolicyMetric);
    Rewrite(fields, "comparison", CanonicalComparison);
    Rewrite(fields, "severity", domain::CanonicalSeverity);
    if (fields.contains("metric") && fields["metric"] == "throughput" &&
        !fields.contains("comparison")) {
      Warn(at + ".metric",
           "must be at least the threshold, in requests a second; comparison: lte makes it a "
           "maximum, and metric: tokens_per_second counts tokens");
    }
    return fields;
  }
  template <class F>
  static void Rewrite(Json& fields, const char* field, const F& rewrite) {
    const auto found = fields.find(field);
    if (found != fields.end() && found->is_string()) *found = rewrite(found->get<std::string>());
  }

  Json Remediation(const Json& remediation, const std::string& at, const std::string& to) {
    Json fields = Json::object();
    Json parameters = Json::object();
    for (const auto& [key, value] : remediation.items()) {
      if (key == "params" || key == "parameters") {
        if (!value.is_object()) Error(at + "." + key, Show(value) + ", but a mapping is expected");
        if (value.is_object()) parameters = value;
        continue;
      }
      Take(key == "type" ? "action" : key, value, at, to, fields);
      if (key == "type") written_.back().second = at + ".type";
    }
    Rewrite(fields, "action", SnakeCase);
    Rewrite(fields, "min_severity", domain::CanonicalSeverity);
    Target(fields);
    if (fields.contains("slos") && fields["slos"].is_array()) {
      for (Json& name : fields["slos"]) {
        if (name.is_string()) name = NameFromTitle(name.get<std::string>());
      }
    }
    Parameters(parameters, at + (remediation.contains("params") ? ".params" : ".parameters"), to,
               fields);
    return fields;
  }
  void Target(Json& fields) {
    const auto target = fields.find("target");
    if (target == fields.end() || !target->is_string()) return;
    const auto name = target->get<std::string>();
    if (std::find(kParts.begin(), kParts.end(), name) == kParts.end()) return;
    parts_.insert(name);
    fields.erase(target);
  }
  void Parameters(const Json& parameters, const std::string& at, const std::string& to,
                  Json& fields) {
    const std::string action = fields.contains("action") && fields["action"].is_string()
                                   ? fields["action"].get<std::string>()
                                   : "";
    std::vector<std::string> unknown;
    for (const auto& [key, value] : parameters.items()) {
      const auto [parameter, is_ms] = FieldOf(key);
      const std::string field = FieldOfParameter(action, parameter);
      const std::string path = at + "." + key;
      if (field.empty()) {
        unknown.push_back(key);
      } else if (fields.contains(field)) {
        Error(path, fmt::format("means {}, which is given too", field));
      } else {
        written_.emplace_back(to + "." + field, path);
        fields[field] = is_ms ? Length(value, path) : Part(parameter, field, value, path);
      }
    }
    if (unknown.empty()) return;
    const bool is_of_alert = action == "alert";
    Warn(at,
         fmt::format("{} {} left out: {}", Join(unknown, ", "), unknown.size() == 1 ? "is" : "are",
                     is_of_alert ? "who is told of an alert, and how, is a Sink's matter"
                                 : fmt::format("{} has nothing of the kind",
                                               action.empty() ? "Weir" : action)));
  }
  // Of a hundred where the field is a share of one.
  Json Part(const std::string& parameter, const std::string& field, const Json& value,
            const std::string& path) {
    const bool is_percent = parameter.starts_with("percent") && field != "percentage";
    if (!is_percent || !value.is_number()) return value;
    const double share = value.get<double>() / 100;
    if (field == "factor") {
      Warn(path, fmt::format("is read as what stays of the rate at the time: factor: {}", share));
    }
    return share;
  }

  void Add() {
    written_.emplace_back("spec", base_);
    Errors incomplete;
    Errors wrong;
    // What is of the wrong shape says little about the rest.
    if (errors_.empty()) CheckAlone(document_, wrong, incomplete);
    for (const domain::Violation& e : wrong) {
      std::string path = WrittenPath(written_, e.path);
      if (path.starts_with('.')) path.erase(0, 1);  // the policy is the file
      Error(path, e.message);
    }
    Report();
    if (errors_.empty()) out_.documents.push_back(std::move(document_));
  }

  const std::string base_;
  const std::string& file_;
  const std::function<int(const std::string&)>& line_of_;
  FileContent& out_;
  ResourceDocument document_;
  WrittenPaths written_;
  Errors errors_;
  std::set<std::string> parts_;  // targets that were left out
};

}  // namespace

std::string NameFromTitle(const std::string& title) {
  if (IsResourceName(title)) return title;
  std::string name;
  for (const char c : title) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_plain = byte < 0x80 && (std::isalnum(byte) != 0 || c == '_' || c == '.');
    if (is_plain) {
      name += static_cast<char>(std::tolower(byte));
    } else if (!name.empty() && name.back() != '-') {
      name += '-';
    }
  }
  while (!name.empty() && name.back() == '-') name.pop_back();
  return IsResourceName(name) ? name : "";
}

std::string CanonicalComparison(const std::string& comparison) {
  static const std::map<std::string, std::string> kSigns = {{"lt", "<"},
                                                            {"less_than", "<"},
                                                            {"below", "<"},
                                                            {"lte", "<="},
                                                            {"le", "<="},
                                                            {"at_most", "<="},
                                                            {"max", "<="},
                                                            {"gt", ">"},
                                                            {"greater_than", ">"},
                                                            {"above", ">"},
                                                            {"gte", ">="},
                                                            {"ge", ">="},
                                                            {"at_least", ">="},
                                                            {"min", ">="},
                                                            {"less_than_or_equal", "<="},
                                                            {"greater_than_or_equal", ">="}};
  const auto sign = kSigns.find(SnakeCase(comparison));
  return sign == kSigns.end() ? comparison : sign->second;
}

bool LooksLikePolicyFile(const Json& value) {
  if (!value.is_object() || value.contains("apiVersion") || value.contains("kind")) return false;
  if (HasSlos(value)) return true;
  const auto policies = value.find("policies");
  return policies != value.end() && policies->is_structured() &&
         std::any_of(policies->begin(), policies->end(), HasSlos);
}

void ReadPolicyFile(const Json& value, const std::string& path, const std::string& file,
                    const std::function<int(const std::string&)>& line_of, FileContent& out) {
  if (HasSlos(value)) {
    const std::string base = path.empty() ? "" : path.substr(0, path.size() - 1);
    return PolicyDocument(base, file, line_of, out).Read(value, "");
  }
  for (const auto& [key, unused] : value.items()) {
    if (key == "policies" || key == "version") continue;
    out.errors.push_back({file, line_of(path + key), path + key,
                          "is not known beside policies; give it a file of its own"});
  }
  const Json& policies = value["policies"];
  const std::string base = path + "policies";
  if (policies.is_array()) {
    for (size_t i = 0; i < policies.size(); ++i)
      PolicyDocument(fmt::format("{}[{}]", base, i), file, line_of, out).Read(policies[i], "");
    return;
  }
  for (const auto& [name, policy] : policies.items())
    PolicyDocument(base + "." + name, file, line_of, out).Read(policy, name);
}

}  // namespace weir::codec
