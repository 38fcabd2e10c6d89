// SPDX-License-Identifier: Apache-2.0
// What nodes get, read back as they read it: for explain and GET /v1/snapshot. Core thread; what it
// gives is immutable, for any.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "controlplane/catalog/catalog.h"
#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/decision/ruleset.h"

namespace weir::control::api {

struct Compiled {
  decision::Ruleset rules;
  std::string digest_hex;
  codec::Json entries = codec::Json::array();  // [{kind, name, entry}]
};

class SnapshotCache {
 public:
  SnapshotCache(const catalog::Catalog& catalog, uint64_t epoch)
      : catalog_(catalog), epoch_(epoch) {}

  // Made again when the catalog's revision has changed; `version` is the version that nodes know
  // it by. DataLoss if an entry cannot be read.
  Result<std::shared_ptr<const Compiled>> Get(uint64_t version);

 private:
  const catalog::Catalog& catalog_;
  const uint64_t epoch_;
  uint64_t revision_ = 0;
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace weir::control::api
