// SPDX-License-Identifier: Apache-2.0
#include "controlplane/catalog/tree.h"

#include <set>

#include "shared/base/text.h"
#include "shared/codec/domain_fields.h"
#include "shared/codec/resource.h"

namespace weir::control::catalog {
namespace {

const Json kNothing;

bool IsEmpty(const Json& value) {
  return value.is_null() || (value.is_string() && value.get_ref<const std::string&>().empty()) ||
         ((value.is_array() || value.is_object()) && value.empty());
}

bool IsVariantValue(const Path& path) {
  return path.size() == 3 && path[0] == "spec" && path[1] == "variants";
}

bool IsWhole(const Path& path) {
  const bool is_field = path.size() == 2 && path[0] == "spec";
  return (is_field && (path[1] == "targeting" || path[1] == "metadata")) || IsVariantValue(path);
}

bool IsEmpty(const Path& path, const Json& value) {
  return IsVariantValue(path) ? value.is_null() : IsEmpty(value);
}

void Collect(const Json& tree, bool with_empty, Path& path, std::map<Path, Json>& out) {
  if (IsWhole(path)) {
    if (with_empty || !IsEmpty(path, tree)) out.emplace(path, tree);
  } else if (tree.is_object() && !tree.empty()) {
    for (const auto& [key, value] : tree.items()) {
      path.push_back(key);
      Collect(value, with_empty, path, out);
      path.pop_back();
    }
  } else if (!IsEmpty(tree) || (with_empty && !tree.is_object())) {
    out.emplace(path, tree);
  }
}

Json LabelsOf(const Json& metadata) {
  Json out = Json::object();
  for (const char* key : {"labels", "annotations"}) {
    if (metadata.contains(key)) out[key] = metadata.at(key);
  }
  return out;
}

}  // namespace

std::string PathText(const Path& path) { return Join(path, "."); }

std::string ValueText(const Json& value) {
  if (IsEmpty(value)) return "unset";
  return value.is_string() ? value.get<std::string>()
                           : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool Same(const Path& path, const Json& a, const Json& b) {
  return a == b || (IsEmpty(path, a) && IsEmpty(path, b));
}

const Json& At(const Json& tree, const Path& path) {
  const Json* at = &tree;
  for (const std::string& key : path) {
    if (!at->is_object()) return kNothing;
    const auto found = at->find(key);
    if (found == at->end()) return kNothing;
    at = &*found;
  }
  return *at;
}

namespace {

void PutBelow(Json& tree, const Path& path, size_t depth, const Json& value) {
  if (!tree.is_object()) tree = Json::object();
  Json& child = tree[path[depth]];
  const bool is_last = depth + 1 == path.size();
  if (is_last) {
    child = value;
  } else {
    PutBelow(child, path, depth + 1, value);
  }
  if (is_last ? IsEmpty(path, child) : IsEmpty(child)) tree.erase(path[depth]);
}

}  // namespace

void Put(Json& tree, const Path& path, const Json& value) {
  if (path.empty()) {
    tree = value;
    return;
  }
  PutBelow(tree, path, 0, value);
}

std::map<Path, Json> LeavesOf(const Json& tree, bool with_empty) {
  std::map<Path, Json> out;
  Path path;
  Collect(tree, with_empty, path, out);
  out.erase(Path{});
  return out;
}

std::vector<Path> Differences(const Json& a, const Json& b) {
  std::set<Path> paths;
  for (const auto& [path, value] : LeavesOf(a)) paths.insert(path);
  for (const auto& [path, value] : LeavesOf(b)) paths.insert(path);
  std::vector<Path> out;
  for (const Path& path : paths) {
    if (!Same(path, At(a, path), At(b, path))) out.push_back(path);
  }
  return out;
}

Json DiffOf(const Json& before, const Json& after) {
  Json diff = Json::object();
  for (const Path& path : Differences(before, after)) {
    diff[PathText(path)] = {{"from", At(before, path)}, {"to", At(after, path)}};
  }
  return diff;
}

Json PlainOf(const Json& document) {
  if (document.is_null()) return document;
  return {{"metadata", LabelsOf(At(document, {"metadata"}))}, {"spec", At(document, {"spec"})}};
}

Json PlainOf(const domain::Resource& resource) {
  Json plain = {{"metadata", Json::object()}, {"spec", codec::SpecToJson(resource.spec)}};
  if (!resource.labels.empty()) plain["metadata"]["labels"] = codec::ToJson(resource.labels);
  if (!resource.annotations.empty()) {
    plain["metadata"]["annotations"] = codec::ToJson(resource.annotations);
  }
  return plain;
}

Json FullOf(const domain::Resource& resource) {
  Json full = PlainOf(resource);
  if (resource.status.has_value()) full["status"] = codec::ToJson(*resource.status);
  return full;
}

Status SetPlain(const Json& plain, domain::Resource& resource) {
  codec::Errors errors;
  const Json none = Json::object();
  const auto or_none = [&](const Json& tree) -> const Json& {
    return tree.is_null() ? none : tree;
  };
  codec::JsonReader::Read(or_none(At(plain, {"metadata", "labels"})), "metadata.labels",
                          resource.labels, errors);
  codec::JsonReader::Read(or_none(At(plain, {"metadata", "annotations"})), "metadata.annotations",
                          resource.annotations, errors);
  resource.spec = codec::SpecFromJson(resource.kind, or_none(At(plain, {"spec"})), errors);
  return codec::ToStatus(errors);
}

}  // namespace weir::control::catalog
