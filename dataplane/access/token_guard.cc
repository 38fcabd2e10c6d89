// SPDX-License-Identifier: Apache-2.0
#include "dataplane/access/token_guard.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <utility>

#include "shared/base/text.h"
#include "shared/domain/token.h"
#include "shared/wire/digest.h"

namespace weir::node::access {
namespace {

constexpr std::string_view kBearer = "Bearer ";

// In a time that depends on the lengths alone.
bool IsSame(std::string_view shown, std::string_view secret) {
  return shown.size() == secret.size() &&
         sodium_memcmp(shown.data(), secret.data(), secret.size()) == 0;
}

}  // namespace

http::Response ToResponse(const Refusal& refusal) {
  http::Response response = http::ErrorResponse(refusal.status, refusal.why);
  if (refusal.status == 401)
    response.headers.push_back({"WWW-Authenticate", "Bearer realm=\"weir\""});
  return response;
}

const char* ScopeName(Scope scope) { return domain::Scopes()[static_cast<size_t>(scope)].c_str(); }

Result<uint32_t> ParseRequired(const std::vector<std::string>& surfaces) {
  static const std::vector<std::string> kSurfaces = {"ofrep", "inference", "admin"};
  uint32_t required = 0;
  for (const std::string& surface : surfaces) {
    const auto found = std::find(kSurfaces.begin(), kSurfaces.end(), surface);
    if (found == kSurfaces.end()) {
      return InvalidArgument(
          "require_token", fmt::format("\"{}\" is not one of {}{}", surface, Join(kSurfaces, ", "),
                                       DidYouMean(surface, kSurfaces)));
    }
    required |= 1U << (found - kSurfaces.begin());
  }
  return required;
}

std::string_view TokenOf(const http::Request& request) {
  std::string_view value = request.Header("Authorization");
  if (value.size() >= kBearer.size() &&
      http::EqualsIgnoreCase(value.substr(0, kBearer.size()), kBearer)) {
    value.remove_prefix(kBearer.size());
    value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
    return value;
  }
  return request.Header("X-API-Key");
}

void TokenGuard::SetRules(std::shared_ptr<const decision::Ruleset> rules) {
  known_ = {};
  rules_ = std::move(rules);
}

const decision::Token* TokenGuard::Find(std::string_view text) {
  for (const Known& known : known_) {
    if (known.token != nullptr && IsSame(text, known.text)) return known.token;
  }
  const decision::Token* token = rules_->tokens().Find(wire::Sha256Hex(text));
  if (token != nullptr) {
    known_[next_] = {std::string(text), token};
    next_ = (next_ + 1) % kRemembered;
  }
  return token;
}

bool TokenGuard::Opens(const decision::Token& token, Scope scope) const {
  if ((token.opens >> static_cast<uint32_t>(scope) & 1) == 0) return false;
  return token.expires_wall_ms == 0 || token.expires_wall_ms > clock_.WallMs();
}

std::optional<Refusal> TokenGuard::Check(const http::Request& request, Scope scope) {
  const std::string_view text = TokenOf(request);
  const bool is_snapshot = rules_ != nullptr && rules_->HasSnapshot();
  const decision::Token* token = text.empty() || !is_snapshot ? nullptr : Find(text);
  if (token != nullptr && Opens(*token, scope)) return std::nullopt;
  ++refused_[static_cast<size_t>(scope)];
  if (text.empty()) {
    return Refusal{401, fmt::format("a token with the scope {} is needed: Authorization: Bearer, "
                                    "or X-API-Key",
                                    ScopeName(scope))};
  }
  if (!is_snapshot) return Refusal{503, "this node has no snapshot yet, and knows no tokens"};
  if (token == nullptr)
    return Refusal{401, "the token is not known here; it may have been revoked"};
  const bool is_over = token->expires_wall_ms != 0 && token->expires_wall_ms <= clock_.WallMs();
  if (is_over) return Refusal{401, fmt::format("the token \"{}\" has expired", token->name)};
  return Refusal{403, fmt::format("this needs the scope {}; the token \"{}\" has {}",
                                  ScopeName(scope), token->name, Join(token->scopes, ", "))};
}

bool TokenGuard::IsAny(Scope scope,
                       const std::function<bool(const std::string& hash)>& is_it) const {
  bool is_any = false;
  if (rules_ == nullptr) return false;
  rules_->tokens().ForEach([&](const decision::Token& token) {
    if (Opens(token, scope) && is_it(token.hash)) is_any = true;
  });
  return is_any;
}

std::string TokenGuard::HashShown(const http::Request& request, Scope scope) {
  const std::string_view text = TokenOf(request);
  if (text.empty() || rules_ == nullptr) return "";
  const decision::Token* token = Find(text);
  return token != nullptr && Opens(*token, scope) ? token->hash : "";
}

}  // namespace weir::node::access
