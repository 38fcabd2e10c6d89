// SPDX-License-Identifier: Apache-2.0
// Documents as trees of leaves: what differs between two, and where. A leaf is everything that is
// not a mapping (lists are compared whole) and what means something only as a whole: a flag's rule,
// its metadata, the value of a variant. Absent, null, "", [] and {} are the same, except as values
// of variants, where only absent and null are. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/domain/resource.h"

namespace weir::control::catalog {

using codec::Json;
using Path = std::vector<std::string>;  // {"spec", "versions", "1.0.0", "blob"}

std::string PathText(const Path& path);  // "spec.versions.1.0.0.blob"
// The value as people read it: text bare, nothing as "unset".
std::string ValueText(const Json& value);

// Whether what stands at `path` is the same.
bool Same(const Path& path, const Json& a, const Json& b);
// Null where there is nothing.
const Json& At(const Json& tree, const Path& path);
// Puts a value there; an empty one removes what is there, and the mappings that become empty.
void Put(Json& tree, const Path& path, const Json& value);
// Empty leaves (null, "", []) only on demand; {} is a mapping without any.
std::map<Path, Json> LeavesOf(const Json& tree, bool with_empty = false);
// The leaves in which the two differ.
std::vector<Path> Differences(const Json& a, const Json& b);
// {"spec.stable": {"from": …, "to": …}}
Json DiffOf(const Json& before, const Json& after);

// What people set of a resource: {metadata: {labels, annotations}, spec}. Null stays null.
Json PlainOf(const Json& document);
Json PlainOf(const domain::Resource& resource);
// PlainOf and the status.
Json FullOf(const domain::Resource& resource);
// Sets labels, annotations and spec from such a tree; InvalidArgument with every path that is
// wrong.
Status SetPlain(const Json& plain, domain::Resource& resource);

}  // namespace weir::control::catalog
