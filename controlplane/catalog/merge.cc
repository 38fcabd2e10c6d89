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

// Everything that base says there (of a mapping that is no leaf: each of its leaves) still stands.
bool Stands(const Path& path, const Json& base, const Json& theirs) {
  if (Same(path, base, theirs)) return true;
  const auto leaves = LeavesOf(base);
  return path.size() == 3 && path[1] == "versions" &&
         std::all_of(leaves.begin(), leaves.end(), [&](const auto& leaf) {
           return Same(leaf.first, leaf.second, At(theirs, leaf.first));
         });
}

// A schedule without the items that the source gave before and that stand no more: they have
// happened, or somebody took them out.
Json StillToCome(const Json& schedule, const Json& base, const Json& theirs) {
  if (!schedule.is_array() || !base.is_array()) return schedule;
  const auto has = [](const Json& list, const Json& item) {
    return list.is_array() && std::find(list.begin(), list.end(), item) != list.end();
  };
  Json left = Json::array();
  for (const Json& item : schedule) {
    if (!has(base, item) || has(theirs, item)) left.push_back(item);
  }
  return left;
}

// Why a field stays whatever the file and `replace` say; empty: it need not.
std::string Protection(const MergeInput& input, const Path& path, const Json& ours,
                       const Json& theirs) {
  if (input.kind == domain::Kind::kEmergency && path[0] == "spec" && theirs == true) {
    return "a file cannot end an emergency";
  }
  if (path == Path{"spec", "hash_seed"} && ours.is_null()) return "a stored seed stays";
  // Left out, it would mean everybody.
  if (path == Path{"spec", "rollout_percentage"} && ours.is_null())
    return "a stored percentage stays";
  if (path == Path{"spec", "stable"} && ours.is_null()) return "a model keeps its stable version";
  return "";
}

// `expires: 10m` became a time when it was first applied.
bool IsResolved(const Path& path, const Json& base, const Json& ours) {
  return path.back() == "expires" && Same(path, base, ours) && ours.is_string() &&
         ParseDurationMs(ours.get<std::string>()).ok();
}

}  // namespace

MergeResult Merge(const MergeInput& input) {
  MergeResult result;
  result.merged = input.theirs.is_null() ? Json::object() : input.theirs;
  const Json base = input.theirs.is_null() ? Json() : input.base;
  for (const Path& path : FieldsOf(base, input.ours)) {
    const Json theirs = At(input.theirs, path);
    Json was = At(base, path);
    Json ours = At(input.ours, path);
    const bool dropped = ours.is_null();  // the file gives the field up
    const bool is_new = was.is_null() || !Same(path, was, ours);
    if (path == Path{"spec", "schedule"} && !input.replace) {
      ours = StillToCome(ours, was, theirs);
      was = StillToCome(was, was, theirs);
    }
    if (Same(path, ours, theirs)) continue;
    if (std::string why = Protection(input, path, ours, theirs); !why.empty()) {
      result.kept.push_back({path, theirs, std::move(why)});
      continue;
    }
    const bool by_file = dropped ? Stands(path, was, theirs) : is_new;
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
