// SPDX-License-Identifier: Apache-2.0
#include "shared/codec/deployment_file.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <set>

#include "shared/base/text.h"
#include "shared/codec/deployment_alerts.h"
#include "shared/codec/deployment_fields.h"
#include "shared/codec/document_check.h"
#include "shared/codec/rollout_text.h"

namespace weir::codec {
namespace {

// What no name may hold becomes "-"; `fallback` where that is no name either.
std::string NameOf(std::string text, const char* fallback) {
  for (char& c : text) {
    const bool is_plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.';
    if (!is_plain) c = '-';
  }
  return IsResourceName(text) ? text : fallback;
}

// "dir/production_deployment.yaml" → "production_deployment".
std::string StemOf(const std::string& file) {
  const std::string stem = NameOf(std::filesystem::path(file).stem().string(), "deployment");
  return stem == "stdin" ? "deployment" : stem;
}

constexpr std::array kSections = {"experiments", "monitoring", "rollback", "emergency_contacts"};

class DeploymentFile {
 public:
  DeploymentFile(const YamlDocument& document, const std::string& file, FileContent& out)
      : text_(document), file_(file), out_(out) {}

  void Read() {
    Errors errors;
    Json block = text_.value["deployment"];
    for (const auto& [key, value] : text_.value.items()) {
      if (key == "deployment") continue;
      const bool is_ours = std::find(kSections.begin(), kSections.end(), key) != kSections.end();
      if (!is_ours || block.contains(key)) {
        errors.push_back({key, is_ours ? "is given within deployment already"
                                       : "is not known beside deployment; give it a file"});
      } else {
        block[key] = value;
        beside_.insert(key);
      }
    }
    deployment_ = FromJson<Deployment>(block, "deployment", errors);
    if (!errors.empty()) return Fail(errors);
    name_ = deployment_.name.empty() ? StemOf(file_) : deployment_.name;
    if (deployment_.model.empty() && deployment_.flag.empty()) MakeFlag();
    MakeRollout();
    MakePolicy();
    MakeSinks();
    Experiments();
  }

 private:
  // An entry of a mapping or of a list, with where it stands.
  struct Named {
    std::string name;
    std::string path;
    Json value;
  };

  // Where a section stands: within `deployment`, or beside it.
  std::string At(const std::string& section) const {
    return beside_.contains(section) ? section : "deployment." + section;
  }
  void Fail(const Errors& errors) {
    for (const domain::Violation& e : errors)
      out_.errors.push_back({file_, text_.LineOf(e.path), e.path, e.message});
  }
  void Warn(const std::string& path, const std::string& message) {
    out_.warnings.push_back({file_, text_.LineOf(path), path, message});
  }

  // The entries of a mapping in the order of the text, or of a list of {name: …} in its order.
  std::vector<Named> InOrder(const Json& value, const std::string& path, Errors& errors) {
    std::vector<Named> entries;
    if (value.is_array()) {
      for (size_t i = 0; i < value.size(); ++i) {
        const std::string at = fmt::format("{}[{}]", path, i);
        const bool has_name =
            value[i].is_object() && value[i].contains("name") && value[i]["name"].is_string();
        if (!has_name) errors.push_back({at, "has no name"});
        if (has_name) entries.push_back({value[i]["name"], at, value[i]});
      }
      return entries;
    }
    if (!value.is_object()) {
      errors.push_back({path, Show(value) + ", but a mapping is expected"});
      return entries;
    }
    for (const auto& [name, entry] : value.items())
      entries.push_back({name, path + "." + name, entry});
    std::stable_sort(entries.begin(), entries.end(), [this](const Named& a, const Named& b) {
      return text_.PlaceOf(a.path) < text_.PlaceOf(b.path);
    });
    for (size_t i = 1; i < entries.size(); ++i) {
      if (text_.PlaceOf(entries[i].path) != text_.PlaceOf(entries[i - 1].path)) continue;
      errors.push_back(
          {entries[i].path,
           fmt::format("stands in one line with {}, so that their order cannot be told; write a "
                       "list of {{name: …}}",
                       entries[i - 1].name)});
    }
    return entries;
  }

