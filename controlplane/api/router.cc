// SPDX-License-Identifier: Apache-2.0
#include "controlplane/api/router.h"

#include <algorithm>
#include <utility>

#include "controlplane/api/problem.h"
#include "shared/base/text.h"

namespace weir::control::api {
namespace {

bool IsWildcard(const std::string& segment) { return segment.starts_with('{'); }

bool Matches(const std::vector<std::string>& pattern, const std::vector<std::string>& path,
             std::vector<std::string>& args) {
  if (pattern.size() != path.size()) return false;
  args.clear();
  for (size_t i = 0; i < path.size(); ++i) {
    if (IsWildcard(pattern[i])) {
      args.push_back(path[i]);
    } else if (pattern[i] != path[i]) {
      return false;
    }
  }
  return true;
}

}  // namespace

Router::Router(std::vector<Route> routes) {
  for (Route& route : routes) {
    if (route.need == Need::kDefault)
      route.need = route.method == "GET" ? Need::kViewer : Need::kOperator;
    std::vector<std::string> segments = http::PathSegments(route.pattern);
    entries_.push_back({std::move(route), std::move(segments)});
  }
}

Router::Match Router::Find(std::string_view method, std::string_view path) const {
  const std::vector<std::string> segments = http::PathSegments(path);
  Match match;
  std::vector<std::string> allowed;
  for (const Entry& entry : entries_) {
    if (!Matches(entry.segments, segments, match.args)) continue;
    if (entry.route.method == method) {
      match.route = &entry.route;
      return match;
    }
    allowed.push_back(entry.route.method);
  }
  if (!allowed.empty()) {
    const std::string list = Join(allowed, ", ");
    match.refusal =
        ProblemResponse(405, InvalidArgument("", std::string(method) + " is not for " +
                                                     std::string(path) + "; allowed: " + list));
    match.refusal.headers.push_back({"Allow", list});
    return match;
  }
  std::vector<std::string> known;
  for (const Entry& entry : entries_) known.push_back(entry.route.pattern);
  match.refusal = ProblemResponse(
      NotFound("there is no " + std::string(path) + DidYouMean(std::string(path), known)));
  return match;
}

}  // namespace weir::control::api
