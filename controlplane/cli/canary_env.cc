// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/canary_env.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "shared/base/text.h"
#include "shared/domain/validate.h"

namespace weir::control::cli {
namespace {

using codec::Json;

// Words as a shell would have them, quotes taken off; comments and continued lines are none.
std::vector<std::string> WordsOf(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool is_word = false;
  char quote = 0;
  const auto end_word = [&] {
    if (is_word) words.push_back(word);
    word.clear();
    is_word = false;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else {
        word += c;
      }
    } else if (c == '"' || c == '\'') {
      quote = c;
      is_word = true;
    } else if (c == '\\' && i + 1 < text.size()) {
      ++i;
      if (text[i] != '\n' && text[i] != '\r') word += text[i];
    } else if (std::isspace(static_cast<unsigned char>(c)) != 0 || c == ';') {
      end_word();
    } else if (c == '#' && !is_word) {
      i = std::min(text.find('\n', i), text.size());
    } else {
      word += c;
      is_word = true;
    }
  }
  end_word();
  return words;
}

Result<bool> ReadSwitch(const std::string& name, std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (text == "true" || text == "1" || text == "yes" || text == "on") return true;
  if (text == "false" || text == "0" || text == "no" || text == "off") return false;
  return InvalidArgument(name, fmt::format("\"{}\" is neither true nor false", text));
}

Result<double> ReadPercent(const std::string& name, const std::string& text) {
  char* end = nullptr;
  const double percent = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || *end != '\0')
    return InvalidArgument(name, fmt::format("\"{}\" is not a percentage in 0..100", text));
  const auto fine = domain::ToFinePercent(percent);
  if (!fine.ok()) return InvalidArgument(name, fine.status().message());
  return percent;
}

Status CheckUrl(const std::string& name, const std::string& url) {
  if (url.empty() || url.rfind("http://", 0) == 0 || url.rfind("https://", 0) == 0)
    return OkStatus();
  return InvalidArgument(name, fmt::format("\"{}\" is not a URL such as http://host:8000", url));
}

Json Resource(const char* kind, const std::string& name, Json spec) {
  return {{"apiVersion", "weir/v1"},
          {"kind", kind},
          {"metadata", {{"name", name}}},
          {"spec", std::move(spec)}};
}

class Planner {
 public:
  Planner(const CanaryEnv& env, const CanaryWorld& world, const CanaryOptions& options)
      : env_(env), world_(world), options_(options) {}

  Result<CanaryPlan> Plan() {
    if (!world_.rollout.is_null()) {
      before_ = world_.rollout["spec"];
      state_ = world_.rollout["status"].value("state", "pending");
    }
    candidate_ = env_.version.empty() ? before_.value("candidate", "") : env_.version;
    if (candidate_.empty()) {
      return InvalidArgument("ML_CANARY_MODEL_VERSION",
                             "is missing, and no rollout of the model runs that would name it");
    }
    WEIR_RETURN_IF_ERROR(PlanModel());
    if (stable_ == candidate_) {
      plan_.lines.push_back(
          fmt::format("{} is the stable version of {} already: nothing to roll "
                      "out",
                      candidate_, options_.model));
      return plan_;
    }
    WEIR_RETURN_IF_ERROR(PlanRollout());
    return plan_;
  }

 private:
  bool IsActive() const {
    domain::RolloutStatus status;
    status.state = state_;
    return domain::IsActive(status);
  }
  bool IsNew() const { return world_.rollout.is_null(); }

  // The two services, unless the model stands and nothing is said of them.
  Status PlanModel() {
    const Json spec = world_.model.is_null() ? Json::object() : world_.model["spec"];
    const Json versions = spec.value("versions", Json::object());
    const std::string standing = spec.value("stable", "");
    stable_ = !standing.empty()                 ? standing
              : options_.stable_version.empty() ? "1.0.0"
                                                : options_.stable_version;
    const std::string named = options_.stable_version.empty() ? stable_ : options_.stable_version;
    Json services = Json::object();
    WEIR_RETURN_IF_ERROR(AddService(named, env_.stable_url, versions, "ML_INFERENCE_SERVICE_URL",
                                    "--stable-version", services));
    WEIR_RETURN_IF_ERROR(AddService(candidate_, env_.canary_url, versions, "ML_CANARY_SERVICE_URL",
                                    "ML_CANARY_MODEL_VERSION", services));
    if (services.empty()) return OkStatus();
    plan_.resources.push_back(
        Resource("Model", options_.model, {{"stable", stable_}, {"versions", services}}));
    return OkStatus();
  }

