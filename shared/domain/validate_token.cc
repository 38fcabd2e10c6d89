// SPDX-License-Identifier: Apache-2.0
// The rules of tokens.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "shared/domain/checker.h"
#include "shared/domain/token.h"

namespace weir::domain {
namespace {

constexpr size_t kShownDigits = 12;
constexpr size_t kMaxDescription = 1024;  // bytes

int IndexIn(const std::vector<std::string>& all, std::string_view word) {
  const auto found = std::find(all.begin(), all.end(), word);
  return found == all.end() ? -1 : static_cast<int>(found - all.begin());
}

bool IsHash(std::string_view text) {
  return text.size() == kTokenHashDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

const std::vector<std::string>& Roles() {
  static const std::vector<std::string> kRoles = {"viewer", "operator", "admin"};
  return kRoles;
}

int RoleRank(std::string_view role) { return IndexIn(Roles(), role); }

const std::vector<std::string>& Scopes() {
  static const std::vector<std::string> kScopes = {"ofrep", "inference", "node-admin"};
  return kScopes;
}

int ScopeIndex(std::string_view scope) { return IndexIn(Scopes(), scope); }

std::string ShortHash(std::string_view hash) {
  return std::string(hash.substr(0, kShownDigits)) + "…";
}

void Check(Checker& c, const TokenSpec& spec) {
  if (!IsHash(spec.hash)) c.Fail("spec.hash", "is not 64 hex digits; weir token create makes it");
  if (!spec.role.empty()) c.OneOf("spec.role", spec.role, Roles());
  std::set<std::string> seen;
  for (size_t i = 0; i < spec.scopes.size(); ++i) {
    const std::string path = fmt::format("spec.scopes[{}]", i);
    c.OneOf(path, spec.scopes[i], Scopes());
    if (!seen.insert(spec.scopes[i]).second)
      c.Fail(path, fmt::format("\"{}\" is repeated", spec.scopes[i]));
  }
  if (spec.role.empty() && spec.scopes.empty())
    c.Fail("spec.role", "is missing, and there are no scopes: the token would open nothing");
  if (spec.description.size() > kMaxDescription) {
    c.Fail("spec.description", fmt::format("{} bytes; at most {} are allowed",
                                           spec.description.size(), kMaxDescription));
  }
}

}  // namespace weir::domain
