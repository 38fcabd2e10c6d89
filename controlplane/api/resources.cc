// SPDX-License-Identifier: Apache-2.0
// GET, PUT, PATCH and DELETE of resources.
#include <algorithm>
#include <charconv>
#include <utility>

#include "controlplane/api/core.h"
#include "controlplane/api/problem.h"
#include "controlplane/store/blob_store.h"
#include "shared/base/text.h"
#include "shared/codec/resource.h"

namespace weir::control::api {
namespace {

using codec::Json;
using domain::Kind;
using domain::Resource;

bool Carries(const domain::Labels& labels, const domain::Labels& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& label) {
    const auto found = labels.find(label.first);
    return found != labels.end() && found->second == label.second;
  });
}

// 412 when If-Match names another revision than `revision` (0: it does not exist).
std::optional<http::Response> RefuseUnmatched(const Call& call, uint64_t revision) {
  std::string wanted = call.if_match;
  if (wanted.empty()) return std::nullopt;
  if (wanted.starts_with("W/")) wanted.erase(0, 2);
  if (wanted.size() >= 2 && wanted.front() == '"' && wanted.back() == '"')
    wanted = wanted.substr(1, wanted.size() - 2);
  uint64_t expected = 0;
  if (wanted == "*") {
    if (revision != 0) return std::nullopt;
  } else {
    const auto [end, error] =
        std::from_chars(wanted.data(), wanted.data() + wanted.size(), expected);
    if (error != std::errc() || end != wanted.data() + wanted.size()) {
      return ProblemResponse(InvalidArgument("If-Match", "\"" + wanted + "\" is no revision"));
    }
    if (expected == revision) return std::nullopt;
  }
  return ProblemResponse(
      412,
      Status(Code::kFailedPrecondition,
             revision == 0 ? "the resource does not exist"
                           : fmt::format("the resource stands at revision {}", revision),
             "If-Match"),
      {{"revision", revision}});
}

http::Response ResourceResponse(const Resource& resource, const World& world, int status) {
  http::Response response = JsonResponse(ViewOf(resource, world), status);
  response.headers.push_back({"ETag", fmt::format("\"{}\"", resource.revision)});
  return response;
}

Status CheckIdentity(const Resource& resource, Kind kind, const std::string& name) {
  if (resource.kind != kind) {
    return InvalidArgument("kind",
                           fmt::format("\"{}\" is not {}, which the path names",
                                       domain::KindName(resource.kind), domain::KindName(kind)));
  }
  if (resource.name != name) {
    return InvalidArgument(
        "metadata.name",
        fmt::format("\"{}\" is not \"{}\", which the path names", resource.name, name));
  }
  return OkStatus();
}

// A flag's rule and the values of its variants are replaced, never merged into: half of each rule
// would be neither.
void ReplaceWhole(const Json& patch, Json& document) {
  if (!patch.contains("spec") || !patch["spec"].is_object()) return;
  const Json& spec = patch["spec"];
  if (spec.contains("targeting") && !spec["targeting"].is_null())
    document["spec"]["targeting"] = spec["targeting"];
  if (!spec.contains("variants") || !spec["variants"].is_object()) return;
  for (const auto& [name, value] : spec["variants"].items()) {
    if (!value.is_null()) document["spec"]["variants"][name] = value;
  }
}

}  // namespace

void Api::Core::AddResourceRoutes(std::vector<Route>& routes) {
  for (const Kind kind : domain::kKinds) {
    const std::string all = std::string("/v1/") + domain::KindPlural(kind);
    const std::string one = all + "/{name}";
    const auto add = [&](const char* method, const std::string& pattern, Body body,
                         std::vector<std::string> query,
                         Answer (Core::*answer)(Kind, const Call&)) {
      routes.push_back({.method = method,
                        .pattern = pattern,
                        .body = body,
                        .query = std::move(query),
                        .answer = [this, kind, answer](const Call& call) {
                          return (this->*answer)(kind, call);
                        }});
    };
    add("GET", all, Body::kNone, {"l"}, &Core::List);
    add("GET", one, Body::kNone, {}, &Core::Get);
    if (kind == Kind::kToken) continue;  // tokens.cc
    add("PUT", one, Body::kJson, {"reason"}, &Core::Put);
    add("PATCH", one, Body::kJson, {"reason"}, &Core::Patch);
    add("DELETE", one, Body::kNone, {"reason", "force"}, &Core::Delete);
  }
}

Answer Api::Core::List(Kind kind, const Call& call) {
  WEIR_ASSIGN_OR_RETURN(const domain::Labels labels, ParseSelector(call.Query("l"), "l"));
  const World world = MakeWorld();
  Json items = Json::array();
  deps_.catalog.ForEach(kind, [&](const Resource& resource) {
    if (Carries(resource.labels, labels)) items.push_back(ViewOf(resource, world));
  });
  return JsonResponse({{"items", std::move(items)}});
}

Answer Api::Core::Get(Kind kind, const Call& call) {
  const Resource* resource = deps_.catalog.Find(kind, call.args[0]);
  if (resource == nullptr) return NoSuchResource(deps_.catalog, kind, call.args[0]);
  return ResourceResponse(*resource, MakeWorld(), 200);
}

