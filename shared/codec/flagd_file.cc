// SPDX-License-Identifier: Apache-2.0
#include "shared/codec/flagd_file.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "shared/codec/domain_fields.h"
#include "shared/codec/flag_check.h"
#include "shared/targeting/targeting.h"

namespace weir::codec {
namespace {

constexpr std::array kIgnored = {"source", "selector"};
constexpr int kDeepestFlagd = 64;
constexpr size_t kMaxEvaluatorName = 253;  // bytes
constexpr size_t kMaxSuggested = 256;      // evaluators among which the nearest is looked for
// Of one file: rules with their references resolved (or why they are not), and the file's metadata
// under every flag. All of them multiply what stands there once.
constexpr size_t kMaxFileBytes = 32 << 20;

template <class Names>
bool IsAmong(const Names& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string TooMuch() {
  return fmt::format(
      "makes the file larger than {} bytes with references resolved and the file's "
      "metadata under every flag; split the file",
      kMaxFileBytes);
}

// Copies a rule with every {"$ref": name} replaced by that evaluator. Refuses what does not end and
// what grows beyond a rule's limit, or with the rules before beyond the file's.
class Inliner {
 public:
  // Counts into `file_bytes`.
  Inliner(const Json& evaluators, size_t& file_bytes)
      : evaluators_(evaluators), file_bytes_(file_bytes) {}

  Result<Json> Resolve(const Json& rule) {
    Json resolved = Copy(rule, 0);
    file_bytes_ += error_.size();
    if (!error_.empty()) return InvalidArgument("targeting", error_);
    return resolved;
  }

 private:
  Json Copy(const Json& rule, int depth) {
    if (!error_.empty()) return nullptr;
    if (depth > kDeepestFlagd) return Fail(fmt::format("is nested deeper than {}", kDeepestFlagd));
    if (rule.is_object()) {
      if (const auto ref = rule.find("$ref"); ref != rule.end()) return Inline(rule, *ref, depth);
      Json copy = Json::object();
      for (const auto& [key, value] : rule.items()) {
        if (!Count(key.size() + 4)) return nullptr;
        copy[key] = Copy(value, depth + 1);
      }
      return copy;
    }
    if (rule.is_array()) {
      Json copy = Json::array();
      for (const Json& item : rule) {
        if (!Count(1)) return nullptr;
        copy.push_back(Copy(item, depth + 1));
      }
      return copy;
    }
    Count(Dump(rule).size());
    return rule;
  }

  Json Inline(const Json& rule, const Json& ref, int depth) {
    if (rule.size() != 1 || !ref.is_string())
      return Fail("has a $ref that is not {\"$ref\": NAME}");
    const std::string& name = ref.get_ref<const std::string&>();
    if (name.size() > kMaxEvaluatorName) {
      return Fail(fmt::format("refers to a name of {} bytes; at most {} are allowed", name.size(),
                              kMaxEvaluatorName));
    }
    if (!Count(name.size())) return nullptr;
    const auto evaluator = evaluators_.find(name);
    if (evaluator == evaluators_.end()) {
      std::vector<std::string> names;
      for (const auto& [known, unused] : evaluators_.items()) {
        if (names.size() < kMaxSuggested) names.push_back(known);
      }
      return Fail(fmt::format("refers to \"{}\", which is not one of $evaluators{}", name,
                              DidYouMean(name, names)));
    }
    if (IsAmong(open_, name)) {
      return Fail(fmt::format("refers to \"{}\", which leads back to itself ({})", name,
                              Join(open_, " -> ")));
    }
    open_.push_back(name);
    Json copy = Copy(*evaluator, depth + 1);
    open_.pop_back();
    return copy;
  }

  bool Count(size_t bytes) {
    bytes_ += bytes;
    file_bytes_ += bytes;
    if (bytes_ > targeting::kMaxRuleBytes) {
      Fail(fmt::format("is more than {} bytes with its references resolved",
                       targeting::kMaxRuleBytes));
    } else if (file_bytes_ > kMaxFileBytes) {
      Fail(TooMuch());
    }
    return error_.empty();
  }
  Json Fail(std::string why) {
    if (error_.empty()) error_ = std::move(why);
    return nullptr;
  }

  const Json& evaluators_;
  std::vector<std::string> open_;  // evaluators that we are in
  size_t& file_bytes_;
  size_t bytes_ = 0;
  std::string error_;
};

class FlagdFile {
 public:
  FlagdFile(const std::string& file, const std::function<int(const std::string&)>& line_of,
            FileContent& out)
      : file_(file), line_of_(line_of), out_(out) {}

  void Read(const Json& value) {
    for (const auto& [key, part] : value.items()) {
      if (key == "$evaluators" && part.is_object()) {
        evaluators_ = part;
      } else if (key == "metadata" && part.is_object()) {
        SetMetadata(part);
      } else if (key == "$evaluators" || key == "metadata") {
        Error(key, Show(part) + ", but a mapping is expected");
      } else if (key != "flags" && key != "$schema") {
        Warn(key, "is not a part of flagd's definitions that Weir reads; ignored");
      }
    }
    if (value.at("flags").is_array()) return ReadList(value.at("flags"));
    for (const auto& [name, flag] : value.at("flags").items()) Flag(name, "flags." + name, flag);
  }

 private:
  void Error(const std::string& path, const std::string& message) {
    out_.errors.push_back({file_, line_of_(path), path, message});
  }
  void Warn(const std::string& path, const std::string& message) {
    out_.warnings.push_back({file_, line_of_(path), path, message});
  }

  void SetMetadata(const Json& metadata) {
    domain::FlagSpec spec;
    spec.metadata.text = Dump(metadata);
    const size_t errors_before = out_.errors.size();
    for (const domain::Violation& e : CheckFlag(spec)) Error(e.path.substr(5), e.message);
    if (out_.errors.size() > errors_before) return;
    metadata_ = metadata;
    metadata_bytes_ = spec.metadata.text.size();
  }

  void ReadList(const Json& flags) {
    for (size_t i = 0; i < flags.size(); ++i) {
      const std::string path = fmt::format("flags[{}]", i);
      const Json key = flags[i].is_object() ? flags[i].value("key", Json()) : Json();
      if (!key.is_string()) {
        out_.disabled.push_back({file_, line_of_(path), path, "has no key; left out"});
        continue;
      }
      Json flag = flags[i];
      flag.erase("key");
      Flag(key.get<std::string>(), path, flag);
    }
  }

  void Flag(const std::string& name, const std::string& path, const Json& flag) {
    if (!IsResourceName(name)) {
      out_.disabled.push_back(
          {file_, line_of_(path), path,
           fmt::format("\"{}\" is not a name: 1..253 letters, digits, . _ -, starting with a "
                       "letter or digit; left out",
                       name)});
      return;
    }
    Errors wrong;
    Json spec = SpecOf(path, flag, wrong);
    if (wrong.empty()) Check(name, spec, wrong);
    if (!wrong.empty()) {
      const domain::Violation& first = wrong.front();
      const bool is_off = flag.is_object() && flag.value("state", Json()) == "DISABLED";
      spec = {{"enabled", !is_off},
              {"malformed", first.path.empty() ? first.message : first.path + " " + first.message}};
    }
    for (const domain::Violation& e : wrong) {
      const std::string at = e.path.empty() ? path : path + "." + e.path;
      out_.disabled.push_back({file_, line_of_(at), at, e.message});
    }
    out_.documents.push_back({.kind = domain::Kind::kFlag,
                              .name = name,
                              .spec = std::move(spec),
                              .file = file_,
                              .line = line_of_(path),
                              .is_partial = false,
                              .when_new = {},
                              .only_if_absent = false});
  }

  // Paths in `wrong` are below the flag.
  Json SpecOf(const std::string& path, const Json& flag, Errors& wrong) {
    Json spec = Json::object();
    if (!flag.is_object()) {
      wrong.push_back({"", Show(flag) + ", but a mapping is expected"});
      return spec;
    }
    static const std::vector<std::string> kKnown = {"state", "variants", "defaultVariant",
                                                    "targeting", "metadata"};
    for (const auto& [key, value] : flag.items()) {
      if (IsAmong(kIgnored, key)) {
        Warn(path + "." + key, "says where flagd found the flag; ignored");
      } else if (!IsAmong(kKnown, key)) {
        Warn(path + "." + key, "is not a known key" + DidYouMean(key, kKnown) + "; ignored");
      }
    }
    State(flag, spec, wrong);
    Variants(flag, spec, wrong);
    Targeting(flag, spec, wrong);
    bytes_ += metadata_bytes_;
    if (bytes_ > kMaxFileBytes && metadata_bytes_ > 0) {
      wrong.push_back({"metadata", TooMuch()});
      return spec;
    }
    Json metadata = metadata_;
    if (flag.contains("metadata") && !flag["metadata"].is_object()) {
      wrong.push_back({"metadata", Show(flag["metadata"]) + ", but a mapping is expected"});
    } else if (flag.contains("metadata")) {
      metadata.update(flag["metadata"]);
    }
    if (!metadata.empty()) spec["metadata"] = std::move(metadata);
    return spec;
  }

  static void State(const Json& flag, Json& spec, Errors& wrong) {
    const Json state = flag.value("state", Json());
    if (state != "ENABLED" && state != "DISABLED") {
      wrong.push_back({"state", state.is_null() ? "is missing; give ENABLED or DISABLED"
                                                : Show(state) + ", but ENABLED or DISABLED is "
                                                                "expected"});
    }
    spec["enabled"] = state == "ENABLED";
  }

  static void Variants(const Json& flag, Json& spec, Errors& wrong) {
    const Json variants = flag.value("variants", Json());
    if (!variants.is_object() || variants.empty()) {
      wrong.push_back({"variants", variants.is_null() ? "is missing"
                                   : variants.is_object()
                                       ? "has none"
                                       : Show(variants) + ", but a mapping is expected"});
      return;
    }
    spec["variants"] = variants;
    const Json default_variant = flag.value("defaultVariant", Json());
    if (default_variant.is_string() && default_variant != "") {
      spec["default_variant"] = default_variant;
    } else if (!default_variant.is_null()) {
      wrong.push_back({"defaultVariant", Show(default_variant) + ", but a variant's name is "
                                                                 "expected"});
    }
  }

  void Targeting(const Json& flag, Json& spec, Errors& wrong) {
    const auto targeting = flag.find("targeting");
    if (targeting == flag.end() || targeting->is_null()) return;
    if (targeting->is_object() && targeting->empty()) return;  // as flagd: no rule
    Result<Json> resolved = Inliner(evaluators_, bytes_).Resolve(*targeting);
    if (resolved.ok()) {
      spec["targeting"] = *std::move(resolved);
    } else {
      wrong.push_back({"targeting", resolved.status().message()});
    }
  }

  // Paths of the spec → paths of the definition.
  static void Check(const std::string& name, const Json& json, Errors& wrong) {
    domain::Resource resource;
    resource.name = name;
    resource.spec = SpecFromJson(domain::Kind::kFlag, json, wrong);
    if (wrong.empty()) wrong = domain::Validate(resource);
    for (domain::Violation& e : CheckFlag(resource.As<domain::FlagSpec>()))
      wrong.push_back(std::move(e));
    for (domain::Violation& e : wrong) {
      if (e.path.rfind("spec.", 0) == 0) e.path = e.path.substr(5);
      if (e.path == "default_variant") e.path = "defaultVariant";
    }
  }

  const std::string& file_;
  const std::function<int(const std::string&)>& line_of_;
  FileContent& out_;
  Json evaluators_ = Json::object();
  Json metadata_ = Json::object();  // of the file
  size_t metadata_bytes_ = 0;
  size_t bytes_ = 0;  // of kMaxFileBytes
};

// Export
// ------------------------------------------------------------------------------------------------

}  // namespace

bool LooksLikeFlagdFile(const Json& value) {
  if (!value.is_object() || value.contains("apiVersion") || value.contains("kind")) return false;
  const auto flags = value.find("flags");
  if (flags == value.end() || !flags->is_structured()) return false;
  const auto is_definition = [](const Json& flag) {
    return flag.is_object() && (flag.contains("state") || flag.contains("variants"));
  };
  return value.contains("$schema") || value.contains("$evaluators") || flags->is_array() ||
         flags->empty() || std::any_of(flags->begin(), flags->end(), is_definition);
}

void ReadFlagdFile(const Json& value, const std::string& file,
                   const std::function<int(const std::string&)>& line_of, FileContent& out) {
  FlagdFile(file, line_of, out).Read(value);
}

}  // namespace weir::codec
