// SPDX-License-Identifier: Apache-2.0
#include "controlplane/catalog/acts.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir::control::catalog {
namespace {

const Path kActsPath = {"spec", "acts"};

bool IsSameAct(const Json& a, const Json& b) {
  for (const char* field : {"policy", "action", "since", "version", "node"}) {
    if (!Same({field}, At(a, {field}), At(b, {field}))) return false;
  }
  return true;
}

bool Holds(const Json& acts, const Json& act) {
  return acts.is_array() && std::any_of(acts.begin(), acts.end(),
                                        [&](const Json& other) { return IsSameAct(act, other); });
}

Json ActsWhere(const Json& acts, const Json& others, bool are_in) {
  Json left = Json::array();
  if (!acts.is_array()) return left;
  for (const Json& act : acts) {
    if (Holds(others, act) == are_in) left.push_back(act);
  }
  return left;
}

}  // namespace

bool IsActs(domain::Kind kind, const Path& path) {
  return kind == domain::Kind::kLimit && path == kActsPath;
}

const Json& ActsOf(const Json& document) { return At(document, kActsPath); }

Json ActsBut(const Json& acts, const Json& others) { return ActsWhere(acts, others, false); }

Json ActsIn(const Json& acts, const Json& others) { return ActsWhere(acts, others, true); }

std::string ActsText(const Json& acts) {
  std::string text;
  for (const Json& act : acts) {
    text += fmt::format("{}{} of policy {} since {}", text.empty() ? "" : ", ",
                        ValueText(At(act, {"action"})), ValueText(At(act, {"policy"})),
                        ValueText(At(act, {"since"})));
  }
  return text;
}

std::string EndedText(const Json& acts) {
  return fmt::format(
      "{} has ended and does not begin again; its policy acts anew when its objective is missed",
      ActsText(acts));
}

}  // namespace weir::control::catalog