Answer Api::Core::Put(Kind kind, const Call& call) {
  WEIR_ASSIGN_OR_RETURN(Resource resource, codec::ResourceFromJson(call.json));
  WEIR_RETURN_IF_ERROR(CheckIdentity(resource, kind, call.args[0]));
  return CommitOne(std::move(resource), call);
}

Answer Api::Core::Patch(Kind kind, const Call& call) {
  const Resource* resource = deps_.catalog.Find(kind, call.args[0]);
  if (resource == nullptr) return NoSuchResource(deps_.catalog, kind, call.args[0]);
  static const std::vector<std::string> kPatched = {"apiVersion", "kind", "metadata", "spec"};
  for (const auto& [key, value] : call.json.items()) {
    if (std::find(kPatched.begin(), kPatched.end(), key) == kPatched.end()) {
      return InvalidArgument(
          key, "cannot be patched; metadata and spec can" + DidYouMean(key, kPatched));
    }
  }
  Json document = codec::ResourceToJson(*resource);
  document.erase("status");
  document.merge_patch(call.json);
  ReplaceWhole(call.json, document);
  WEIR_ASSIGN_OR_RETURN(Resource patched, codec::ResourceFromJson(document));
  WEIR_RETURN_IF_ERROR(CheckIdentity(patched, kind, call.args[0]));
  return CommitOne(std::move(patched), call);
}

Answer Api::Core::CommitOne(Resource resource, const Call& call) {
  const Kind kind = resource.kind;
  const std::string name = resource.name;
  const Resource* before = deps_.catalog.Find(kind, name);
  if (auto refusal = RefuseUnmatched(call, before == nullptr ? 0 : before->revision))
    return *std::move(refusal);
  // What the system worked out is nobody's to write.
  resource.status = before == nullptr ? std::nullopt : before->status;
  if (auto* limit = std::get_if<domain::LimitSpec>(&resource.spec)) {
    const bool says_acts = call.json.contains("spec") && call.json["spec"].contains("acts");
    if (before != nullptr && !says_acts) limit->acts = before->As<domain::LimitSpec>().acts;
  }
  if (const auto* model = std::get_if<domain::ModelSpec>(&resource.spec))
    WEIR_RETURN_IF_ERROR(CheckBlobs(*model, name, "spec.versions"));
  const bool is_new = before == nullptr;
  catalog::CommitRequest request;
  request.changes.push_back({std::move(resource), false, std::nullopt});
  request.actor = call.actor;
  request.reason = call.Query("reason");
  WEIR_ASSIGN_OR_RETURN(const catalog::CommitResult result, deps_.catalog.Commit(request));
  const Resource* after = deps_.catalog.Find(kind, name);
  if (after == nullptr) return Internal("the resource is gone after its commit");
  http::Response response = ResourceResponse(*after, MakeWorld(), is_new ? 201 : 200);
  response.headers.push_back({"X-Weir-Version", std::to_string(version_)});
  return response;
}

Answer Api::Core::Delete(Kind kind, const Call& call) {
  const Resource* resource = deps_.catalog.Find(kind, call.args[0]);
  if (resource == nullptr) return NoSuchResource(deps_.catalog, kind, call.args[0]);
  if (auto refusal = RefuseUnmatched(call, resource->revision)) return *std::move(refusal);
  catalog::CommitRequest request;
  request.changes.push_back({*resource, true, std::nullopt});
  request.actor = call.actor;
  request.reason = call.Query("reason");
  WEIR_ASSIGN_OR_RETURN(request.force_removal, call.QueryBool("force"));
  WEIR_ASSIGN_OR_RETURN(const catalog::CommitResult result, deps_.catalog.Commit(request));
  return JsonResponse(CommitView(result));
}

Status Api::Core::CheckBlobs(const domain::ModelSpec& spec, const std::string& name,
                             const std::string& path) const {
  const Resource* before = deps_.catalog.Find(Kind::kModel, name);
  for (const auto& [version_name, version] : spec.versions) {
    const std::string where = path + "." + version_name;
    if (version.blob.empty()) {
      if (version.uri.empty()) continue;  // validation says what is missing
      return InvalidArgument(
          where + ".uri",
          fmt::format("\"{}\" is not uploaded: give its blob (weir apply and weir model push "
                      "upload the file and fill it in)",
                      version.uri));
    }
    if (before != nullptr) {
      const auto& versions = before->As<domain::ModelSpec>().versions;
      const auto stands = versions.find(version_name);
      if (stands != versions.end() && stands->second.blob == version.blob) continue;
    }
    const std::string prefix = "sha256:";
    if (!version.blob.starts_with(prefix)) continue;  // validation says what is allowed
    if (!deps_.blobs.Has(version.blob.substr(prefix.size()))) {
      return InvalidArgument(where + ".blob",
                             version.blob + " is not on this control plane: upload it first");
    }
  }
  return OkStatus();
}

}  // namespace weir::control::api