  Status AddService(const std::string& version, const std::string& url, const Json& versions,
                    const char* variable, const char* named_by, Json& services) {
    if (url.empty()) {
      if (versions.contains(version)) return OkStatus();
      return InvalidArgument(variable, fmt::format("is missing, and {} has no version {} ({})",
                                                   options_.model, version, named_by));
    }
    if (versions.contains(version) && versions[version].contains("blob")) {
      return InvalidArgument(variable, fmt::format("would make a service of {} {}, which is a file",
                                                   options_.model, version));
    }
    if (services.contains(version)) {
      return InvalidArgument(variable, fmt::format("is given for version {}, which is the stable "
                                                   "one as well",
                                                   version));
    }
    services[version] = {{"runtime", options_.runtime}, {"url", url}};
    plan_.lines.push_back(fmt::format("{} {} is the service at {} (runtime {})", options_.model,
                                      version, url, options_.runtime));
    return OkStatus();
  }

  Status PlanRollout() {
    plan_.rollout = IsNew() ? CanaryRolloutName(options_.model, candidate_)
                            : world_.rollout["metadata"].value("name", "");
    const bool is_enabled = env_.enabled.value_or(IsActive());
    if (state_ == "promoted" || (is_enabled && state_ == "rolling_back")) {
      return FailedPrecondition(fmt::format("rollout {} is {}; `weir rollout show {}` says more",
                                            plan_.rollout, state_, plan_.rollout));
    }
    if (!is_enabled && IsActive()) {
      plan_.verb = "abort";
      plan_.lines.push_back(fmt::format(
          "rollout {} is aborted: everybody gets {} (ML_CANARY_ENABLED)", plan_.rollout, stable_));
      return OkStatus();
    }
    WEIR_ASSIGN_OR_RETURN(const double percent, Percent());
    plan_.resources.push_back(Resource("Rollout", plan_.rollout, Spec(percent, is_enabled)));
    if (is_enabled && (state_ == "aborted" || state_ == "rolled_back")) plan_.verb = "retry";
    Tell(percent, is_enabled);
    return OkStatus();
  }

  Result<double> Percent() const {
    if (env_.percent) return *env_.percent;
    const Json phases = before_.value("phases", Json::array());
    if (!phases.empty()) return phases[0].value("percentage", 0.0);
    if (env_.enabled == false) return 0.0;
    return InvalidArgument("ML_CANARY_TRAFFIC_PERCENT", "is missing");
  }

  // A rollout that stands keeps what else it says.
  Json Spec(double percent, bool is_enabled) const {
    return {{"model", options_.model},
            {"candidate", candidate_},
            {"hash_key", before_.value("hash_key", "user_id")},
            {"start", is_enabled ? "auto" : "manual"},
            {"phases",
             {{{"name", "canary"},
               {"percentage", percent},
               {"gates", {{{"type", "manual_approval"}, {"name", "promotion"}}}}}}}};
  }

