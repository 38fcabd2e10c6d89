// SPDX-License-Identifier: Apache-2.0
#include "shared/codec/flags_file.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>

#include "shared/codec/domain_fields.h"
#include "shared/codec/flag_check.h"

namespace weir::codec {

template <class V>
void Describe(V& v, ReloadSettings& f) {
  v(2, "validate_on_reload", f.validate_on_reload);
  v(4, "rollback_on_error", f.rollback_on_error);
}

namespace {

constexpr std::array kReserved = {"emergency", "observability", "config_reload", "canary"};
constexpr char kParentOfAll[] = "phase4_rollout";
// Mappings within a feature that are fields of the flag; every other one is a sub-feature.
constexpr std::array kMappings = {"variants", "targeting", "metadata"};
constexpr std::array kTypeNames = {"boolean", "bool", "number", "integer", "float", "string"};

template <class Names>
bool Contains(const Names& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool IsTypeName(const Json& value) {
  return value.is_string() && Contains(kTypeNames, value.get_ref<const std::string&>());
}

struct CanaryBlock {
  bool enabled = false;
  double rollout_percentage = 0;
  std::string strategy = "hash";
  std::string hash_key;
  std::string hash_seed;
  domain::RollbackSpec rollback;
};
template <class V>
void Describe(V& v, CanaryBlock& f) {
  v(2, "enabled", f.enabled);
  v(4, "rollout_percentage", f.rollout_percentage, Aliases("percentage", "rolloutPercentage"));
  v(6, "strategy", f.strategy);
  v(8, "hash_key", f.hash_key, Aliases("hashKey"));
  v(10, "hash_seed", f.hash_seed, Aliases("hashSeed"));
  v(12, "rollback", f.rollback);
}

class FlagsFile {
 public:
  FlagsFile(const std::string& file, const std::function<int(const std::string&)>& line_of,
            FileContent& out)
      : file_(file), line_of_(line_of), out_(out) {}

  void Read(const Json& value) {
    const bool gated = value.contains(kParentOfAll);
    for (const auto& [name, block] : value.items()) {
      if (!block.is_object()) {
        Error(name, Show(block) +
                        ", but a feature is a mapping (enabled, rollout_percentage, "
                        "hash_seed)");
      } else if (Contains(kReserved, name)) {
        Reserved(name, block);
      } else {
        Feature(name, block, gated && name != kParentOfAll);
      }
    }
  }

 private:
  void Error(const std::string& path, const std::string& message) {
    out_.errors.push_back({file_, line_of_(path), path, message});
  }
  void Warn(const std::string& path, const std::string& message) {
    out_.warnings.push_back({file_, line_of_(path), path, message});
  }
  // Errors of a block, `name` being its path. Type names instead of values are said to be that.
  void Fail(const std::string& name, const Json& block, const Errors& errors) {
    for (const domain::Violation& e : errors) {
      const std::string key = e.path.size() > name.size() ? e.path.substr(name.size() + 1) : "";
      const auto value = block.find(key);
      Error(e.path, value != block.end() && IsTypeName(*value)
                        ? fmt::format("\"{}\" names a type; give a value",
                                      value->get_ref<const std::string&>())
                        : e.message);
    }
  }

  void Reserved(const std::string& name, const Json& block) {
    Errors errors;
    if (name == "emergency") {
      FromJson<domain::EmergencySpec>(block, name, errors);
      if (errors.empty()) Add(domain::Kind::kEmergency, "default", name, block);
    } else if (name == "observability") {
      Observability(block, errors);
    } else if (name == "config_reload") {
      Reload(FromJson<ReloadSettings>(block, name, errors));
    } else {
      Canary(FromJson<CanaryBlock>(block, name, errors), errors);
    }
    Fail(name, block, errors);
  }

  void Observability(const Json& block, Errors& errors) {
    domain::Resource resource;
    resource.kind = domain::Kind::kObservability;
    resource.name = "default";
    resource.spec = FromJson<domain::ObservabilitySpec>(block, "observability", errors);
    for (const domain::Violation& e : domain::Validate(resource))
      errors.push_back({"observability" + e.path.substr(e.path.find('.')), e.message});
    if (!errors.empty()) return;
    Add(resource.kind, resource.name, "observability", block).is_partial = true;
  }

  void Reload(const ReloadSettings& settings) {
    if (!settings.validate_on_reload)
      Warn("config_reload.validate_on_reload", "is false, but Weir always validates");
    if (!settings.rollback_on_error) {
      Warn("config_reload.rollback_on_error",
           "is false, but Weir always keeps what runs when a file is wrong");
    }
    out_.reload = settings;
  }

  // Checked as a Rollout would be.
  void Canary(const CanaryBlock& canary, Errors& errors) {
    const auto percentage = domain::ToFinePercent(canary.rollout_percentage);
    if (!percentage.ok())
      errors.push_back({"canary.rollout_percentage", percentage.status().message()});
    domain::RolloutSpec rollout;
    rollout.model = rollout.candidate = "any";
    domain::Phase any;
    any.name = "any";
    any.percentage = 1;
    rollout.phases = {std::move(any)};
    rollout.strategy = canary.strategy;
    if (!canary.hash_key.empty()) rollout.hash_key = canary.hash_key;
    rollout.hash_seed = canary.hash_seed;
    rollout.rollback = canary.rollback;
    domain::Resource resource;
    resource.kind = domain::Kind::kRollout;
    resource.name = "any";
    resource.spec = rollout;
    for (const domain::Violation& e : domain::Validate(resource))
      errors.push_back({"canary" + e.path.substr(e.path.find('.')), e.message});
    Json& defaults = out_.rollout_defaults;
    defaults = {{"strategy", canary.strategy}, {"rollback", ToJson(canary.rollback)}};
    if (!canary.hash_key.empty()) defaults["hash_key"] = canary.hash_key;
    if (!canary.hash_seed.empty()) defaults["hash_seed"] = canary.hash_seed;
    Warn("canary",
         "routes nothing until a rollout starts; the file's Rollouts take it as defaults");
  }

  // `name` is dotted for sub-features and is also the path in the file.
  void Feature(const std::string& name, const Json& block, bool gated) {
    Json spec = Json::object();
    for (const auto& [key, value] : block.items()) {
      if (value.is_object() && !Contains(kMappings, key)) {
        Feature(name + "." + key, value, false);
      } else if (key != "dry_run") {
        spec[key] = value;
      }
    }
    // A setting of the feature, not of the flag: callers get it with the flag's metadata.
    if (block.contains("dry_run") && !spec.contains("metadata")) spec["metadata"] = Json::object();
    if (block.contains("dry_run") && spec["metadata"].is_object())
      spec["metadata"]["dry_run"] = block["dry_run"];

    Errors errors;
    Errors incomplete;
    const bool is_partial = Check(name, block, spec, errors, incomplete);
    Fail(name, block, errors);
    if (!errors.empty()) return;
    if (gated) spec["requires"].push_back(kParentOfAll);
    ResourceDocument& document = Add(domain::Kind::kFlag, name, name, std::move(spec));
    document.is_partial = is_partial;
    for (const domain::Violation& e : incomplete)
      document.when_new.push_back({file_, line_of_(e.path), e.path, e.message});
  }

  // What is wrong with a feature, with paths in the file; what it lacks unless it stands already
  // goes to `incomplete`. True when the block does not say all of a flag.
  static bool Check(const std::string& name, const Json& block, const Json& spec, Errors& errors,
                    Errors& incomplete) {
    domain::Resource resource;
    resource.name = name;
    resource.spec = FromJson<domain::FlagSpec>(spec, name, errors);
    const domain::FlagSpec flag = resource.As<domain::FlagSpec>();
    for (const char* seed : {"hash_seed", "hashSeed"}) {
      if (block.contains(seed) && block[seed] == "string")
        errors.push_back({name + "." + seed, ""});
    }
    if (block.contains("dry_run") && IsTypeName(block["dry_run"]))
      errors.push_back({name + ".dry_run", ""});
    const Errors unreadable = errors;  // a field that cannot be read is not also out of range
    const bool lacks_seed = flag.hash_seed.empty() && flag.rollout_percentage.has_value();
    const bool lacks_switch = !flag.enabled && !flag.rollout_percentage;
    const bool lacks_list =
        flag.allowlist_only && flag.enabled.value_or(true) && flag.allowlist.empty();
    const double percentage = flag.rollout_percentage.value_or(100);
    if (lacks_seed && percentage > 0 && percentage < 100) {
      incomplete.push_back(
          {name + ".hash_seed",
           fmt::format("is missing; a percentage of {} needs a seed of its own", percentage)});
    }
    domain::FillDefaults(resource, 0);
    Errors found = domain::Validate(resource);
    for (domain::Violation& e : CheckFlag(flag)) found.push_back(std::move(e));
    for (domain::Violation& e : found) {
      const bool may_stand =
          (e.path == "spec.enabled" && lacks_switch) || (e.path == "spec.allowlist" && lacks_list);
      e.path = e.path.rfind("spec.", 0) == 0 ? name + e.path.substr(4) : name;
      const bool follows = std::any_of(unreadable.begin(), unreadable.end(),
                                       [&](const auto& u) { return u.path.rfind(e.path, 0) == 0; });
      if (follows) continue;
      (may_stand ? incomplete : errors).push_back(std::move(e));
    }
    return !flag.IsVariant() && (lacks_seed || lacks_switch || lacks_list);
  }

  ResourceDocument& Add(domain::Kind kind, const std::string& name, const std::string& path,
                        Json spec) {
    ResourceDocument& document = out_.documents.emplace_back();
    document.kind = kind;
    document.name = name;
    document.spec = std::move(spec);
    document.file = file_;
    document.line = line_of_(path);
    return document;
  }

  const std::string& file_;
  const std::function<int(const std::string&)>& line_of_;
  FileContent& out_;
};

// What `defaults` says and `spec`, under no spelling of the name, does not.
void FillIn(const Json& defaults, Json& spec) {
  static const std::map<std::string, const char*> kOtherSpelling = {
      {"hash_key", "hashKey"},
      {"hash_seed", "hashSeed"},
      {"error_rate", "errorRateThreshold"},
      {"p99_latency_ms", "p99LatencyThreshold"},
      {"evaluation_window", "evaluationWindow"},
      {"cooldown", "cooldownPeriod"}};
  for (const auto& [key, value] : defaults.items()) {
    const auto other = kOtherSpelling.find(key);
    if (other != kOtherSpelling.end() && spec.contains(other->second)) continue;
    if (!spec.contains(key)) {
      spec[key] = value;
    } else if (value.is_object() && spec[key].is_object()) {
      FillIn(value, spec[key]);
    }
  }
}

}  // namespace

bool LooksLikeFlagsFile(const Json& value) {
  const bool is_resource = value.contains("apiVersion") || value.contains("kind") ||
                           (value.contains("metadata") && value.contains("spec"));
  return value.is_object() && !is_resource &&
         std::any_of(value.begin(), value.end(),
                     [](const Json& block) { return block.is_object(); });
}

void ReadFlagsFile(const Json& value, const std::string& file,
                   const std::function<int(const std::string&)>& line_of, FileContent& out) {
  FlagsFile(file, line_of, out).Read(value);
}

void ApplyRolloutDefaults(FileContent& content) {
  if (content.rollout_defaults.is_null()) return;
  for (ResourceDocument& document : content.documents) {
    if (document.kind == domain::Kind::kRollout) FillIn(content.rollout_defaults, document.spec);
  }
}

}  // namespace weir::codec
