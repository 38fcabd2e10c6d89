// SPDX-License-Identifier: Apache-2.0
// Who may ask the admin API for what: bearer tokens, of which only hashes are known, and their
// roles.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/catalog/catalog.h"
#include "shared/http/message.h"

namespace weir::control::api {

// What a route asks of its caller.
enum class Need {
  kDefault,  // viewer for GET, operator for everything else
  kOpen,     // nothing
  kNode,     // to be an enrolled node, or viewer
  kViewer,
  kOperator,
  kAdmin,
};

// All tokens of the admin API at one revision. Immutable: shared by the HTTP workers.
class AccessTable {
 public:
  struct Entry {
    std::string name;
    int rank = -1;                // domain::RoleRank; -1: it opens nothing here
    int64_t expires_wall_ms = 0;  // 0: never
  };

  // `required`: whoever comes without a token is refused. So it is as soon as an admin token
  // stands, expired or not.
  static std::shared_ptr<const AccessTable> Of(const catalog::Catalog& catalog, bool required);

  bool required() const { return required_; }
  // Null: no such token. What it takes to find one depends on its hash alone, of which a stranger
  // knows nothing, and the hash is compared in constant time.
  const Entry* Find(std::string_view token) const;

 private:
  using Hash = std::array<uint8_t, 32>;
  static Hash HashOf(std::string_view token);

  bool required_ = false;
  std::map<uint64_t, std::vector<std::pair<Hash, Entry>>> by_prefix_;  // of the hash
};

// Addresses that showed what is no token: after kMost within a minute each is answered 429, until
// the minute is over. Never asked about a good token, so that nobody is locked out by a stranger
// behind the same address. Bounded: beyond kMostAddresses, strangers share one count. One thread.
class FailedAttempts {
 public:
  static constexpr int kMost = 20;
  static constexpr int64_t kWindowMs = 60'000;
  static constexpr size_t kMostAddresses = 1024;

  // Notes one more. The seconds to wait once there are too many, else 0. `address` without its
  // port.
  int64_t Note(std::string_view address, int64_t now_ms);
  // The same without noting one.
  int64_t Wait(std::string_view address, int64_t now_ms) const;
  size_t size() const { return windows_.size(); }

 private:
  struct Window {
    int64_t begin_ms = 0;
    int count = 0;
    bool IsOver(int64_t now_ms) const { return now_ms - begin_ms >= kWindowMs; }
    int64_t Wait(int64_t now_ms) const;
  };
  std::map<std::string, Window, std::less<>> windows_;
  Window shared_;
};

// Why a caller is refused, as the metric says it.
enum class Refusal { kNone, kNoToken, kUnknown, kExpired, kRole, kTooMany };
const char* RefusalName(Refusal refusal);

// One HTTP worker's door. Its thread.
class Door {
 public:
  void SetTable(std::shared_ptr<const AccessTable> table) { table_ = std::move(table); }
  const AccessTable& table() const { return *table_; }

  struct Verdict {
    Refusal refusal = Refusal::kNone;
    std::string actor;        // of who may: the token's name; "" where nobody is asked
    http::Response response;  // of who may not
  };
  // `need` is neither kDefault nor kOpen; kNode asks for a viewer here.
  Verdict Check(const http::Request& request, Need need, int64_t now_ms, int64_t now_wall_ms);
  // Whether Check would let it pass; notes nothing.
  bool Opens(const http::Request& request, Need need, int64_t now_wall_ms) const;
  // Of a proof that is looked at elsewhere: first whether it shall be, then that it was wrong.
  // Wrong tokens do not count here: nobody keeps the nodes behind his address from their models.
  Verdict CheckAddress(const http::Request& request, int64_t now_ms) const;
  void NoteFailure(std::string_view remote, int64_t now_ms);

 private:
  std::shared_ptr<const AccessTable> table_;
  FailedAttempts failed_;         // tokens
  FailedAttempts failed_proofs_;  // of nodes
};

// The credentials of "Authorization: SCHEME CREDENTIALS"; "" if there are none of that scheme.
std::string_view Credentials(const http::Request& request, std::string_view scheme);

}  // namespace weir::control::api
