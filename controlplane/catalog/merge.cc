// SPDX-License-Identifier: Apache-2.0
#include "controlplane/catalog/merge.h"

#include <algorithm>
#include <set>

#include "shared/base/clock.h"

namespace weir::control::catalog {
namespace {

// The fields that the file or its base name. A version that the file no longer has is one field.
std::set<Path> FieldsOf(const Json& base, const Json& ours) {
  std::set<Path> fields;
  for (const auto& [path, value] : LeavesOf(ours, true)) fields.insert(path);
  for (const auto& [path, value] : LeavesOf(base, true)) {
    if (At(ours, path).is_object()) continue;  // its own leaves are there
    const bool in_version = path.size() > 3 && path[0] == "spec" && path[1] == "versions";
    const Path version(path.begin(), path.begin() + (in_version ? 3 : 0));
    fields.insert(in_version && At(ours, version).is_null() ? version : path);
  }
  return fields;
}

// Everything that base says there still stands.
bool Stands(const Json& base, const Json& theirs) {
  if (!base.is_object()) return Same(base, theirs);
  const auto leaves = LeavesOf(base);
  return std::all_of(leaves.begin(), leaves.end(),
                     [&](const auto& leaf) { return Same(leaf.second, At(theirs, leaf.first)); });
}

// Why a field stays whatever the file and `replace` say; empty: it need not.
std::string Protection(const MergeInput& input, const Path& path, const Json& ours,
                       const Json& theirs) {
  if (input.kind == domain::Kind::kEmergency && path[0] == "spec" && theirs == true) {
    return "a file cannot end an emergency";
  }
  if (path == Path{"spec", "hash_seed"} && ours.is_null()) return "a stored seed stays";
  if (path == Path{"spec", "stable"} && ours.is_null()) return "a model keeps its stable version";
  return "";
}

// `expires: 10m` became a time when it was first applied.
bool IsResolved(const Path& path, const Json& base, const Json& ours) {
  return path.back() == "expires" && Same(base, ours) && ours.is_string() &&
         ParseDurationMs(ours.get<std::string>()).ok();
}

}  // namespace

MergeResult Merge(const MergeInput& input) {
  MergeResult result;
  result.merged = input.theirs.is_null() ? Json::object() : input.theirs;
  const Json base = input.theirs.is_null() ? Json() : input.base;
  for (const Path& path : FieldsOf(base, input.ours)) {
    const Json was = At(base, path);
    const Json ours = At(input.ours, path);
    const Json theirs = At(input.theirs, path);
    if (Same(ours, theirs)) continue;
    if (std::string why = Protection(input, path, ours, theirs); !why.empty()) {
      result.kept.push_back({path, theirs, std::move(why)});
      continue;
    }
    const bool dropped = ours.is_null();  // the file gives the field up
    const bool by_file = dropped ? Stands(was, theirs) : was.is_null() || !Same(was, ours);
    if (!by_file && IsResolved(path, was, ours)) continue;
    if (!by_file && !input.replace) {
      result.kept.push_back({path, theirs, ""});
      continue;
    }
    if (!by_file) result.taken.push_back({path, theirs, ""});
    Put(result.merged, path, ours);
  }
  return result;
}

}  // namespace weir::control::catalog
