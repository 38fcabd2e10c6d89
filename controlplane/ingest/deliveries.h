// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "controlplane/ingest/accountant.h"
#include "controlplane/ingest/folder.h"
#include "controlplane/store/records.h"
#include "shared/codec/json.h"

namespace weir::control::ingest {

// The two sides of telemetry's books, for `weir telemetry audit`: how many batches each life of a
// node says it sent, and how many were counted or declared lost. On the core thread.
class Deliveries {
 public:
  // What the store has; first.
  void Restore(const HighWaters& counted, const std::vector<store::ReportedRow>& reported);
  void Add(const TelemetryTick& tick);

  // What changed since the last call; MarkDirty gives it back when it could not be stored.
  std::vector<store::ReportedRow> TakeDirty();
  void MarkDirty(const std::vector<store::ReportedRow>& rows);

  // {agrees, items: [{node, incarnation, started_at, state, sent, counted, merged, declared_lost,
  // pending, agrees, why?}]}, of one node or of all ("").
  //   state   live; ended (said goodbye); gone (did not: what it sent last is not known); and
  //           silent for one that has not said what it sent, as nodes before 1.1 do not
  //   pending what it sent and is neither counted nor declared lost: on its way, or gone with it
  // A row agrees while sent = counted + declared_lost + pending, nothing that the node takes for
  // delivered is missing here, and nothing was counted that it had not sent.
  using IsLive = std::function<bool(const std::string& node, uint64_t incarnation)>;
  codec::Json View(const std::string& node, const IsLive& is_live) const;

 private:
  struct Book {
    HighWater counted;
    bool is_told = false;
    Told told;
  };

  static codec::Json Row(const Origin& origin, const Book& book, bool is_live);

  std::map<Origin, Book> books_;
  std::set<Origin> dirty_;
};

}  // namespace weir::control::ingest
