// SPDX-License-Identifier: Apache-2.0
// One request, copied out of its exchange and parsed as far as its route asks, so that it can be
// answered on another thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/codec/resource.h"
#include "shared/domain/resource.h"
#include "shared/http/message.h"

namespace weir::control::api {

enum class Body {
  kNone,       // ignored
  kJson,       // `json`: an object; without a body {}
  kText,       // {content, file}: what the text `content` says, as `content`; `json` without it
  kResources,  // `content`, and `json` when the body was {resources: …}; else {}
  kBytes,      // `bytes`
};

struct Call {
  std::string method;
  std::vector<std::string> args;             // what the route's {…} matched
  std::map<std::string, std::string> query;  // percent-decoded
  std::string actor;                         // X-Weir-Actor, or "api"
  std::string if_match;
  std::string last_event_id;
  std::string remote;  // "127.0.0.1:50312"

  std::string bytes;
  codec::Json json = codec::Json::object();
  codec::FileContent content;

  // "" when absent.
  std::string Query(const std::string& name) const;
  // A bare name and "true" are true; InvalidArgument for what is neither true nor false.
  Result<bool> QueryBool(const std::string& name) const;
  // `fallback` when absent; InvalidArgument unless it is a whole number from 0.
  Result<uint64_t> QueryNumber(const std::string& name, uint64_t fallback) const;
};

// "k=v,k=v" → labels. InvalidArgument names the field.
Result<domain::Labels> ParseSelector(std::string_view text, const std::string& field);

// Everything but `args`. InvalidArgument: a parameter that is not in `known` or given twice, an
// actor with control characters, a body that is not what it should be.
Result<Call> ReadCall(const http::Request& request, Body body,
                      const std::vector<std::string>& known_query);

}  // namespace weir::control::api
