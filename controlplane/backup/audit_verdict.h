// SPDX-License-Identifier: Apache-2.0
// Whether the audit is what it was: its chain of hashes holds, it contains the head that somebody
// wrote down, and it contains the heads that nodes heard of it in beacons, so that a database that
// was put in another's place is noticed as long as one of them lives. Blocks; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controlplane/store/store.h"
#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/wire/messages.h"

namespace weir::control::backup {

struct HeardByNode {
  std::string node;
  wire::HeardHead heard;
};

struct AuditQuestion {
  std::string expected_head;  // 64 hex digits; "": none
  std::vector<HeardByNode> heard{};
  uint64_t epoch =
      0;  // of this control plane: what was heard in earlier ones a restore may explain
};

// {intact, rows, head, broken_row?, problem?, expected_row?, nodes: [{node, epoch, rows, head,
// verdict, why?}]}, with the verdicts same, explained (by a restore of an older backup, which is a
// row itself) and differs; expected_row is null when the expected head is nowhere in the chain.
Result<codec::Json> AuditVerdict(store::Store& store, const AuditQuestion& question);

// All of it holds.
bool IsIntact(const codec::Json& verdict);

}  // namespace weir::control::backup
