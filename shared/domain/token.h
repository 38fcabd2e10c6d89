// SPDX-License-Identifier: Apache-2.0
// What bearer tokens may be given, by name.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace weir::domain {

// Of the admin API, each may do what those before it may: "viewer" reads, "operator" changes flags,
// models, rollouts, experiments, emergencies, sinks and blobs, "admin" tokens and nodes' keys too.
const std::vector<std::string>& Roles();
// Index in Roles; -1 for another word, "" included.
int RoleRank(std::string_view role);

// Of nodes: "ofrep", "inference" (with outcomes), "node-admin" (explain, metrics).
const std::vector<std::string>& Scopes();
// Index in Scopes; -1 for another word.
int ScopeIndex(std::string_view scope);

inline constexpr size_t kTokenHashDigits = 64;
// "0f3c…", as people see it: enough to tell tokens apart, too little to be one.
std::string ShortHash(std::string_view hash);

}  // namespace weir::domain
