// SPDX-License-Identifier: Apache-2.0
// Everything that changes many things or goes back: apply, validate, history, revert, undo, and the
// commands of rollouts.
#include <algorithm>
#include <utility>

#include "controlplane/api/core.h"
#include "controlplane/api/problem.h"
#include "shared/base/text.h"
#include "shared/codec/domain_fields.h"
#include "shared/codec/resource.h"

namespace weir::control::api {
namespace {

using codec::Json;
using domain::Kind;

constexpr int kMaxHistory = 1000;

struct ApplyBody {
  Json resources;
  bool dry_run = false;
  bool replace = false;
  Json prune;
  std::string reason;
  std::string source;
};
template <class V>
void Describe(V& v, ApplyBody& f) {
  v(2, "resources", f.resources);
  v(4, "dry_run", f.dry_run);
  v(6, "replace", f.replace);
  v(8, "prune", f.prune);
  v(10, "reason", f.reason);
  v(12, "source", f.source);
}

struct RevertBody {
  uint64_t revision = 0;
  std::string reason;
};
template <class V>
void Describe(V& v, RevertBody& f) {
  v(2, "revision", f.revision, codec::Required());
  v(4, "reason", f.reason);
}

struct UndoBody {
  std::string kind;
  std::string name;
  uint64_t to_revision = 0;
  std::string reason;
};
template <class V>
void Describe(V& v, UndoBody& f) {
  v(2, "kind", f.kind, codec::Required());
  v(4, "name", f.name, codec::Required());
  v(6, "to_revision", f.to_revision);
  v(8, "reason", f.reason);
}

struct CommandBody {
  std::string reason;
  bool full = false;
  bool force = false;
  bool emergency = false;
  bool graceful = false;
};
template <class V>
void Describe(V& v, CommandBody& f) {
  v(2, "reason", f.reason);
  v(4, "full", f.full);
  v(6, "force", f.force);
  v(8, "emergency", f.emergency);
  v(10, "graceful", f.graceful);
}

// Which commands take which options.
Status CheckOptions(const CommandBody& body, const std::string& verb) {
  const auto only_for = [&](const char* option, bool is_set, const std::string& verbs) -> Status {
    if (!is_set) return OkStatus();
    return InvalidArgument(option, "is for " + verbs + ", not for " + verb);
  };
  WEIR_RETURN_IF_ERROR(only_for("full", body.full && verb != "promote", "promote"));
  WEIR_RETURN_IF_ERROR(only_for("emergency", body.emergency && verb != "rollback", "rollback"));
  WEIR_RETURN_IF_ERROR(only_for("graceful", body.graceful && verb != "rollback", "rollback"));
  const bool may_force = verb == "start" || verb == "retry" || verb == "promote";
  return only_for("force", body.force && !may_force, "start, retry and promote");
}

Json ErrorsView(const std::vector<codec::FileError>& errors) {
  Json view = Json::array();
  for (const codec::FileError& error : errors) {
    view.push_back({{"file", error.file},
                    {"line", error.line},
                    {"path", error.path},
                    {"message", error.message}});
  }
  return view;
}

// One error is named as its field; of several the detail has a line each.
http::Response RefuseFile(const std::vector<codec::FileError>& errors, const std::string& remedy) {
  const Json all = {{"errors", ErrorsView(errors)}};
  const codec::FileError& first = errors.front();
  if (errors.size() == 1) {
    std::string why = first.message;
    if (!remedy.empty()) why += fmt::format(" ({}:{}; {})", first.file, first.line, remedy);
    return ProblemResponse(400, InvalidArgument(first.path, why), all);
  }
  std::string detail = fmt::format("{} errors; nothing was applied{}", errors.size(),
                                   remedy.empty() ? "" : "; " + remedy);
  for (const codec::FileError& e : errors) {
    detail += fmt::format("\n{}{}:{} {}", e.file, e.line > 0 ? fmt::format(":{}", e.line) : "",
                          e.path.empty() ? "" : " " + e.path, e.message);
  }
  return ProblemResponse(400, InvalidArgument("", detail), all);
}

Result<Kind> ReadKind(const std::string& text) {
  const auto kind = domain::ParseKind(text);
  if (kind.has_value()) return *kind;
  std::vector<std::string> names;
  for (const Kind known : domain::kKinds) names.emplace_back(domain::KindName(known));
  return InvalidArgument("kind", fmt::format("\"{}\" is not one of {}{}", text, Join(names, ", "),
                                             DidYouMean(text, names)));
}

// The options of an apply: of the JSON body when the resources came in one, else of the query.
Result<ApplyBody> ReadOptions(const Call& call) {
  if (!call.json.empty()) {
    if (!call.query.empty()) {
      return InvalidArgument(call.query.begin()->first,
                             "belongs into the JSON body, beside resources");
    }
    return codec::FromJson<ApplyBody>(call.json);
  }
  ApplyBody options;
  WEIR_ASSIGN_OR_RETURN(options.dry_run, call.QueryBool("dry_run"));
  WEIR_ASSIGN_OR_RETURN(options.replace, call.QueryBool("replace"));
  if (call.query.contains("prune")) options.prune = call.Query("prune");
  options.reason = call.Query("reason");
  options.source = call.Query("source");
  return options;
}

Result<std::optional<domain::Labels>> ReadPrune(const Json& prune) {
  if (prune.is_null()) return std::optional<domain::Labels>();
  domain::Labels labels;
  if (prune.is_string()) {
    WEIR_ASSIGN_OR_RETURN(labels, ParseSelector(prune.get<std::string>(), "prune"));
  } else {
    codec::Errors errors;
    codec::JsonReader::Read(prune, "prune", labels, errors);
    WEIR_RETURN_IF_ERROR(codec::ToStatus(errors));
  }
  if (labels.empty()) {
    return InvalidArgument("prune", "names no label; pruning is limited to resources with labels");
  }
  return std::optional(std::move(labels));
}

Result<domain::ModelSpec> ModelOf(const codec::ResourceDocument& document) {
  codec::Errors errors;
  domain::Spec spec = codec::SpecFromJson(Kind::kModel, document.spec, errors);
  WEIR_RETURN_IF_ERROR(codec::ToStatus(errors));
  return std::get<domain::ModelSpec>(std::move(spec));
}

// A file stands for its blob until it is uploaded: enough to check everything else.
void StandInForFiles(codec::FileContent& content) {
  for (codec::ResourceDocument& document : content.documents) {
    if (document.kind != Kind::kModel || !document.spec.contains("versions")) continue;
    for (auto& [name, version] : document.spec["versions"].items()) {
      if (version.is_object() && version.contains("uri") && !version.contains("blob"))
        version["blob"] = "sha256:" + std::string(64, '0');
    }
  }
}

}  // namespace

void Api::Core::AddChangeRoutes(std::vector<Route>& routes) {
  const auto add = [&](const char* method, const char* pattern, Body body,
                       std::vector<std::string> query, Answer (Core::*answer)(const Call&)) {
    routes.push_back(
        {.method = method,
         .pattern = pattern,
         .body = body,
         .query = std::move(query),
         .answer = [this, answer](const Call& call) { return (this->*answer)(call); }});
  };
  add("POST", "/v1/apply", Body::kResources, {"source", "dry_run", "replace", "prune", "reason"},
      &Core::Apply);
  add("POST", "/v1/validate", Body::kText, {}, &Core::Validate);
  routes.back().need = Need::kViewer;
  add("GET", "/v1/history", Body::kNone, {"kind", "name", "limit", "before"}, &Core::History);
  add("POST", "/v1/revert", Body::kJson, {}, &Core::Revert);
  add("POST", "/v1/undo", Body::kJson, {}, &Core::Undo);
  add("POST", "/v1/sinks/{name}/test", Body::kJson, {}, &Core::TestSink);
  for (const char* verb :
       {"start", "pause", "resume", "promote", "approve", "abort", "retry", "rollback"}) {
    routes.push_back({.method = "POST",
                      .pattern = std::string("/v1/rollouts/{name}/") + verb,
                      .body = Body::kJson,
                      .query = {},
                      .answer = [this, verb = std::string(verb)](const Call& call) {
                        return CommandRollout(verb, call);
                      }});
  }
}

Answer Api::Core::TestSink(const Call& call) {
  if (deps_.catalog.Find(domain::Kind::kSink, call.args[0]) == nullptr)
    return NoSuchResource(deps_.catalog, domain::Kind::kSink, call.args[0]);
  if (!deps_.test_sink) return FailedPrecondition("this control plane tells no sinks");
  WEIR_ASSIGN_OR_RETURN(const std::string id, deps_.test_sink(call.args[0]));
  return JsonResponse({{"id", id}}, 202);
}

Json Api::Core::CommitView(const catalog::CommitResult& result) const {
  Json changes = Json::array();
  for (const catalog::ChangeSummary& change : result.changes) {
    changes.push_back({{"kind", domain::KindName(change.kind)},
                       {"name", change.name},
                       {"action", change.action},
                       {"diff", change.kind == Kind::kToken ? Json::object() : change.diff},
                       {"kept", change.kept},
                       {"taken", change.taken}});
  }
  return {{"revision", result.revision}, {"version", version_}, {"changes", std::move(changes)}};
}

Answer Api::Core::Apply(const Call& call) {
  WEIR_ASSIGN_OR_RETURN(const ApplyBody options, ReadOptions(call));
  WEIR_ASSIGN_OR_RETURN(const auto prune, ReadPrune(options.prune));
  if (!call.content.errors.empty()) return RefuseFile(call.content.errors, "");
  if (const auto incomplete = deps_.catalog.Incomplete(call.content.documents);
      !incomplete.empty()) {
    return RefuseFile(incomplete, "what does not stand yet must be given whole");
  }
  for (const codec::ResourceDocument& document : call.content.documents) {
    // A dry run may speak of a file that would be uploaded.
    if (document.kind != Kind::kModel || options.dry_run) continue;
    WEIR_ASSIGN_OR_RETURN(const domain::ModelSpec model, ModelOf(document));
    WEIR_RETURN_IF_ERROR(
        CheckBlobs(model, document.name, "Model/" + document.name + ".spec.versions"));
  }
  catalog::ApplyRequest request;
  request.documents = call.content.documents;
  request.source = options.source.empty() ? "api:" + call.actor : options.source;
  request.actor = call.actor;
  request.reason = options.reason;
  request.dry_run = options.dry_run;
  request.replace = options.replace;
  request.prune = prune;
  WEIR_ASSIGN_OR_RETURN(const catalog::CommitResult result, deps_.catalog.Apply(request));
  Json view = CommitView(result);
  view["dry_run"] = options.dry_run;
  std::vector<codec::FileError> warnings = call.content.warnings;
  warnings.insert(warnings.end(), call.content.disabled.begin(), call.content.disabled.end());
  view["warnings"] = ErrorsView(warnings);
  return JsonResponse(view);
}

Answer Api::Core::Validate(const Call& call) {
  const std::string file = call.json["file"].get<std::string>();
  codec::FileContent content = call.content;
  for (const auto& found : {content.disabled, deps_.catalog.Incomplete(content.documents)})
    content.errors.insert(content.errors.end(), found.begin(), found.end());
  if (content.errors.empty()) {
    // What it gets wrong together with what is there.
    StandInForFiles(content);
    catalog::ApplyRequest request;
    request.documents = content.documents;
    request.source = file;
    request.actor = call.actor;
    request.dry_run = true;
    const auto applied = deps_.catalog.Apply(request);
    if (!applied.ok()) {
      const Status status = applied.status();
      content.errors.push_back({file, 0, status.field(), status.message()});
    }
  }
  return JsonResponse({{"valid", content.errors.empty()},
                       {"errors", ErrorsView(content.errors)},
                       {"warnings", ErrorsView(content.warnings)}});
}

Answer Api::Core::History(const Call& call) {
  catalog::HistoryQuery query;
  if (!call.Query("kind").empty()) {
    WEIR_ASSIGN_OR_RETURN(query.kind, ReadKind(call.Query("kind")));
  }
  query.name = call.Query("name");
  if (!query.name.empty() && !query.kind.has_value())
    return InvalidArgument("kind", "is missing: a name alone says nothing");
  WEIR_ASSIGN_OR_RETURN(query.before, call.QueryNumber("before", 0));
  WEIR_ASSIGN_OR_RETURN(const uint64_t limit, call.QueryNumber("limit", 50));
  if (limit < 1 || limit > kMaxHistory)
    return InvalidArgument("limit", fmt::format("{} is not in 1..{}", limit, kMaxHistory));
  query.limit = static_cast<int>(limit);
  WEIR_ASSIGN_OR_RETURN(const auto rows, deps_.catalog.History(query));
  Json items = Json::array();
  for (const catalog::HistoryRow& row : rows) {
    Json changes = Json::array();
    for (catalog::HistoryRow::Item item : row.items) {
      if (item.kind == Kind::kToken) {
        HideHash(item.before);
        HideHash(item.after);
      }
      changes.push_back({{"kind", domain::KindName(item.kind)},
                         {"name", item.name},
                         {"action", item.action},
                         {"before", item.before},
                         {"after", item.after}});
    }
    Json view = {{"revision", row.revision},
                 {"at", FormatTimeMs(row.at_wall_ms)},
                 {"actor", row.actor},
                 {"reason", row.reason},
                 {"changes", std::move(changes)}};
    if (!row.evidence.is_null()) view["evidence"] = row.evidence;
    items.push_back(std::move(view));
  }
  return JsonResponse({{"items", std::move(items)}});
}

Answer Api::Core::Revert(const Call& call) {
  WEIR_ASSIGN_OR_RETURN(const auto body, codec::FromJson<RevertBody>(call.json));
  WEIR_ASSIGN_OR_RETURN(const auto result,
                        deps_.catalog.Revert(body.revision, call.actor, body.reason));
  return JsonResponse(CommitView(result));
}

Answer Api::Core::Undo(const Call& call) {
  WEIR_ASSIGN_OR_RETURN(const auto body, codec::FromJson<UndoBody>(call.json));
  WEIR_ASSIGN_OR_RETURN(const Kind kind, ReadKind(body.kind));
  WEIR_ASSIGN_OR_RETURN(const auto result, deps_.catalog.Undo(kind, body.name, body.to_revision,
                                                              call.actor, body.reason));
  return JsonResponse(CommitView(result));
}

Answer Api::Core::CommandRollout(const std::string& verb, const Call& call) {
  WEIR_ASSIGN_OR_RETURN(const auto body, codec::FromJson<CommandBody>(call.json));
  const std::string& name = call.args[0];
  if (deps_.catalog.Find(Kind::kRollout, name) == nullptr)
    return NoSuchResource(deps_.catalog, Kind::kRollout, name);
  WEIR_RETURN_IF_ERROR(CheckOptions(body, verb));
  rollout::Command command;
  command.verb = body.full ? rollout::Verb::kPromoteFull : *rollout::ParseVerb(verb);
  command.actor = call.actor;
  command.reason = body.reason;
  command.force = body.force;
  command.emergency = body.emergency;
  command.graceful = body.graceful;
  WEIR_ASSIGN_OR_RETURN(const uint64_t revision,
                        deps_.rollouts.Obey(name, command, deps_.clock.WallMs()));
  const domain::Resource* rollout = deps_.catalog.Find(Kind::kRollout, name);
  if (rollout == nullptr) return Internal("the rollout is gone after its command");
  return JsonResponse(
      {{"revision", revision}, {"version", version_}, {"resource", ViewOf(*rollout, MakeWorld())}});
}

}  // namespace weir::control::api
