// SPDX-License-Identifier: Apache-2.0
#include "dataplane/bus/bootstrap.h"

#include <fmt/format.h>

#include <algorithm>

#include "shared/codec/json.h"
#include "shared/http/client.h"
#include "shared/transport/keys.h"

namespace weir::node::bus {
namespace {

using codec::Json;

constexpr int64_t kTimeoutMs = 3000;
constexpr size_t kMaxAnswerBytes = 1 << 20;

Result<std::string> Text(const Json& object, const char* name) {
  const auto field = object.find(name);
  if (field == object.end() || !field->is_string() ||
      field->get_ref<const std::string&>().empty()) {
    return DataLoss(fmt::format("the bootstrap answer has no text \"{}\"", name));
  }
  return field->get<std::string>();
}

// The "detail" or "title" of a problem document, else the start of the body.
std::string Problem(const http::ClientResponse& answer) {
  const Result<Json> problem = codec::ParseJson(answer.body);
  for (const char* name : {"detail", "title", "error"}) {
    if (!problem.ok() || !problem->is_object()) break;
    const auto field = problem->find(name);
    if (field != problem->end() && field->is_string()) return field->get<std::string>();
  }
  return answer.body.substr(0, 200);
}

Status Enrol(http::Client& client, const JoinRequest& request) {
  Json body{{"node", request.node}, {"public_key", request.public_key}};
  if (!request.token.empty()) body["token"] = request.token;
  WEIR_ASSIGN_OR_RETURN(const http::ClientResponse answer,
                        client.Do("POST", "/v1/enroll", {{"Content-Type", "application/json"}},
                                  body.dump(-1, ' ', false, Json::error_handler_t::replace)));
  if (answer.status == 200) return OkStatus();
  if (answer.status >= 500) {
    return Unavailable(fmt::format("enrolment: {} {}", answer.status, Problem(answer)));
  }
  return FailedPrecondition(fmt::format("enrolment refused: {}", Problem(answer)));
}

Result<Channels> JoinOne(const std::string& url, const JoinRequest& request) {
  http::ClientOptions options;
  options.timeout_ms = kTimeoutMs;
  options.max_body = kMaxAnswerBytes;
  options.ca_file = request.ca_file;
  http::Client client(url, options);
  WEIR_ASSIGN_OR_RETURN(const http::ClientResponse answer, client.Do("GET", "/v1/bootstrap"));
  if (answer.status != 200) {
    return Unavailable(fmt::format("bootstrap: {} {}", answer.status, Problem(answer)));
  }
  WEIR_ASSIGN_OR_RETURN(Channels channels, ParseBootstrap(answer.body));
  channels.control = url;
  const auto& trusted = request.trusted_keys;
  if (std::find(trusted.begin(), trusted.end(), channels.server_key) == trusted.end())
    WEIR_RETURN_IF_ERROR(CheckToken(request.token, channels.server_key));
  WEIR_RETURN_IF_ERROR(Enrol(client, request));
  return channels;
}

}  // namespace

Result<Channels> ParseBootstrap(std::string_view json) {
  const Result<Json> parsed = codec::ParseJson(json);
  if (!parsed.ok()) return DataLoss("the bootstrap answer is " + parsed.status().ToString());
  const Json& answer = *parsed;
  if (!answer.is_object()) return DataLoss("the bootstrap answer is not a JSON object");
  Channels channels;
  WEIR_ASSIGN_OR_RETURN(channels.server_key, Text(answer, "server_key"));
  WEIR_ASSIGN_OR_RETURN(const std::string fingerprint, Text(answer, "fingerprint"));
  if (transport::Fingerprint(channels.server_key) != fingerprint) {
    return DataLoss("the bootstrap answer's fingerprint is not its server key's");
  }
  const auto epoch = answer.find("epoch");
  if (epoch == answer.end() || !epoch->is_number_unsigned()) {
    return DataLoss("the bootstrap answer has no \"epoch\"");
  }
  channels.epoch = epoch->get<uint64_t>();
  const Json addresses = answer.value("channels", Json());
  if (!addresses.is_object()) return DataLoss("the bootstrap answer has no \"channels\"");
  WEIR_ASSIGN_OR_RETURN(channels.cfg, Text(addresses, "cfg"));
  WEIR_ASSIGN_OR_RETURN(channels.session, Text(addresses, "session"));
  WEIR_ASSIGN_OR_RETURN(channels.telemetry, Text(addresses, "telemetry"));
  if (const auto period = answer.find("heartbeat_ms"); period != answer.end()) {
    if (!period->is_number_integer() || *period < 10 || *period > 60'000) {
      return DataLoss("heartbeat_ms of the bootstrap answer is not in 10..60000");
    }
    channels.heartbeat_ms = period->get<int64_t>();
  }
  return channels;
}

Status CheckToken(const std::string& token, const std::string& server_key) {
  if (token.empty()) return OkStatus();
  const size_t dot = token.rfind('.');
  if (dot == std::string::npos) {
    return FailedPrecondition("the enrolment token is not secret.fingerprint");
  }
  const std::string fingerprint = transport::Fingerprint(server_key);
  if (token.substr(dot + 1) == fingerprint) return OkStatus();
  return FailedPrecondition(
      fmt::format("the server key has fingerprint {}, the enrolment token names {}", fingerprint,
                  token.substr(dot + 1)));
}

Result<Channels> Join(const JoinRequest& request) {
  Status last = FailedPrecondition("no control plane is configured");
  for (const std::string& url : request.control) {
    auto channels = JoinOne(url, request);
    if (channels.ok()) return channels;
    const Status why = channels.status();
    last = Status(why.code(), url + ": " + why.ToString());
  }
  return last;
}

}  // namespace weir::node::bus
