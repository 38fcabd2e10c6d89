// SPDX-License-Identifier: Apache-2.0
#include "controlplane/publish/nodes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "shared/domain/snapshot.h"
#include "shared/http/address.h"

namespace weir::control::publish {
namespace {

constexpr size_t kAppliedKept = 32;
constexpr size_t kHeardKept = 4;
constexpr int64_t kNodesPerMs = 100;  // in views
constexpr size_t kFormerKept = 8;
// Of a node's overrides; what is beyond is not shown.
constexpr size_t kOverridesKept = 100;
constexpr size_t kOverrideBytes = 500;

// What a node says is shown in terminals: no control characters.
void Clean(std::string& text) {
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  std::replace_if(text.begin(), text.end(), is_control, '?');
}

template <class T>
void Remember(std::deque<T>& former, const T& value) {
  former.push_back(value);
  if (former.size() > kFormerKept) former.pop_front();
}

template <class T>
bool Remembers(const std::deque<T>& former, const T& value) {
  return std::find(former.begin(), former.end(), value) != former.end();
}

// What a node says is its address is read by people and tools; "" unless it is one.
std::string AddressOrNone(const std::string& text) {
  const auto is_plain = [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("-.:[]").find(c) != std::string_view::npos;
  };
  const bool is_address =
      http::ParseAddress(text).ok() && std::all_of(text.begin(), text.end(), is_plain);
  return is_address ? text : "";
}

std::vector<std::string> Bounded(std::vector<std::string> overrides) {
  if (overrides.size() > kOverridesKept) overrides.resize(kOverridesKept);
  for (std::string& sentence : overrides) {
    if (sentence.size() > kOverrideBytes) sentence.resize(kOverrideBytes);
    Clean(sentence);
  }
  return overrides;
}

std::vector<wire::Episode> Bounded(std::vector<wire::Episode> episodes) {
  if (episodes.size() > wire::NodeReport::kMaxEpisodes)
    episodes.resize(wire::NodeReport::kMaxEpisodes);
  for (wire::Episode& episode : episodes) {
    for (std::string* text : {&episode.kind, &episode.subject, &episode.detail}) {
      if (text->size() > kOverrideBytes) text->resize(kOverrideBytes);
      Clean(*text);
    }
  }
  return episodes;
}

std::vector<std::string> NamesOf(const std::vector<wire::RefusedEntry>& refused) {
  std::vector<std::string> names;
  for (const wire::RefusedEntry& entry : refused) {
    names.push_back(fmt::format(
        "{} {}", domain::EntryKindName(static_cast<domain::EntryKind>(entry.kind)), entry.name));
  }
  return names;
}

}  // namespace

Nodes::Nodes(uint64_t epoch, OnView on_view, OnApplied on_applied)
    : epoch_(epoch), on_view_(std::move(on_view)), on_applied_(std::move(on_applied)) {}

NodeStatus* Nodes::Writable(const std::string& node) {
  const auto found = nodes_.find(node);
  if (found == nodes_.end()) return nullptr;
  Entry& entry = found->second;
  if (entry.is_shared) entry.status = std::make_shared<NodeStatus>(*entry.status);
  entry.is_shared = false;
  return entry.status.get();
}

void Nodes::Hello(const std::string& peer, const wire::Hello& hello, const std::string& problem,
                  int64_t now_ms) {
  const auto [at, fresh] = nodes_.try_emplace(hello.node);
  Entry& entry = at->second;
  if (fresh || entry.status->incarnation != hello.incarnation) {
    if (!fresh) {
      MoveTo(entry, peer);
      Remember(entry.former_incarnations, entry.status->incarnation);
      entry.draining = false;
      entry.sequences.clear();
    }
    entry.is_shared = false;
    entry.status = std::make_shared<NodeStatus>();
    entry.status->id = hello.node;
    entry.status->incarnation = hello.incarnation;
  }
  NodeStatus& status = *Writable(hello.node);
  changed_ = true;
  status.labels = hello.labels;
  status.program = hello.program;
  status.http = AddressOrNone(hello.http);
  status.admin = AddressOrNone(hello.admin);
  status.features = hello.features;
  status.problem = problem;
  status.last_seen_ms = now_ms;
  MoveTo(entry, peer);
  entry.said_goodbye = false;
  UpdateState(entry, now_ms);
}

void Nodes::MoveTo(Entry& entry, const std::string& peer) {
  if (entry.peer == peer) return;
  if (!entry.peer.empty()) Remember(entry.former_peers, entry.peer);
  std::erase(entry.former_peers, peer);
  entry.peer = peer;
}

bool Nodes::IsNews(const std::string& node, const std::string& peer, uint64_t incarnation,
                   const wire::Header& header) const {
  const auto found = nodes_.find(node);
  if (found == nodes_.end()) return true;
  const Entry& entry = found->second;
  const bool is_other_life = incarnation != 0 && incarnation != entry.status->incarnation;
  const bool is_hello = header.type == wire::Type::kHello;
  if (is_other_life) return is_hello && !Remembers(entry.former_incarnations, incarnation);
  if (!is_hello && Remembers(entry.former_peers, peer)) return false;
  const auto last = entry.sequences.find(header.type);
  return header.sequence == 0 || last == entry.sequences.end() || header.sequence > last->second;
}

void Nodes::Note(const std::string& node, const wire::Header& header) {
  const auto found = nodes_.find(node);
  if (found != nodes_.end()) found->second.sequences[header.type] = header.sequence;
}

void Nodes::Seen(const std::string& node, const std::string& peer, int64_t now_ms) {
  NodeStatus* status = Writable(node);
  if (status == nullptr) return;
  refreshed_ = true;
  status->last_seen_ms = now_ms;
  Entry& entry = nodes_[node];
  MoveTo(entry, peer);
  UpdateState(entry, now_ms);
}

void Nodes::Applied(const std::string& node, uint64_t epoch, uint64_t version,
                    std::vector<wire::RefusedEntry> refused, int64_t now_ms) {
  NodeStatus* status = Writable(node);
  if (status == nullptr) return;
  changed_ = true;
  const bool is_new = status->epoch != epoch || status->version != version;
  if (status->epoch != epoch) status->applied.clear();
  status->epoch = epoch;
  status->version = version;
  status->refused = std::move(refused);
  for (wire::RefusedEntry& entry : status->refused) Clean(entry.detail);
  if (is_new && epoch == epoch_) {
    status->applied.push_back({version, now_ms});
    if (status->applied.size() > kAppliedKept) status->applied.erase(status->applied.begin());
    on_applied_({node, version, now_ms, NamesOf(status->refused), status->labels});
  }
  UpdateState(nodes_[node], now_ms);
}

void Nodes::Carries(const std::string& node, uint64_t version, int64_t now_ms) {
  const auto found = nodes_.find(node);
  if (found == nodes_.end()) return;
  Applied(node, epoch_, version, found->second.status->refused, now_ms);
}

void Nodes::Report(const std::string& node, const wire::NodeReport& report) {
  NodeStatus* status = Writable(node);
  if (status == nullptr) return;
  changed_ = true;
  status->versions = report.versions;
  for (wire::VersionReport& version : status->versions) Clean(version.detail);
  status->overrides = Bounded(report.overrides);
  status->episodes = Bounded(report.episodes);
  Entry& entry = nodes_[node];
  entry.draining = report.draining;
  status->cordoned = report.cordoned;
  UpdateState(entry, status->last_seen_ms);
}

void Nodes::Heartbeat(const std::string& node, const wire::Heartbeat& heartbeat) {
  NodeStatus* status = Writable(node);
  if (status == nullptr) return;
  refreshed_ = true;
  status->pending_batches = heartbeat.pending_batches;
  status->open_requests = heartbeat.open_requests;
  status->quiet_ms = heartbeat.quiet_ms;
  status->memory_bytes = heartbeat.resident_bytes;
  status->heard = heartbeat.heard;
  if (status->heard.size() > kHeardKept) status->heard.resize(kHeardKept);
}

void Nodes::Goodbye(const std::string& node) {
  NodeStatus* status = Writable(node);
  if (status == nullptr) return;
  changed_ = true;
  Entry& entry = nodes_[node];
  entry.said_goodbye = true;
  UpdateState(entry, status->last_seen_ms);
}

void Nodes::Refuse(const std::string& node, const std::string& problem, int64_t now_ms) {
  const auto [at, fresh] = nodes_.try_emplace(node);
  if (fresh) {
    at->second.status = std::make_shared<NodeStatus>();
    at->second.status->id = node;
    at->second.status->last_seen_ms = now_ms;
  }
  changed_ = true;
  NodeStatus& status = *Writable(node);
  status.problem = problem;
  Clean(status.problem);
  UpdateState(at->second, now_ms);
}

void Nodes::UpdateState(Entry& entry, int64_t now_ms) {
  const NodeStatus& status = *entry.status;
  const int64_t silent_ms = now_ms - status.last_seen_ms;
  NodeState next = NodeState::kReady;
  if (entry.said_goodbye || !status.problem.empty() || silent_ms >= kGoneAfterMs) {
    next = NodeState::kGone;
  } else if (silent_ms >= kStaleAfterMs) {
    next = NodeState::kStale;
  } else if (entry.draining) {
    next = NodeState::kDraining;
  } else if (status.epoch != epoch_) {
    next = NodeState::kJoining;
  }
  if (next == status.state) return;
  Writable(status.id)->state = next;
  changed_ = true;
}

void Nodes::Tick(int64_t now_ms) {
  changed_ = changed_ || refreshed_;
  refreshed_ = false;
  for (auto at = nodes_.begin(); at != nodes_.end();) {
    if (now_ms - at->second.status->last_seen_ms >= kForgetAfterMs) {
      at = nodes_.erase(at);
      changed_ = true;
      continue;
    }
    UpdateState(at->second, now_ms);
    ++at;
  }
}

int64_t Nodes::Flush(int64_t now_ms) {
  if (!changed_) return 0;
  const auto every_ms = static_cast<int64_t>(nodes_.size()) / kNodesPerMs;
  const int64_t wait_ms = flushed_at_ms_ ? *flushed_at_ms_ + every_ms - now_ms : 0;
  if (wait_ms > 0) return wait_ms;
  changed_ = false;
  flushed_at_ms_ = now_ms;
  auto view = std::make_shared<NodesView>();
  view->epoch = epoch_;
  view->nodes.reserve(nodes_.size());
  for (auto& [id, entry] : nodes_) {
    entry.is_shared = true;
    view->nodes.push_back(entry.status);
  }
  on_view_(std::move(view));
  return 0;
}

std::string Nodes::PeerOf(const std::string& node) const {
  const auto found = nodes_.find(node);
  return found == nodes_.end() ? "" : found->second.peer;
}

uint64_t Nodes::IncarnationOf(const std::string& node) const {
  const auto found = nodes_.find(node);
  return found == nodes_.end() ? 0 : found->second.status->incarnation;
}

}  // namespace weir::control::publish
