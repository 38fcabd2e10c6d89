// SPDX-License-Identifier: Apache-2.0
// What nodes had in force and did by themselves, on its way into the store: collected as it is
// heard, written with the next group commit (Ledger). Core thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "controlplane/store/records.h"
#include "shared/wire/messages.h"

namespace weir::control::ingest {

class NodeTrail {
 public:
  // How long the store keeps it; longer than any window of an audit that people do by hand.
  static constexpr int64_t kKeepMs = 35LL * 86'400'000;

  void OnApplied(store::AppliedRow row) { applied_.push_back(std::move(row)); }
  // All that a node reports now; only what is new or has changed since the last call is stored. A
  // new incarnation (its wall ms of start) ends what the one before left open.
  void OnEpisodes(const std::string& node, uint64_t incarnation,
                  const std::vector<wire::Episode>& episodes);

  // What waits, moved into the record; MarkDirty gives it back when it could not be stored.
  void TakeInto(store::TelemetryRecord& record);
  void MarkDirty(store::TelemetryRecord& record);

 private:
  using Key = std::tuple<std::string, std::string, int64_t>;  // kind, subject, from
  struct Node {
    uint64_t incarnation = 0;
    std::map<Key, wire::Episode> known;
  };

  std::map<std::string, Node> nodes_;
  std::vector<store::AppliedRow> applied_;
  std::vector<store::EpisodeRow> episodes_;
  std::vector<std::pair<std::string, int64_t>> restarts_;
};

}  // namespace weir::control::ingest
