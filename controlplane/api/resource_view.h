// SPDX-License-Identifier: Apache-2.0
// Resources as the API shows them: the document, with the status that the system works out now.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/catalog/catalog.h"
#include "controlplane/ingest/flag_totals.h"
#include "controlplane/publish/node_status.h"
#include "controlplane/rollout/driver.h"
#include "shared/base/clock.h"
#include "shared/codec/json.h"
#include "shared/domain/resource.h"
#include "shared/domain/validate.h"

namespace weir::control::api {

// What a status is worked out from. Core thread.
struct World {
  const Clock& clock;
  const catalog::Catalog& catalog;
  const rollout::Driver& rollouts;
  std::shared_ptr<const publish::NodesView> nodes;  // never null
  const ingest::FlagTotals& flag_totals;
  std::function<codec::Json(const std::string& sink)> sink_status{};      // may be empty
  std::function<codec::Json(const std::string& policy)> policy_status{};  // may be empty
};

// The catalog's ForEach as domain functions want it.
domain::ForEach ForEachOf(const catalog::Catalog& catalog);
std::vector<std::string> NamesOf(const catalog::Catalog& catalog, domain::Kind kind);
// "there is no flag "x" (did you mean …)".
Status NoSuchResource(const catalog::Catalog& catalog, domain::Kind kind, const std::string& name);

// The active rollout of a model or flag, or null.
const domain::Resource* ActiveRolloutOf(const catalog::Catalog& catalog, domain::Kind subject_kind,
                                        const std::string& subject);

// For how many percent of keys a rollout flag is meant to be on: an active rollout's percentage,
// else its own; 0 while it is disabled or rolled back. Emergencies are not looked at.
double ConfiguredPercentage(const domain::Resource& flag, const World& world);

// The envelope of SURFACES.
codec::Json ViewOf(const domain::Resource& resource, const World& world);

// Of a token's document leaves enough of the hash to tell it from others.
void HideHash(codec::Json& document);

// A rehearsed fault that is in force now.
bool IsFaultActive(const domain::Fault& fault, int64_t now_wall_ms);

}  // namespace weir::control::api
