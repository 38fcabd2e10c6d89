// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/api/access.h"
#include "controlplane/api/call.h"
#include "shared/base/status.h"
#include "shared/http/message.h"

namespace weir::control::api {

using Answer = Result<http::Response>;
// A piece of a long answer, on an HTTP worker: called again until it gives one.
using Slice = std::function<std::optional<Answer>()>;

struct Route {
  std::string method;
  std::string pattern;  // "/v1/rollouts/{name}/start"; {…} matches one segment
  Body body = Body::kNone;
  std::vector<std::string> query;  // the parameters it knows
  std::function<Answer(const Call&)> answer;
  bool on_worker = false;  // answered on the HTTP worker instead of core
  // Instead of `answer`: on core what the answer needs is gathered, the worker works it out.
  std::function<Result<Slice>(const Call&)> prepare = {};
  Need need = Need::kDefault;
  bool is_stream = false;  // ?follow=false asks for `answer`, otherwise an event stream
};

// Method and path → route. Constant after construction; any thread.
class Router {
 public:
  explicit Router(std::vector<Route> routes);

  struct Match {
    const Route* route = nullptr;  // null: `refusal` is the answer
    std::vector<std::string> args;
    http::Response refusal;  // 404 with the nearest path, or 405 with Allow
  };
  Match Find(std::string_view method, std::string_view path) const;

 private:
  struct Entry {
    Route route;
    std::vector<std::string> segments;
  };
  std::vector<Entry> entries_;
};

}  // namespace weir::control::api
