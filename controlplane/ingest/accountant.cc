// SPDX-License-Identifier: Apache-2.0
#include "controlplane/ingest/accountant.h"

#include <algorithm>
#include <utility>

namespace weir::control::ingest {

Accountant::Account* Accountant::Find(const Origin& origin) {
  Node& node = nodes_[origin.node];
  if (const auto known = node.incarnations.find(origin.incarnation);
      known != node.incarnations.end())
    return &known->second;
  if (origin.incarnation <= node.forgotten_up_to) return nullptr;
  Account& account = node.incarnations[origin.incarnation];
  // The oldest goes, but never the one that was just asked for.
  const auto oldest = node.incarnations.begin();
  if (node.incarnations.size() > kIncarnationsKept && oldest->first != origin.incarnation) {
    node.forgotten_up_to = oldest->first;
    node.incarnations.erase(oldest);
  }
  return &account;
}

void Accountant::Restore(const HighWaters& committed) {
  for (const auto& [origin, high_water] : committed) {
    Account* account = Find(origin);
    if (account == nullptr) continue;
    account->applied = high_water;
    account->committed = high_water.seq;
  }
  changed_.clear();
}

void Accountant::Release(const Origin& origin, Account& account, Answer& answer) {
  std::map<uint64_t, wire::Batch>& held = account.held;
  held.erase(held.begin(), held.upper_bound(account.applied.seq));
  while (!held.empty() && held.begin()->first == account.applied.seq + 1) {
    account.applied.seq = held.begin()->first;
    answer.apply.push_back(std::move(held.begin()->second));
    held.erase(held.begin());
    ++account.applied.counted;
    ++counters_.applied;
    changed_.insert(origin);
  }
}

Accountant::Answer Accountant::OnHello(const Origin& origin, uint64_t oldest_unacked) {
  Answer answer;
  Account* account = Find(origin);
  if (account == nullptr || oldest_unacked <= account->applied.seq + 1) return answer;
  // Between what was applied and what can still come, only what waits here can be saved.
  uint64_t lost = oldest_unacked - account->applied.seq - 1;
  for (auto at = account->held.begin(); at != account->held.end() && at->first < oldest_unacked;) {
    answer.apply.push_back(std::move(at->second));
    at = account->held.erase(at);
    ++account->applied.counted;
    ++counters_.applied;
    --lost;
  }
  account->applied.seq = oldest_unacked - 1;
  account->applied.lost += lost;
  counters_.lost += lost;
  changed_.insert(origin);
  Release(origin, *account, answer);
  return answer;
}

Result<Accountant::Answer> Accountant::OnBatch(wire::Batch batch) {
  if (batch.seq == 0) return InvalidArgument("seq", "0 is no number of a batch");
  Answer answer;
  const Origin origin{batch.node, batch.incarnation};
  Account* account = Find(origin);
  if (account == nullptr) {
    ++counters_.dropped;
    return answer;
  }
  const uint64_t applied = account->applied.seq;
  if (batch.seq <= account->committed) {
    ++counters_.duplicates;
    answer.ack_again = account->committed;
  } else if (batch.seq <= applied) {
    ++counters_.duplicates;
  } else if (batch.seq - applied > kWindow) {
    ++counters_.dropped;
  } else {
    const uint64_t seq = batch.seq;
    const bool is_new = account->held.try_emplace(seq, std::move(batch)).second;
    if (!is_new) ++counters_.duplicates;
    if (is_new && seq != applied + 1) ++counters_.held;
    Release(origin, *account, answer);
  }
  return answer;
}

uint64_t Accountant::CommittedOf(const Origin& origin) const {
  const auto node = nodes_.find(origin.node);
  if (node == nodes_.end()) return 0;
  const auto account = node->second.incarnations.find(origin.incarnation);
  return account == node->second.incarnations.end() ? 0 : account->second.committed;
}

uint64_t Accountant::AppliedOf(const Origin& origin) const {
  const auto node = nodes_.find(origin.node);
  if (node == nodes_.end()) return 0;
  const auto account = node->second.incarnations.find(origin.incarnation);
  return account == node->second.incarnations.end() ? 0 : account->second.applied.seq;
}

HighWaters Accountant::TakeChanged() {
  HighWaters out;
  for (const Origin& origin : changed_) {
    const Node& node = nodes_[origin.node];
    const auto account = node.incarnations.find(origin.incarnation);
    if (account != node.incarnations.end()) out[origin] = account->second.applied;
  }
  changed_.clear();
  return out;
}

void Accountant::OnTold(const Origin& origin, const wire::Delivery& delivery, bool ended) {
  Account* account = Find(origin);
  if (account == nullptr) return;
  std::deque<uint64_t>& before = account->seq_when_told;
  told_[origin] = {delivery, ended, before.size() < kTellings ? 0 : before.front()};
  if (before.size() == kTellings) before.pop_front();
  before.push_back(account->applied.seq);
}

std::map<Origin, Told> Accountant::TakeTold() { return std::exchange(told_, {}); }

void Accountant::OnCommitted(const HighWaters& stored) {
  for (const auto& [origin, high_water] : stored) {
    Account* account = Find(origin);
    if (account != nullptr) account->committed = std::max(account->committed, high_water.seq);
  }
}

}  // namespace weir::control::ingest
