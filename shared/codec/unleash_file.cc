// SPDX-License-Identifier: Apache-2.0
#include "shared/codec/unleash_file.h"

#include <algorithm>
#include <map>
#include <set>

#include "shared/base/text.h"
#include "shared/codec/domain_fields.h"
#include "shared/codec/flag_check.h"

namespace weir::codec {
namespace {

// A member of a mapping, null where there is none.
Json Member(const Json& mapping, const char* name) {
  if (!mapping.is_object()) return nullptr;
  const auto found = mapping.find(name);
  return found == mapping.end() ? Json() : *found;
}

std::string TextOf(const Json& value) { return value.is_string() ? value.get<std::string>() : ""; }

// Percentages are text or numbers in Unleash. Absent when they are neither or not in 0..100.
std::optional<double> PercentOf(const Json& value) {
  double percent = 0;
  if (value.is_number()) {
    percent = value.get<double>();
  } else if (value.is_string()) {
    const std::string text = value.get<std::string>();
    char* end = nullptr;
    percent = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != '\0') return std::nullopt;
  } else {
    return std::nullopt;
  }
  return domain::ToFinePercent(percent).ok() ? std::optional(percent) : std::nullopt;
}

// What a feature's strategies come to. In Unleash a user is in as soon as one strategy lets them
// in.
struct Share {
  bool is_everybody = false;
  double percent = 0;
  std::string seed;
  bool is_random = false;
  std::set<std::string> users;
  bool is_unknown = false;  // a strategy was not understood: nobody may get in
};

class Features {
 public:
  Features(const std::string& file, FileContent& out) : file_(file), out_(out) {}

  void Read(const Json& json) {
    const Json features = Member(json, "features");
    if (!features.is_array()) {
      out_.errors.push_back({file_, 0, "features", "is not a list; this is no file of Unleash"});
      return;
    }
    Environments(json);
    std::set<std::string> names;
    for (const Json& feature : features) names.insert(TextOf(Member(feature, "name")));
    for (size_t i = 0; i < features.size(); ++i)
      Feature(features[i], fmt::format("features[{}]", i), names);
  }

 private:
  // In an export strategies and switches stand beside the features, per environment.
  void Environments(const Json& json) {
    std::set<std::string> environments;
    const auto each = [&](const char* list, auto take) {
      const Json items = Member(json, list);
      if (!items.is_array()) return;
      for (const Json& item : items) {
        const std::string environment = TextOf(Member(item, "environment"));
        if (!environment.empty()) environments.insert(environment);
        take(TextOf(Member(item, "featureName")), item);
      }
    };
    each("featureStrategies", [this](const std::string& feature, const Json& item) {
      strategies_[feature].push_back(item);
    });
    each("featureEnvironments", [this](const std::string& feature, const Json& item) {
      const std::string name = feature.empty() ? TextOf(Member(item, "name")) : feature;
      switches_[name] = Member(item, "enabled");
    });
    if (environments.size() > 1) {
      out_.errors.push_back({file_, 0, "featureEnvironments",
                             fmt::format("holds the environments {}; export one",
                                         Join({environments.begin(), environments.end()}, ", "))});
    }
  }

  void Warn(const std::string& path, const std::string& flag, const std::string& what) {
    out_.warnings.push_back({file_, 0, path, fmt::format("flag \"{}\" {}", flag, what)});
  }

  void Feature(const Json& feature, const std::string& path, const std::set<std::string>& names) {
    const std::string original = TextOf(Member(feature, "name"));
    const std::string name = NameOf(original, path);
    if (name.empty()) return;
    Json enabled = Member(feature, "enabled");
    if (enabled.is_null() && switches_.contains(original)) enabled = switches_.at(original);
    Share share = ShareOf(feature, original, path);
    Json spec = Json::object();
    Dependencies(feature, original, path, names, spec, share);
    if (!enabled.is_boolean()) {
      Warn(path + ".enabled", original, "does not say true or false; it comes disabled");
    }
    spec["enabled"] = enabled == true && !share.is_unknown;
    Fill(share, original, spec);
    Words(feature, original, path, spec);
    if (Check(name, path, spec)) {
      out_.documents.push_back({.kind = domain::Kind::kFlag,
                                .name = name,
                                .spec = std::move(spec),
                                .file = file_,
                                .line = 0,
                                .is_partial = false,
                                .when_new = {},
                                .only_if_absent = false});
    }
  }

  // Dots mean sub-features in Weir, and some of Unleash's letters are none of a name. "" is none.
  std::string NameOf(const std::string& original, const std::string& path) {
    std::string name = original;
    for (char& c : name) {
      const bool is_plain = std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
      if (!is_plain) c = '_';
    }
    if (!IsResourceName(name)) {
      out_.errors.push_back(
          {file_, 0, path + ".name", fmt::format("\"{}\" cannot be the name of a flag", original)});
      return "";
    }
    if (name != original)
      Warn(path + ".name", original, fmt::format("is named \"{}\" in Weir; ask for that", name));
    return name;
  }

  Share ShareOf(const Json& feature, const std::string& flag, const std::string& path) {
    Json strategies = Member(feature, "strategies");
    if (!strategies.is_array()) {
      const auto beside = strategies_.find(flag);
      strategies = beside == strategies_.end() ? Json::array() : beside->second;
    }
    Share share;
    size_t active = 0;
    for (size_t i = 0; i < strategies.size(); ++i) {
      if (Member(strategies[i], "disabled") == true) continue;
      ++active;
      Strategy(strategies[i], flag, fmt::format("{}.strategies[{}]", path, i), share);
    }
    share.is_everybody = share.is_everybody || strategies.empty();  // as in Unleash
    if (active == 0 && !strategies.empty()) {
      share.is_unknown = true;
      Warn(path + ".strategies", flag, "has only strategies that are disabled; it comes disabled");
    }
    return share;
  }

