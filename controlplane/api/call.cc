// SPDX-License-Identifier: Apache-2.0
#include "controlplane/api/call.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "shared/base/text.h"

namespace weir::control::api {
namespace {

constexpr size_t kMaxActor = 256;

Result<std::map<std::string, std::string>> ReadQuery(std::string_view text,
                                                     const std::vector<std::string>& known) {
  std::map<std::string, std::string> query;
  for (const std::string& part : Split(text, '&')) {
    if (part.empty()) continue;
    const size_t cut = part.find('=');
    const std::string name = http::PercentDecode(part.substr(0, cut));
    const std::string value =
        cut == std::string::npos ? "" : http::PercentDecode(part.substr(cut + 1));
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return InvalidArgument(
          name, "is no parameter of this" +
                    (known.empty() ? "; it has none" : "; there are " + Join(known, ", ")) +
                    DidYouMean(name, known));
    }
    if (name == "l" && query.contains("l")) {
      query["l"] += "," + value;
    } else if (!query.emplace(name, value).second) {
      return InvalidArgument(name, "is given twice");
    }
  }
  return query;
}

Status ReadJsonBody(std::string_view body, Call& call) {
  if (body.find_first_not_of(" \t\r\n") == std::string_view::npos) return OkStatus();
  WEIR_ASSIGN_OR_RETURN(call.json, codec::ParseJson(body));
  if (!call.json.is_object())
    return InvalidArgument("", codec::Show(call.json) + ", but a JSON object is expected");
  return OkStatus();
}

struct TextBody {
  std::string content;
  std::string file = "content";
};
template <class V>
void Describe(V& v, TextBody& f) {
  v(2, "content", f.content, codec::Required());
  v(4, "file", f.file);
}

Status ReadTextBody(std::string_view body, Call& call) {
  WEIR_RETURN_IF_ERROR(ReadJsonBody(body, call));
  WEIR_ASSIGN_OR_RETURN(const auto text, codec::FromJson<TextBody>(call.json));
  call.content = codec::ReadResources(text.content, text.file);
  call.json = {{"file", text.file}};
  return OkStatus();
}

// {resources: […], dry_run: …}, or a text of resources.
Status ReadResourcesBody(std::string_view body, const std::string& source, Call& call) {
  const size_t first = body.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return InvalidArgument("", "the body is empty");
  const std::string file = source.empty() ? "body" : source;
  if (body[first] == '{') {
    WEIR_ASSIGN_OR_RETURN(codec::Json json, codec::ParseJson(body));
    if (json.contains("resources")) {
      if (!json["resources"].is_array()) {
        return InvalidArgument("resources",
                               codec::Show(json["resources"]) + ", but a list is expected");
      }
      const codec::Json resources = std::exchange(json["resources"], codec::Json::array());
      call.content = codec::ReadResources(
          resources.dump(-1, ' ', false, codec::Json::error_handler_t::replace), file);
      for (codec::FileError& error : call.content.errors) error.path = "resources" + error.path;
      call.json = std::move(json);
      return OkStatus();
    }
    if (!json.contains("apiVersion") && !json.contains("items") && json.contains("dry_run"))
      return InvalidArgument("resources", "is missing");
  }
  call.content = codec::ReadResources(body, file);
  return OkStatus();
}

}  // namespace

std::string Call::Query(const std::string& name) const {
  const auto found = query.find(name);
  return found == query.end() ? "" : found->second;
}

Result<bool> Call::QueryBool(const std::string& name) const {
  const auto found = query.find(name);
  if (found == query.end() || found->second == "false" || found->second == "0") return false;
  if (found->second.empty() || found->second == "true" || found->second == "1") return true;
  return InvalidArgument(name, "\"" + found->second + "\" is neither true nor false");
}

Result<uint64_t> Call::QueryNumber(const std::string& name, uint64_t fallback) const {
  const auto found = query.find(name);
  if (found == query.end()) return fallback;
  const std::string& text = found->second;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size())
    return InvalidArgument(name, "\"" + text + "\" is not a whole number from 0");
  return value;
}

Result<domain::Labels> ParseSelector(std::string_view text, const std::string& field) {
  domain::Labels labels;
  for (const std::string& part : Split(text, ',')) {
    const size_t cut = part.find('=');
    if (cut == std::string::npos || cut == 0) {
      return InvalidArgument(field, "\"" + part + "\" is not name=value");
    }
    labels[part.substr(0, cut)] = part.substr(cut + 1);
  }
  return labels;
}

Result<Call> ReadCall(const http::Request& request, Body body,
                      const std::vector<std::string>& known_query) {
  Call call;
  call.method = std::string(request.method);
  // Behind a proxy everybody would be on this machine, and enrol without a token.
  const bool is_forwarded = !request.Header("x-forwarded-for").empty() ||
                            !request.Header("forwarded").empty() || !request.Header("via").empty();
  call.remote = is_forwarded ? "a proxy" : request.remote;
  WEIR_ASSIGN_OR_RETURN(call.query, ReadQuery(request.query_string, known_query));
  call.actor = std::string(request.Header("X-Weir-Actor"));
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  if (call.actor.size() > kMaxActor ||
      std::any_of(call.actor.begin(), call.actor.end(), is_control)) {
    return InvalidArgument("X-Weir-Actor", "is not one line of at most 256 bytes");
  }
  if (call.actor.empty()) call.actor = "api";
  call.if_match = std::string(request.Header("If-Match"));
  call.last_event_id = std::string(request.Header("Last-Event-ID"));
  switch (body) {
    case Body::kNone:
      break;
    case Body::kJson:
      WEIR_RETURN_IF_ERROR(ReadJsonBody(request.body, call));
      break;
    case Body::kText:
      WEIR_RETURN_IF_ERROR(ReadTextBody(request.body, call));
      break;
    case Body::kResources:
      WEIR_RETURN_IF_ERROR(ReadResourcesBody(request.body, call.Query("source"), call));
      break;
    case Body::kBytes:
      call.bytes = std::string(request.body);
      break;
  }
  return call;
}

}  // namespace weir::control::api
