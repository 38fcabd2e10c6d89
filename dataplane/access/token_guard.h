// SPDX-License-Identifier: Apache-2.0
// Whether who calls this node's surfaces shows a token that opens them. Tokens come as hashes with
// the snapshot, so that nobody is asked over the network, and a node that started from its last
// good snapshot knows them too. One worker's; its thread. A token that was good lately costs a
// comparison of its text; another one a SHA-256 and a lookup; a surface that asks for none, one
// test of a bit.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/clock.h"
#include "shared/base/status.h"
#include "shared/decision/ruleset.h"
#include "shared/http/message.h"

namespace weir::node::access {

// What a token may open, numbered as domain::Scopes.
enum class Scope : uint32_t { kOfrep = 0, kInference = 1, kNodeAdmin = 2 };
inline constexpr size_t kScopes = 3;
const char* ScopeName(Scope scope);  // "node-admin"

// {"ofrep", "inference", "admin"} → the bits of those scopes. InvalidArgument names another word.
Result<uint32_t> ParseRequired(const std::vector<std::string>& surfaces);

struct Refusal {
  int status = 401;
  std::string why;
};
http::Response ToResponse(const Refusal& refusal);

class TokenGuard {
 public:
  // `required`: bits of scopes. `clock` outlives this.
  TokenGuard(uint32_t required, const Clock& clock) : required_(required), clock_(clock) {}

  void SetRules(std::shared_ptr<const decision::Ruleset> rules);

  bool Requires(Scope scope) const { return (required_ >> static_cast<uint32_t>(scope) & 1) != 0; }
  // Nothing if the caller may; else 401, 403 (the token lacks the scope), or 503 without a
  // snapshot.
  std::optional<Refusal> Check(const http::Request& request, Scope scope);

  // Whether `is_it` says yes to the hash of a token that opens the scope now. Looks at every token:
  // for what cannot send headers.
  bool IsAny(Scope scope, const std::function<bool(const std::string& hash)>& is_it) const;
  // The hash of the token that is shown, if it opens the scope now; "" if none does.
  std::string HashShown(const http::Request& request, Scope scope);

  // Refused since the start, by scope.
  const std::array<uint64_t, kScopes>& refused() const { return refused_; }

 private:
  static constexpr size_t kRemembered = 4;
  struct Known {
    std::string text;
    const decision::Token* token = nullptr;  // of rules_
  };
  const decision::Token* Find(std::string_view text);
  bool Opens(const decision::Token& token, Scope scope) const;

  const uint32_t required_;
  const Clock& clock_;
  std::shared_ptr<const decision::Ruleset> rules_;
  std::array<Known, kRemembered> known_;
  size_t next_ = 0;  // of known_, to be replaced
  std::array<uint64_t, kScopes> refused_{};
};

// The token of "Authorization: Bearer …", else of "X-API-Key: …"; "" without.
std::string_view TokenOf(const http::Request& request);

}  // namespace weir::node::access
