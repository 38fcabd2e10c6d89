// SPDX-License-Identifier: Apache-2.0
#include "dataplane/override/break_glass.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <utility>

#include "shared/base/log.h"

namespace weir::node::override {
namespace {

using codec::Json;
using http::ErrorResponse;

constexpr std::string_view kBearer = "Bearer ";
constexpr size_t kMaxActor = 128;

http::Response JsonResponse(const Json& body) {
  http::Response response;
  response.body = body.dump(-1, ' ', false, Json::error_handler_t::replace);
  return response;
}

std::array<uint8_t, crypto_generichash_BYTES> Digest(std::string_view text) {
  std::array<uint8_t, crypto_generichash_BYTES> hash;
  crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const uint8_t*>(text.data()),
                     text.size(), nullptr, 0);
  return hash;
}

// In the same time whatever is given, its length included.
bool IsSame(std::string_view given, std::string_view token) {
  const auto a = Digest(given);
  const auto b = Digest(token);
  return sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

bool HasToken(const http::Request& request, std::string_view token) {
  const std::string_view given = request.Header("authorization");
  if (given.size() < kBearer.size() ||
      !http::EqualsIgnoreCase(given.substr(0, kBearer.size()), kBearer)) {
    return false;
  }
  return IsSame(given.substr(kBearer.size()), token);
}

std::string ActorOf(const http::Request& request) {
  std::string actor(request.Header("x-weir-actor").substr(0, kMaxActor));
  std::replace_if(
      actor.begin(), actor.end(), [](char c) { return static_cast<uint8_t>(c) < 0x20; }, '?');
  return actor.empty() ? request.remote : actor + " at " + request.remote;
}

http::Response ToResponse(const Layer::Done& done) {
  Json body = {{"applied", true},
               {"took_ms", static_cast<double>(done.took_us) / 1000},
               {"kept", done.kept.ok()},
               {"overrides", done.standing->sentences}};
  if (!done.kept.ok()) body["not_kept"] = done.kept.ToString();
  return JsonResponse(body);
}

}  // namespace

void BreakGlass::Handle(const http::Request& request, std::function<void(http::Response)> respond) {
  if (token_.empty()) {
    return respond(ErrorResponse(
        403,
        "break-glass is not enabled on this node: start it with --break-glass-token-file FILE, "
        "or set WEIR_NODE_BREAK_GLASS_TOKEN_FILE"));
  }
  if (!HasToken(request, token_)) {
    Log("override")
        .warn("{} from {} is refused: not the break-glass token", request.method, request.remote);
    http::Response refused = ErrorResponse(401, "this needs the node's break-glass token");
    refused.headers.push_back({"WWW-Authenticate", "Bearer"});
    return respond(std::move(refused));
  }
  const auto finish = [respond](const Layer::Done& done) { respond(ToResponse(done)); };
  if (request.method == "GET") {
    return layer_.Show([respond](const Json& shown) { respond(JsonResponse(shown)); });
  }
  if (request.method == "DELETE") return layer_.Clear(ActorOf(request), finish);
  if (request.method != "POST") {
    http::Response refused = ErrorResponse(405, "only GET, POST and DELETE are allowed");
    refused.headers.push_back({"Allow", "GET, POST, DELETE"});
    return respond(std::move(refused));
  }
  auto change = ParseChange(request.body);
  if (!change.ok()) return respond(ErrorResponse(400, change.status().ToString()));
  layer_.Force(*std::move(change), ActorOf(request), finish);
}

}  // namespace weir::node::override
