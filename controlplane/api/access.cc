// SPDX-License-Identifier: Apache-2.0
#include "controlplane/api/access.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "controlplane/api/problem.h"
#include "shared/base/clock.h"
#include "shared/domain/token.h"

namespace weir::control::api {
namespace {

constexpr std::string_view kBearer = "Bearer";
constexpr int kAdminRank = 2;

uint64_t PrefixOf(const std::array<uint8_t, 32>& hash) {
  uint64_t prefix = 0;
  std::memcpy(&prefix, hash.data(), sizeof prefix);
  return prefix;
}

int RankOf(Need need) {
  if (need == Need::kAdmin) return kAdminRank;
  return need == Need::kOperator ? 1 : 0;
}

std::string_view HostOf(std::string_view remote) { return remote.substr(0, remote.rfind(':')); }

http::Response Refuse(int status, const std::string& why, const codec::Json& more = {}) {
  http::Response response = ProblemResponse(status, FailedPrecondition(why),
                                            more.is_null() ? codec::Json::object() : more);
  if (status == 401) response.headers.push_back({"WWW-Authenticate", "Bearer realm=\"weir\""});
  return response;
}

}  // namespace

AccessTable::Hash AccessTable::HashOf(std::string_view token) {
  static_assert(crypto_hash_sha256_BYTES == 32);
  Hash hash;
  crypto_hash_sha256(hash.data(), reinterpret_cast<const uint8_t*>(token.data()), token.size());
  return hash;
}

std::shared_ptr<const AccessTable> AccessTable::Of(const catalog::Catalog& catalog, bool required) {
  auto table = std::make_shared<AccessTable>();
  table->required_ = required;
  catalog.ForEach(domain::Kind::kToken, [&](const domain::Resource& resource) {
    const auto& spec = resource.As<domain::TokenSpec>();
    Hash hash{};
    size_t size = 0;
    sodium_hex2bin(hash.data(), hash.size(), spec.hash.data(), spec.hash.size(), nullptr, &size,
                   nullptr);
    const int rank = domain::RoleRank(spec.role);
    table->required_ |= rank == kAdminRank;
    table->by_prefix_[PrefixOf(hash)].push_back({hash, {resource.name, rank, spec.expires.ms}});
  });
  return table;
}

const AccessTable::Entry* AccessTable::Find(std::string_view token) const {
  const Hash hash = HashOf(token);
  const auto found = by_prefix_.find(PrefixOf(hash));
  if (found == by_prefix_.end()) return nullptr;
  const Entry* entry = nullptr;
  for (const auto& [known, candidate] : found->second) {
    if (sodium_memcmp(known.data(), hash.data(), hash.size()) == 0) entry = &candidate;
  }
  return entry;
}

int64_t FailedAttempts::Window::Wait(int64_t now_ms) const {
  if (IsOver(now_ms) || count < kMost) return 0;
  return std::max<int64_t>(1, (begin_ms + kWindowMs - now_ms + 999) / 1000);
}

int64_t FailedAttempts::Note(std::string_view address, int64_t now_ms) {
  auto at = windows_.find(address);
  if (at == windows_.end() && windows_.size() >= kMostAddresses)
    std::erase_if(windows_, [&](const auto& item) { return item.second.IsOver(now_ms); });
  if (at == windows_.end() && windows_.size() < kMostAddresses)
    at = windows_.emplace(std::string(address), Window{now_ms, 0}).first;
  Window& window = at == windows_.end() ? shared_ : at->second;
  if (window.IsOver(now_ms)) window = {now_ms, 0};
  const int64_t wait_s = window.Wait(now_ms);
  if (wait_s == 0) ++window.count;
  return wait_s;
}

int64_t FailedAttempts::Wait(std::string_view address, int64_t now_ms) const {
  const auto at = windows_.find(address);
  if (at != windows_.end()) return at->second.Wait(now_ms);
  return windows_.size() < kMostAddresses ? 0 : shared_.Wait(now_ms);
}

const char* RefusalName(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNone:
      return "none";
    case Refusal::kNoToken:
      return "no_token";
    case Refusal::kUnknown:
      return "unknown";
    case Refusal::kExpired:
      return "expired";
    case Refusal::kRole:
      return "role";
    case Refusal::kTooMany:
      return "too_many";
  }
  return "?";
}

std::string_view Credentials(const http::Request& request, std::string_view scheme) {
  std::string_view value = request.Header("Authorization");
  if (value.size() <= scheme.size() || value[scheme.size()] != ' ' ||
      !http::EqualsIgnoreCase(value.substr(0, scheme.size()), scheme)) {
    return {};
  }
  value.remove_prefix(scheme.size());
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  return value;
}

namespace {

Door::Verdict TooMany(int64_t wait_s) {
  http::Response response = Refuse(429, "too many wrong tokens came from this address");
  response.headers.push_back({"Retry-After", std::to_string(wait_s)});
  return {Refusal::kTooMany, "", std::move(response)};
}

}  // namespace

Door::Verdict Door::CheckAddress(const http::Request& request, int64_t now_ms) const {
  const int64_t wait_s = failed_proofs_.Wait(HostOf(request.remote), now_ms);
  return wait_s > 0 ? TooMany(wait_s) : Verdict{};
}

void Door::NoteFailure(std::string_view remote, int64_t now_ms) {
  failed_proofs_.Note(HostOf(remote), now_ms);
}

bool Door::Opens(const http::Request& request, Need need, int64_t now_wall_ms) const {
  if (!table_->required()) return true;
  const AccessTable::Entry* entry = table_->Find(Credentials(request, kBearer));
  return entry != nullptr && entry->rank >= RankOf(need) &&
         (entry->expires_wall_ms == 0 || entry->expires_wall_ms > now_wall_ms);
}

Door::Verdict Door::Check(const http::Request& request, Need need, int64_t now_ms,
                          int64_t now_wall_ms) {
  if (!table_->required()) return {};
  const std::string_view token = Credentials(request, kBearer);
  if (token.empty()) {
    return {Refusal::kNoToken, "",
            Refuse(401,
                   "a token is needed: Authorization: Bearer TOKEN (weir: --token-file, "
                   "WEIR_TOKEN_FILE or WEIR_TOKEN)")};
  }
  const AccessTable::Entry* entry = table_->Find(token);
  if (entry == nullptr) {
    if (const int64_t wait_s = failed_.Note(HostOf(request.remote), now_ms); wait_s > 0)
      return TooMany(wait_s);
    return {Refusal::kUnknown, "", Refuse(401, "the token is not known; it may have been revoked")};
  }
  if (entry->expires_wall_ms != 0 && entry->expires_wall_ms <= now_wall_ms) {
    return {Refusal::kExpired, "",
            Refuse(401, fmt::format("the token \"{}\" expired at {}", entry->name,
                                    FormatTimeMs(entry->expires_wall_ms)))};
  }
  if (entry->rank >= RankOf(need)) return {Refusal::kNone, entry->name, {}};
  const std::string& needed = domain::Roles()[static_cast<size_t>(RankOf(need))];
  const std::string has =
      entry->rank < 0 ? "no role" : "the role " + domain::Roles()[static_cast<size_t>(entry->rank)];
  return {Refusal::kRole, "",
          Refuse(403,
                 fmt::format("this needs the role {}; the token \"{}\" has {}", needed, entry->name,
                             has),
                 {{"role", needed}})};
}

}  // namespace weir::control::api