  void Strategy(const Json& strategy, const std::string& flag, const std::string& path,
                Share& share) {
    std::string name = TextOf(Member(strategy, "name"));
    if (name.empty()) name = TextOf(Member(strategy, "strategyName"));
    const Json parameters = Member(strategy, "parameters");
    const auto left_out = [&](const std::string& why) {
      Warn(path, flag, fmt::format("strategy \"{}\" {}", name, why));
    };
    const auto is_given = [&](const char* key) { return !Member(strategy, key).empty(); };
    if (is_given("constraints") || is_given("segments")) {
      return left_out("has constraints or segments, and is left out; write them as targeting");
    }
    if (is_given("variants")) left_out("has variants, which are left out");
    if (name == "default") {
      share.is_everybody = true;
    } else if (name == "userWithId") {
      for (const std::string& id : Split(TextOf(Member(parameters, "userIds")), ',')) {
        const size_t first = id.find_first_not_of(' ');
        if (first == std::string::npos) continue;
        share.users.insert(id.substr(first, id.find_last_not_of(' ') - first + 1));
      }
    } else if (name == "flexibleRollout") {
      const std::string stickiness = TextOf(Member(parameters, "stickiness"));
      if (stickiness != "" && stickiness != "default" && stickiness != "userId" &&
          stickiness != "random") {
        left_out(fmt::format("sticks to {}; ask with that as the targeting key", stickiness));
      }
      Percentage(Member(parameters, "rollout"), TextOf(Member(parameters, "groupId")),
                 stickiness == "random", left_out, share);
    } else if (name.rfind("gradualRollout", 0) == 0) {
      if (name == "gradualRolloutSessionId")
        left_out("sticks to sessionId; ask with that as the targeting key");
      Percentage(Member(parameters, "percentage"), TextOf(Member(parameters, "groupId")),
                 name == "gradualRolloutRandom", left_out, share);
    } else {
      share.is_unknown = true;
      left_out("is not known; the flag comes disabled");
    }
  }

  template <class LeftOut>
  static void Percentage(const Json& value, const std::string& group, bool is_random,
                         const LeftOut& left_out, Share& share) {
    const std::optional<double> percent = PercentOf(value);
    if (!percent) {
      share.is_unknown = true;
      return left_out(fmt::format("has no percentage ({}); the flag comes disabled", Show(value)));
    }
    if (share.percent > 0) {
      left_out("is a second percentage; the larger one stands, without those of the smaller");
    }
    if (*percent <= share.percent) return;
    share.percent = *percent;
    share.seed = group;
    share.is_random = is_random;
    if (*percent < 100) left_out("keeps its percentage, but Weir hashes otherwise: others get in");
  }

  // A dependency that Weir cannot ask for disables the flag.
  void Dependencies(const Json& feature, const std::string& flag, const std::string& path,
                    const std::set<std::string>& names, Json& spec, Share& share) {
    const Json dependencies = Member(feature, "dependencies");
    if (!dependencies.is_array()) return;
    for (const Json& dependency : dependencies) {
      const std::string parent = TextOf(Member(dependency, "feature"));
      const bool is_plain = Member(dependency, "enabled") != false &&
                            Member(dependency, "variants").empty() && names.contains(parent) &&
                            parent.find('.') == std::string::npos;
      if (is_plain) {
        spec["requires"].push_back(parent);
      } else {
        share.is_unknown = true;
        Warn(path + ".dependencies", flag,
             fmt::format("depends on \"{}\" in a way that requires cannot say; it comes disabled",
                         parent));
      }
    }
  }

  static void Fill(const Share& share, const std::string& flag, Json& spec) {
    const double percent = share.is_everybody ? 100 : share.percent;
    spec["rollout_percentage"] = percent;
    spec["hash_seed"] = share.seed.empty() ? flag : share.seed;
    if (share.is_random && !share.is_everybody) spec["strategy"] = "random";
    if (!share.users.empty() && percent < 100) spec["allowlist"] = share.users;
    if (!share.users.empty() && percent == 0) {
      spec["allowlist_only"] = true;
      spec["rollout_percentage"] = 100;
    }
  }

  void Words(const Json& feature, const std::string& flag, const std::string& path, Json& spec) {
    const std::string description = TextOf(Member(feature, "description"));
    if (!description.empty()) spec["description"] = description;
    if (Member(feature, "stale") == true) spec["tags"].push_back("stale");
    if (!Member(feature, "variants").empty()) {
      Warn(path + ".variants", flag,
           "has variants, which are left out; write them as a flag with variants");
    }
  }

  bool Check(const std::string& name, const std::string& path, const Json& spec) {
    Errors errors;
    domain::Resource resource;
    resource.name = name;
    resource.spec = SpecFromJson(domain::Kind::kFlag, spec, errors);
    if (errors.empty()) errors = domain::Validate(resource);
    for (const domain::Violation& e : errors)
      out_.errors.push_back({file_, 0, path, e.path + " " + e.message});
    return errors.empty();
  }

  const std::string& file_;
  FileContent& out_;
  std::map<std::string, Json> strategies_;  // by feature; lists
  std::map<std::string, Json> switches_;
};

}  // namespace

FileContent ReadUnleash(std::string_view text, const std::string& file) {
  FileContent content;
  const Result<Json> json = ParseJson(text);
  if (!json.ok()) {
    content.is_parsed = false;
    content.errors.push_back({file, 0, "", json.status().message()});
    return content;
  }
  Features(file, content).Read(*json);
  return content;
}

}  // namespace weir::codec