  // Checks the document and keeps it if nothing is wrong. `paths`: from its spec to the file's.
  void Add(ResourceDocument document, const WrittenPaths& paths, Errors errors) {
    Errors incomplete;
    Errors wrong;
    CheckAlone(document, wrong, incomplete);
    for (const domain::Violation& e : wrong)
      errors.push_back({WrittenPath(paths, e.path), e.message});
    Fail(errors);
    if (!errors.empty()) return;
    for (const domain::Violation& warning : WarningsOf(document))
      Warn(WrittenPath(paths, warning.path), warning.message);
    out_.documents.push_back(std::move(document));
  }
  ResourceDocument Document(domain::Kind kind, const std::string& name, const std::string& path) {
    ResourceDocument document;
    document.kind = kind;
    document.name = name;
    document.file = file_;
    document.line = text_.LineOf(path);
    return document;
  }

  void MakeFlag() {
    deployment_.flag = name_;
    ResourceDocument flag = Document(domain::Kind::kFlag, name_, "deployment");
    flag.spec = {{"enabled", true}, {"rollout_percentage", 0}};
    flag.only_if_absent = true;  // afterwards the rollout moves it
    Warn("deployment",
         fmt::format("names no subject, so flag \"{}\" is made, at 0 % until the rollout moves it; "
                     "give deployment.flag, or deployment.model and candidate, for another",
                     name_));
    Add(std::move(flag), {{"metadata.name", "deployment.name"}, {"spec", "deployment"}}, {});
  }

  void MakeRollout() {
    Errors errors;
    WrittenPaths paths;
    ResourceDocument rollout = Document(domain::Kind::kRollout, name_, "deployment");
    Json& spec = rollout.spec;
    for (const auto& [key, value] :
         {std::pair("model", deployment_.model), std::pair("candidate", deployment_.candidate),
          std::pair("flag", deployment_.flag), std::pair("hash_key", deployment_.hash_key),
          std::pair("hash_seed", deployment_.hash_seed)}) {
      if (!value.empty()) spec[key] = value;
    }
    if (!deployment_.nodes.empty()) spec["nodes"] = ToJson(deployment_.nodes);
    const bool needs_approval = Rollback(rollout, errors);
    Alerts(spec, paths, errors);
    // Without an order nothing can be said of what follows what.
    if (!Phases(spec, needs_approval, paths, errors)) return Fail(errors);
    paths.emplace_back("metadata.name", "deployment.name");
    paths.emplace_back("spec.rollback", At("rollback"));
    paths.emplace_back("spec", "deployment");
    Add(std::move(rollout), paths, std::move(errors));
  }

  // True when every phase waits for somebody's approval.
  bool Rollback(ResourceDocument& rollout, Errors& errors) {
    const std::string path = At("rollback");
    Json block = deployment_.rollback.is_null() ? Json::object() : deployment_.rollback;
    if (!block.is_object()) {
      errors.push_back({path, Show(block) + ", but a mapping is expected"});
      return false;
    }
    bool needs_approval = false;
    if (const auto found = block.find("manual_approval_required"); found != block.end()) {
      JsonReader::Read(*found, path + ".manual_approval_required", needs_approval, errors);
      block.erase("manual_approval_required");
    }
    Contacts(deployment_.emergency_contacts, At("emergency_contacts"), rollout, errors);
    if (const auto found = block.find("emergency_contacts"); found != block.end()) {
      Contacts(*found, path + ".emergency_contacts", rollout, errors);
      block.erase("emergency_contacts");
    }
    if (!block.empty()) rollout.spec["rollback"] = std::move(block);
    return needs_approval;
  }

  void Contacts(const Json& contacts, const std::string& path, ResourceDocument& rollout,
                Errors& errors) {
    if (contacts.is_null()) return;
    std::vector<Contact> list;
    JsonReader::Read(contacts, path, list, errors);
    std::vector<std::string> names;
    for (const Contact& contact : list)
      names.push_back(contact.team + (contact.oncall ? " (on call)" : ""));
    if (contacts_.empty()) contacts_path_ = path;
    contacts_.insert(contacts_.end(), list.begin(), list.end());
    if (!names.empty()) rollout.metadata["annotations"]["emergency_contacts"] = Join(names, ", ");
  }

