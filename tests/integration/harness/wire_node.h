// SPDX-License-Identifier: Apache-2.0
// A node of a test's own: it enrols, speaks the real wire under a key of its own, and does with
// what it gets as the test says. It refuses entries as a node with stricter limits would, and may
// send telemetry that no request stands behind. One thread; nothing happens but inside its calls,
// so pump it in every condition that is waited for, at least once a second.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "shared/transport/context.h"
#include "shared/transport/keys.h"
#include "shared/transport/socket.h"
#include "shared/wire/messages.h"
#include "tests/integration/harness/api.h"

namespace weir::integration {

class WireNode {
 public:
  using Key = std::pair<domain::EntryKind, std::string>;
  // Why the node does not take an entry with these bytes; "" if it does.
  using Refuses = std::function<std::string(const Key&, const std::string& body)>;

  explicit WireNode(std::string id, Refuses refuses = {});

  // Enrols and connects; welcome and snapshot come while it is pumped.
  Status Join(const Api& control);
  void Pump();

  // What it says is loaded.
  void Report(std::vector<wire::VersionReport> versions);
  // The next batch, resent until it is acknowledged.
  void Push(std::vector<wire::Series> series);

  bool is_welcome() const { return is_welcome_; }
  uint64_t epoch() const { return epoch_; }
  uint64_t version() const { return version_; }
  bool is_killed() const { return emergency_.kill_switch; }
  // How often bytes of this entry have come; removals count.
  int Times(const Key& key) const;
  // Whether it has the entry, and as it was sent last.
  bool HasTaken(const Key& key) const { return entries_.contains(key) && !refused_.contains(key); }
  size_t pending() const { return batches_.size(); }
  const std::string& id() const { return id_; }

 private:
  void OnFrame(const std::string& bytes);
  void Take(const wire::EntryChange& change);
  void SayHello();
  void SayApplied();
  void SendBatches();
  template <class Body>
  bool Send(transport::Socket& socket, wire::Type type, const Body& body);

  const std::string id_;
  const Refuses refuses_;
  transport::Context context_;
  transport::KeyPair keys_;
  std::optional<transport::Socket> cfg_, session_, telemetry_;
  uint64_t incarnation_ = 0;
  uint64_t sequence_ = 0;
  uint64_t epoch_ = 0;
  uint64_t version_ = 0;
  bool is_welcome_ = false;
  bool is_report_due_ = false;
  int64_t hello_at_ms_ = 0;
  int64_t beat_at_ms_ = 0;
  int64_t resend_at_ms_ = 0;
  domain::EmergencyOverlay emergency_;
  std::map<Key, std::string> entries_;  // as published
  std::map<Key, wire::RefusedEntry> refused_;
  std::map<Key, int> times_;
  std::vector<wire::VersionReport> versions_;
  std::map<uint64_t, wire::Batch> batches_;  // not acknowledged
  uint64_t last_batch_ = 0;
};

}  // namespace weir::integration
