// SPDX-License-Identifier: Apache-2.0
// What policies laid over a limit (spec.acts), when something is taken back. An act is the same as
// another by whose it is, what it does, to what, and since when; its numbers do not matter. Lists
// of acts are JSON arrays, or null for none. Pure.
#pragma once

#include <string>

#include "controlplane/catalog/tree.h"
#include "shared/domain/resource.h"

namespace weir::control::catalog {

// {"spec", "acts"} of a Limit.
bool IsActs(domain::Kind kind, const Path& path);
const Json& ActsOf(const Json& document);
// The acts of `acts` that `others` has not; as they stand in `acts`, in their order.
Json ActsBut(const Json& acts, const Json& others);
// The acts of `acts` that `others` has, too.
Json ActsIn(const Json& acts, const Json& others);
// "scale_up of policy tight since 2026-11-28T22:00:16.989Z, shed_load of …".
std::string ActsText(const Json& acts);
// Why what has ended stays ended.
std::string EndedText(const Json& acts);

}  // namespace weir::control::catalog