  // What a Policy can watch goes into one. Of anything else each level becomes a trigger that
  // alerts, after those that roll back.
  void Alerts(Json& spec, WrittenPaths& paths, Errors& errors) {
    if (deployment_.monitoring.is_null()) return;
    const auto monitoring = FromJson<Monitoring>(deployment_.monitoring, At("monitoring"), errors);
    if (!monitoring.dashboards.empty()) {
      Warn(At("monitoring") + ".dashboards",
           fmt::format("are left out ({}): Weir has no dashboards; `weir rollout watch` and "
                       "/metrics show what they would",
                       Join(monitoring.dashboards, ", ")));
    }
    std::map<std::string, Levels> others;
    for (const auto& [metric, levels] : monitoring.alerts)
      (IsWatchedByPolicies(metric) ? alerts_ : others)[metric] = levels;
    if (others.empty()) return;
    Json& rollback = spec["rollback"];
    const char* key = rollback.contains("automatic_triggers") ? "automatic_triggers" : "triggers";
    if (!rollback.contains(key)) rollback[key] = Json::array();
    if (!rollback[key].is_array()) return;  // refused when the spec is read
    for (const auto& [metric, levels] : others) {
      for (const auto& [severity, threshold] :
           {std::pair("warning", levels.warning), std::pair("critical", levels.critical)}) {
        if (threshold.is_null()) continue;
        const std::string at = fmt::format("spec.rollback.{}[{}]", key, rollback[key].size());
        const std::string written =
            fmt::format("{}.alerts.{}.{}", At("monitoring"), metric, severity);
        paths.emplace_back(at + ".threshold", written);
        paths.emplace_back(at, written);
        rollback[key].push_back({{"name", fmt::format("{}_{}", metric, severity)},
                                 {"metric", metric},
                                 {"comparison", ">"},
                                 {"threshold", threshold},
                                 {"severity", severity},
                                 {"do", "alert"}});
      }
    }
  }

  void MakePolicy() {
    if (alerts_.empty()) return;
    Errors errors;
    WrittenPaths paths;
    const std::string at = At("monitoring") + ".alerts";
    ResourceDocument policy = Document(domain::Kind::kPolicy, name_, at);
    policy.spec = PolicyOfAlerts(alerts_, deployment_.model, at, paths, errors);
    if (!errors.empty()) return Fail(errors);
    if (policy.spec["slos"].empty()) return;
    if (deployment_.model.empty())
      Warn(at, "watch every model, since the deployment names none");
    policy.spec["description"] = "the alerts of the deployment " + name_;
    paths.emplace_back("metadata.name", "deployment.name");
    paths.emplace_back("spec", at);
    Add(std::move(policy), paths, {});
  }

  void MakeSinks() {
    std::vector<std::string> made;
    for (const Contact& contact : contacts_) {
      const std::string name = NameOf(contact.team, "contact");
      if (std::find(made.begin(), made.end(), name) != made.end()) continue;
      ResourceDocument sink = Document(domain::Kind::kSink, name, contacts_path_);
      sink.spec = SinkOfContact(contact);
      sink.only_if_absent = true;  // somebody gives it an address
      Add(std::move(sink), {{"spec", contacts_path_}}, {});
      made.push_back(name);
    }
    if (made.empty()) return;
    Warn(contacts_path_,
         fmt::format("name no address, so {} {} told in the control plane's log, unless sinks of "
                     "{} stand already: give the sink{} a format and a url",
                     Join(made, ", "), made.size() == 1 ? "is" : "are",
                     made.size() == 1 ? "this name" : "these names", made.size() == 1 ? "" : "s"));
  }

