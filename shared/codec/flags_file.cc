// SPDX-License-Identifier: Apache-2.0
#include "shared/codec/flags_file.h"

#include <algorithm>
#include <array>
#include <functional>

#include "shared/codec/domain_fields.h"

namespace weir::codec {
namespace {

constexpr std::array kReserved = {"emergency", "observability", "config_reload", "canary"};
constexpr char kParentOfAll[] = "phase4_rollout";

struct EmergencyBlock {
  bool kill_switch = false;
  bool rollback_to_baseline = false;
};
template <class V>
void Describe(V& v, EmergencyBlock& f) {
  v(2, "kill_switch", f.kill_switch);
  v(4, "rollback_to_baseline", f.rollback_to_baseline);
}

struct ObservabilityBlock {
  bool log_feature_decisions = false;
  bool export_metrics = true;
  std::string metric_prefix;
};
template <class V>
void Describe(V& v, ObservabilityBlock& f) {
  v(2, "log_feature_decisions", f.log_feature_decisions);
  v(4, "export_metrics", f.export_metrics);
  v(6, "metric_prefix", f.metric_prefix);
}

struct ReloadBlock {
  bool validate_on_reload = true;
  bool rollback_on_error = true;
};
template <class V>
void Describe(V& v, ReloadBlock& f) {
  v(2, "validate_on_reload", f.validate_on_reload);
  v(4, "rollback_on_error", f.rollback_on_error);
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
      if (std::find(kReserved.begin(), kReserved.end(), name) != kReserved.end()) {
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

  void Reserved(const std::string& name, const Json& block) {
    Errors errors;
    if (name == "emergency") {
      const auto emergency = FromJson<EmergencyBlock>(block, name, errors);
      Add(domain::Kind::kEmergency, "default", name, ToJson(emergency));
    } else if (name == "observability") {
      FromJson<ObservabilityBlock>(block, name, errors);
      Warn(name, "is checked but changes nothing: decisions are counted and exported without it");
    } else if (name == "config_reload") {
      FromJson<ReloadBlock>(block, name, errors);
      Warn(name, "is checked but changes nothing: every apply is validated and all or nothing");
    } else {
      FromJson<CanaryBlock>(block, name, errors);
      Warn(name, "routes nothing until a rollout starts");
    }
    for (const domain::Violation& e : errors) Error(e.path, e.message);
  }

  // `name` is dotted for sub-features and is also the path in the file.
  void Feature(const std::string& name, const Json& block, bool gated) {
    Json spec = Json::object();
    for (const auto& [key, value] : block.items()) {
      if (value.is_object()) {
        Feature(name + "." + key, value, false);
      } else if (key == "dry_run") {
        Warn(name + "." + key, "is a setting of the feature, not of the flag; left alone");
      } else {
        spec[key] = value;
      }
    }
    Errors errors;
    auto flag = FromJson<domain::FlagSpec>(spec, name, errors);
    const double percentage = flag.rollout_percentage.value_or(100);
    if (percentage > 0 && percentage < 100 && flag.hash_seed.empty()) {
      errors.push_back(
          {name + ".hash_seed",
           fmt::format("is missing; a percentage of {} needs a seed of its own", percentage)});
    }
    if (gated) spec["requires"].push_back(kParentOfAll);
    domain::Resource resource{.kind = domain::Kind::kFlag,
                              .name = name,
                              .labels = {},
                              .annotations = {},
                              .revision = 0,
                              .updated_at = {},
                              .updated_by = {},
                              .spec = flag,
                              .status = {}};
    if (errors.empty()) {
      domain::FillDefaults(resource, 0);
      for (domain::Violation v : domain::Validate(resource)) {
        v.path = v.path.rfind("spec.", 0) == 0 ? name + v.path.substr(4) : name;
        errors.push_back(std::move(v));
      }
    }
    for (const domain::Violation& e : errors) Error(e.path, e.message);
    if (errors.empty()) Add(domain::Kind::kFlag, name, name, std::move(spec));
  }

  void Add(domain::Kind kind, const std::string& name, const std::string& path, Json spec) {
    ResourceDocument document{
        .kind = kind, .name = name, .spec = std::move(spec), .file = file_, .line = line_of_(path)};
    out_.documents.push_back(std::move(document));
  }

  const std::string& file_;
  const std::function<int(const std::string&)>& line_of_;
  FileContent& out_;
};

}  // namespace

bool LooksLikeFlagsFile(const Json& value) {
  return value.is_object() && !value.empty() && !value.contains("apiVersion") &&
         !value.contains("kind") && std::all_of(value.begin(), value.end(), [](const Json& block) {
           return block.is_object();
         });
}

void ReadFlagsFile(const Json& value, const std::string& file,
                   const std::function<int(const std::string&)>& line_of, FileContent& out) {
  FlagsFile(file, line_of, out).Read(value);
}

}  // namespace weir::codec
