// SPDX-License-Identifier: Apache-2.0
// `weir explain --at`: what a key got at a moment of the past, rebuilt from history: the revisions
// that were in force then (on one node: those that it had applied by then), with the emergencies of
// those revisions and what nodes did by themselves.
//
// Core gathers rows (Dependencies::past), an HTTP worker decides (ExplainPast).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/store/records.h"
#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/domain/resource.h"
#include "shared/explain/explain.h"

namespace weir::control::api {

// [from, to), wall ms.
struct Span {
  int64_t from_ms = 0;
  int64_t to_ms = 0;
};

// A moment as people write it covers what its precision leaves open: 14:05 a minute, 14:05:30 a
// second, 14:05:30.5 a millisecond. InvalidArgument says what is accepted.
Result<Span> ReadSpan(std::string_view text);

struct PastQuery {
  Span span;
  std::string node;                // "": as published
  std::vector<std::string> kinds;  // of resources, that the answer depends on
};

// What a query's answer depends on: of one for a model alone, only what concerns models.
std::vector<std::string> KindsOf(const explain::Query& asked);

struct Past {
  static constexpr size_t kMaxRevisions = 200;  // of one answer

  uint64_t base = 0;  // the revision that `resources` stood at
  std::vector<store::ResourceRow> resources;
  std::vector<store::RevisionRow> revisions;  // those after base that matter, oldest first
  std::vector<store::AppliedRow> applied;     // with a node: of it, the one before the span first
  std::vector<store::EpisodeRow> episodes;    // that touch the span
  domain::Labels labels;                      // the node's, as they are now; for rows without
};

// {key, node?, at: {from, to}, answers: [{from, to, revision, actor, reason, epoch?, refused?,
// flags, splits, experiments, emergency?, episodes?}], retention_days, notes?}. Neighbours that
// answer alike are one. No answers: nothing was in force (or is known of the node) then.
Result<codec::Json> ExplainPast(const Past& past, const PastQuery& query,
                                const explain::Query& asked);

}  // namespace weir::control::api