  bool Phases(Json& spec, bool needs_approval, WrittenPaths& paths, Errors& errors) {
    spec["phases"] = Json::array();
    const size_t before = errors.size();
    std::vector<Named> phases = InOrder(deployment_.phases, "deployment.phases", errors);
    if (errors.size() != before) return false;
    for (Named& phase : phases) {
      if (!phase.value.is_object()) {
        errors.push_back({phase.path, Show(phase.value) + ", but a mapping is expected"});
        continue;
      }
      phase.value["name"] = phase.name;
      if (needs_approval) {
        if (!phase.value.contains("gates")) phase.value["gates"] = Json::array();
        if (phase.value["gates"].is_array())
          phase.value["gates"].push_back({{"type", "manual_approval"}});
      }
      paths.emplace_back(fmt::format("spec.phases[{}]", spec["phases"].size()), phase.path);
      spec["phases"].push_back(std::move(phase.value));
    }
    return true;
  }

  void Experiments() {
    Errors errors;
    if (deployment_.experiments.is_null()) return;
    const std::string path = At("experiments");
    for (const Named& experiment : InOrder(deployment_.experiments, path, errors))
      MakeExperiment(experiment);
    Fail(errors);
  }

  void MakeExperiment(const Named& named) {
    Errors errors;
    Json value = named.value;
    if (value.is_object()) value.erase("name");
    const auto block = FromJson<ExperimentBlock>(value, named.path, errors);
    if (!block.enabled) {
      Fail(errors);
      return Warn(named.path, "is not enabled, so no Experiment is made of it");
    }
    ResourceDocument experiment = Document(domain::Kind::kExperiment, named.name, named.path);
    for (const auto& [key, text] :
         {std::pair("hash_key", block.hash_key), std::pair("hash_seed", block.hash_seed),
          std::pair("description", block.description)}) {
      if (!text.empty()) experiment.spec[key] = text;
    }
    WrittenPaths paths;
    Json notes = Json::object();
    for (const Named& entry : InOrder(block.groups, named.path + ".groups", errors)) {
      const auto group = FromJson<Group>(entry.value, entry.path, errors);
      Json& groups = experiment.spec["groups"];
      paths.emplace_back(fmt::format("spec.groups[{}]", groups.size()), entry.path);
      groups.push_back({{"name", entry.name}, {"weight", group.weight}});
      if (!group.configuration.is_null())
        notes["configuration." + entry.name] = group.configuration.dump();
    }
    paths.emplace_back("spec", named.path);
    if (!block.success_metrics.empty())
      notes["success_metrics"] = Join(block.success_metrics, ", ");
    if (!block.duration.empty()) notes["duration"] = block.duration;
    if (block.minimum_sample_size > 0)
      notes["minimum_sample_size"] = std::to_string(block.minimum_sample_size);
    if (!notes.empty()) {
      std::vector<std::string> kept;
      for (const auto& [key, note] : notes.items()) kept.push_back(key);
      Warn(named.path, fmt::format("keeps {} as annotations, which Weir does not act on: an "
                                   "Experiment assigns keys to groups",
                                   Join(kept, ", ")));
      experiment.metadata["annotations"] = std::move(notes);
    }
    Add(std::move(experiment), paths, std::move(errors));
  }

  const YamlDocument& text_;
  const std::string& file_;
  FileContent& out_;
  Deployment deployment_;
  std::set<std::string> beside_;  // sections that stand beside `deployment`
  std::string name_;
  std::map<std::string, Levels> alerts_;  // that a Policy watches
  std::vector<Contact> contacts_;
  std::string contacts_path_;
};

}  // namespace

bool LooksLikeDeploymentFile(const Json& value) {
  if (!value.is_object() || value.contains("apiVersion") || value.contains("kind")) return false;
  const auto deployment = value.find("deployment");
  return deployment != value.end() && deployment->is_object() && deployment->contains("phases") &&
         (deployment->at("phases").is_structured());
}

void ReadDeploymentFile(const YamlDocument& document, const std::string& file, FileContent& out) {
  DeploymentFile(document, file, out).Read();
}

int LineThatLostItsIndentation(std::string_view text) {
  int number = 0;
  bool is_after = false;
  for (const std::string& line : Split(text, '\n')) {
    ++number;
    if (is_after) return line.rfind("phases:", 0) == 0 ? number - 1 : 0;
    is_after = line.rfind("deployment:", 0) == 0;
  }
  return 0;
}

}  // namespace weir::codec