  void Tell(double percent, bool is_enabled) {
    const double last = before_.value("phases", Json::array()).empty()
                            ? 0
                            : before_["phases"][0].value("percentage", 0.0);
    if (!is_enabled) {
      plan_.lines.push_back(
          fmt::format("rollout {} does not run: everybody gets {} (ML_CANARY_ENABLED)",
                      plan_.rollout, stable_));
    } else if (IsActive()) {
      plan_.lines.push_back(
          percent == last
              ? fmt::format("rollout {} stays at {} %", plan_.rollout, percent)
              : fmt::format("rollout {} goes from {} % to {} %", plan_.rollout, last, percent));
    } else {
      plan_.lines.push_back(
          fmt::format("rollout {} sends {} % of users to {}, the rest to {}, and takes it back "
                      "when it is worse",
                      plan_.rollout, percent, candidate_, stable_));
    }
    if (!is_enabled) return;
    plan_.lines.push_back(fmt::format(
        "it stays there until ML_CANARY_TRAFFIC_PERCENT is raised and imported again, or `weir "
        "rollout approve {}` makes {} the stable version",
        plan_.rollout, candidate_));
  }

  const CanaryEnv& env_;
  const CanaryWorld& world_;
  const CanaryOptions& options_;
  CanaryPlan plan_;
  Json before_ = Json::object();  // the rollout's spec as it stands
  std::string state_ = "pending";
  std::string stable_;
  std::string candidate_;
};

}  // namespace

std::map<std::string, std::string> ScanVariables(std::string_view text,
                                                 std::vector<std::string>& notes) {
  std::map<std::string, std::string> found;
  const std::vector<std::string> words = WordsOf(text);
  for (size_t i = 0; i < words.size(); ++i) {
    for (const char* name : kCanaryVariables) {
      const std::string& word = words[i];
      std::string value;
      if (word.rfind(std::string(name) + "=", 0) == 0) {
        value = word.substr(word.find('=') + 1);
      } else if (word == std::string(name) + ":" && i + 1 < words.size()) {
        value = words[i + 1];
      } else if (word == name && i + 2 < words.size() && words[i + 1] == "value:") {
        value = words[i + 2];
      } else {
        continue;
      }
      const auto [at, is_first] = found.try_emplace(name, value);
      if (!is_first && at->second != value) {
        notes.push_back(
            fmt::format("{} is given more than once; the last value counts: {}", name, value));
        at->second = value;
      }
    }
  }
  return found;
}

Result<CanaryEnv> ReadCanaryEnv(const std::map<std::string, std::string>& variables) {
  CanaryEnv env;
  const auto text = [&](const char* name) {
    const auto at = variables.find(name);
    return at == variables.end() ? "" : at->second;
  };
  if (const std::string value = text("ML_CANARY_ENABLED"); !value.empty()) {
    WEIR_ASSIGN_OR_RETURN(env.enabled, ReadSwitch("ML_CANARY_ENABLED", value));
  }
  if (const std::string value = text("ML_CANARY_TRAFFIC_PERCENT"); !value.empty()) {
    WEIR_ASSIGN_OR_RETURN(env.percent, ReadPercent("ML_CANARY_TRAFFIC_PERCENT", value));
  }
  env.version = text("ML_CANARY_MODEL_VERSION");
  if (!env.version.empty() && !IsResourceName(env.version)) {
    return InvalidArgument("ML_CANARY_MODEL_VERSION",
                           fmt::format("\"{}\" is not a version's name", env.version));
  }
  env.stable_url = text("ML_INFERENCE_SERVICE_URL");
  env.canary_url = text("ML_CANARY_SERVICE_URL");
  WEIR_RETURN_IF_ERROR(CheckUrl("ML_INFERENCE_SERVICE_URL", env.stable_url));
  WEIR_RETURN_IF_ERROR(CheckUrl("ML_CANARY_SERVICE_URL", env.canary_url));
  const bool says_nothing = !env.enabled && !env.percent && env.version.empty() &&
                            env.stable_url.empty() && env.canary_url.empty();
  if (says_nothing) {
    return InvalidArgument(
        "", "none of " + Join({std::begin(kCanaryVariables), std::end(kCanaryVariables)}, ", ") +
                " is set");
  }
  return env;
}

std::string CanaryRolloutName(const std::string& model, const std::string& version) {
  return model + "-" + version;
}

Result<CanaryPlan> PlanCanary(const CanaryEnv& env, const CanaryWorld& world,
                              const CanaryOptions& options) {
  return Planner(env, world, options).Plan();
}

}  // namespace weir::control::cli
