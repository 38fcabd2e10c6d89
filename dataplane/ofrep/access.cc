// SPDX-License-Identifier: Apache-2.0
#include "dataplane/ofrep/access.h"

#include <sodium.h>

#include <algorithm>
#include <optional>

#include "shared/wire/digest.h"

namespace weir::node::ofrep {
namespace {

constexpr size_t kStreamKeyDigits = 32;

// In a time that depends on the lengths alone.
bool IsSame(std::string_view shown, std::string_view secret) {
  return shown.size() == secret.size() &&
         sodium_memcmp(shown.data(), secret.data(), secret.size()) == 0;
}

// Of a secret, or of a token's hash.
std::string StreamKeyOf(const std::string& secret) {
  return wire::Sha256Hex("weir ofrep stream\n" + secret).substr(0, kStreamKeyDigits);
}

std::string_view Bearer(const http::Request& request) {
  constexpr std::string_view kScheme = "Bearer ";
  std::string_view value = request.Header("Authorization");
  if (value.size() < kScheme.size() ||
      !http::EqualsIgnoreCase(value.substr(0, kScheme.size()), kScheme)) {
    return {};
  }
  value.remove_prefix(kScheme.size());
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  return value;
}

}  // namespace

Access::Access(const OfrepOptions& options) {
  for (const std::string& token : options.tokens) {
    if (token.empty()) continue;
    tokens_.push_back({token, StreamKeyOf(token)});
  }
  for (const std::string& origin : options.cors_origins) {
    if (origin == "*") {
      any_origin_ = true;
    } else if (!origin.empty()) {
      origins_.push_back(origin.back() == '/' ? origin.substr(0, origin.size() - 1) : origin);
    }
  }
}

// Every token is compared, whichever fits.
const Access::Token* Access::Find(const http::Request& request) const {
  const std::string_view bearer = Bearer(request);
  const std::string_view key = request.Header("X-API-Key");
  const Token* found = nullptr;
  for (const Token& token : tokens_) {
    const bool by_bearer = IsSame(bearer, token.text);
    const bool by_key = IsSame(key, token.text);
    if (by_bearer || by_key) found = &token;
  }
  return found;
}

std::optional<access::Refusal> Access::Check(const http::Request& request) const {
  if (Find(request) != nullptr) return std::nullopt;
  if (guard_ != nullptr) return guard_->Check(request, access::Scope::kOfrep);
  if (tokens_.empty()) return std::nullopt;
  return access::Refusal{401, "a token is needed: Authorization: Bearer, or X-API-Key"};
}

std::optional<access::Refusal> Access::CheckStream(const http::Request& request) const {
  const std::optional<std::string> shown = request.Query("access");
  if (!shown.has_value()) return Check(request);
  bool is_known = false;
  for (const Token& token : tokens_) {
    if (IsSame(*shown, token.stream_key)) is_known = true;
  }
  if (is_known) return std::nullopt;
  const auto is_key = [&](const std::string& hash) { return IsSame(*shown, StreamKeyOf(hash)); };
  if (guard_ != nullptr && guard_->IsAny(access::Scope::kOfrep, is_key)) return std::nullopt;
  return Check(request);
}

std::string Access::StreamQuery(const http::Request& request) const {
  const Token* token = Find(request);
  if (token != nullptr) return "?access=" + token->stream_key;
  if (guard_ == nullptr) return "";
  const std::string hash = guard_->HashShown(request, access::Scope::kOfrep);
  return hash.empty() ? "" : "?access=" + StreamKeyOf(hash);
}

bool Access::AllowsOrigin(std::string_view origin) const {
  return std::any_of(origins_.begin(), origins_.end(), [&](const std::string& allowed) {
    return http::EqualsIgnoreCase(allowed, origin);
  });
}

void Access::AddCors(const http::Request& request, http::Response* response) const {
  if (!cors()) return;
  const std::string_view origin = request.Header("Origin");
  if (any_origin_) {
    if (origin.empty()) return;
    response->headers.push_back({"Access-Control-Allow-Origin", "*"});
  } else {
    response->headers.push_back({"Vary", "Origin"});
    if (!AllowsOrigin(origin)) return;
    response->headers.push_back({"Access-Control-Allow-Origin", std::string(origin)});
  }
  response->headers.push_back({"Access-Control-Expose-Headers", "ETag, Retry-After"});
}

http::Response Access::Preflight(const http::Request& request, std::string_view methods) const {
  http::Response response;
  response.status = 204;
  response.headers.push_back({"Allow", std::string(methods)});
  AddCors(request, &response);
  response.headers.push_back({"Access-Control-Allow-Methods", std::string(methods)});
  response.headers.push_back(
      {"Access-Control-Allow-Headers",
       "Authorization, X-API-Key, If-None-Match, Content-Type, Last-Event-ID, Cache-Control"});
  response.headers.push_back({"Access-Control-Max-Age", "600"});
  return response;
}

}  // namespace weir::node::ofrep
