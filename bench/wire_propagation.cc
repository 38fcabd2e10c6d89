// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <string>

#include "bench/crowd.h"
#include "bench/process.h"
#include "bench/raw_zmq.h"
#include "bench/wire.h"
#include "controlplane/publish/bus.h"
#include "shared/codec/msgpack.h"
#include "shared/domain/snapshot.h"

namespace weir::bench {
namespace {

using control::publish::AppliedEvent;
using control::publish::Bus;

constexpr int64_t kJoinMs = 60'000;
constexpr int64_t kChangeMs = 20'000;
constexpr size_t kFlags = 10;
constexpr size_t kMetadataBytes = 3700;  // a delta of it is a little below 4 KB
constexpr size_t kAppliedBytes = 60;     // what APPLIED is, header and all

double NowMs() { return static_cast<double>(Clock::System().MonotonicNs()) / 1e6; }

std::string FlagBody(const std::string& name, int i) {
  domain::FlagEntry flag;
  flag.name = name;
  flag.enabled = true;
  flag.threshold = static_cast<uint32_t>(1000 + i % 50'000);
  flag.seed = name;
  flag.metadata.text = R"({"description":")" + std::string(kMetadataBytes, 'd') + "\"}";
  return codec::ToMsgpack(flag);
}

control::catalog::EntryBody Entry(size_t flag, int i) {
  const std::string name = fmt::format("flag-{}", flag);
  return {domain::EntryKind::kFlag, name, FlagBody(name, i)};
}

// Tells the measuring thread when so many nodes have applied a version.
class Arrival {
 public:
  void Expect(uint64_t version, size_t nodes) {
    const std::lock_guard lock(mutex_);
    version_ = version;
    left_ = nodes;
  }
  void OnApplied(const AppliedEvent& event) {
    const std::lock_guard lock(mutex_);
    if (event.version != version_ || left_ == 0 || --left_ > 0) return;
    at_ms_ = NowMs();
    arrived_.notify_one();
  }
  // When the last of them had; 0 if they had not within so long.
  double Await(int64_t within_ms) {
    std::unique_lock lock(mutex_);
    const bool all = arrived_.wait_for(lock, std::chrono::milliseconds(within_ms),
                                       [this] { return left_ == 0; });
    return all ? at_ms_ : 0;
  }

 private:
  std::mutex mutex_;  // the bus thread and the measuring one meet here
  std::condition_variable arrived_;
  uint64_t version_ = 0;
  size_t left_ = 0;
  double at_ms_ = 0;
};

// The control plane's bus and nodes, without what stands behind and before them.
class Wire {
 public:
  explicit Wire(size_t nodes) : nodes_(nodes) {}

  Status Open() {
    WEIR_ASSIGN_OR_RETURN(crowd_, Crowd::Make(nodes_, "n"));
    control::publish::BusOptions options{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", {}, 1, {}};
    WEIR_ASSIGN_OR_RETURN(options.keys, transport::GenerateKeyPair());
    for (const Crowd::Identity& identity : crowd_->identities())
      options.nodes.emplace_back(identity.id, identity.keys.public_key);
    std::vector<control::catalog::EntryBody> entries;
    for (size_t i = 0; i < kFlags; ++i) entries.push_back(Entry(i, 0));
    arrival_.Expect(revision_, nodes_);
    Bus::Listener listener;
    listener.on_nodes = [this](auto) { ++views_; };
    listener.on_applied = [this](const AppliedEvent& event) { arrival_.OnApplied(event); };
    listener.on_telemetry = [](auto) {};
    listener.on_counters = [](const auto&) {};
    bus_ = std::make_unique<Bus>(context_, std::move(listener));
    WEIR_RETURN_IF_ERROR(bus_->Start(options, entries, revision_, {}, {}));
    WEIR_RETURN_IF_ERROR(
        crowd_->Connect(bus_->addresses().cfg, bus_->addresses().session, options.keys.public_key));
    if (arrival_.Await(kJoinMs) == 0)
      return Unavailable(fmt::format("not all of {} nodes joined", nodes_));
    PauseMs(1500);  // a beacon, and the sockets are at rest
    static_cast<void>(crowd_->TakeReceiverNs());
    return OkStatus();
  }
  ~Wire() {
    if (crowd_ != nullptr) crowd_->Stop();
    if (bus_ != nullptr) bus_->Stop();
  }

  Result<double> Change(int i) {
    control::catalog::Committed committed;
    committed.previous_revision = revision_;
    committed.revision = ++revision_;
    committed.entries = {Entry(static_cast<size_t>(i) % kFlags, i)};
    arrival_.Expect(revision_, nodes_);
    const double start = NowMs();
    bus_->Publish(committed);
    const double end = arrival_.Await(kChangeMs);
    if (end == 0)
      return Unavailable(fmt::format("not all of {} nodes applied version {}", nodes_, revision_));
    return end - start;
  }
  Crowd& crowd() { return *crowd_; }
  uint64_t views() const { return views_; }

 private:
  const size_t nodes_;
  transport::Context context_;
  Arrival arrival_;
  uint64_t revision_ = 1;
  std::atomic<uint64_t> views_{0};
  std::unique_ptr<Crowd> crowd_;
  std::unique_ptr<Bus> bus_;
};

struct Samples {
  std::vector<double> weir;
  std::vector<double> received;  // of raw libzmq
  std::vector<double> replied;
  double receivers_ms = 0;  // of a change, all nodes together
  double views = 0;         // of a change
};

// Alternately, with both crowds connected all the while. A pause between, so that one's end is not
// the other's beginning.
Status Run(Wire& wire, RawFanOut& raw, int changes, Samples& samples) {
  const std::string bytes = FlagBody("flag-0", 0) + std::string(120, 'h');
  const uint64_t views = wire.views();
  for (int i = 1; i <= changes && !Interrupted(); ++i) {
    WEIR_ASSIGN_OR_RETURN(const double ms, wire.Change(i));
    samples.weir.push_back(ms);
    PauseMs(3 + i * 7 % 13);
    WEIR_ASSIGN_OR_RETURN(const RawFanOut::Times times, raw.Publish(bytes));
    samples.received.push_back(times.received_ms);
    samples.replied.push_back(times.replied_ms);
    PauseMs(3 + i * 5 % 11);
  }
  samples.views = static_cast<double>(wire.views() - views) / changes;
  samples.receivers_ms = static_cast<double>(wire.crowd().TakeReceiverNs()) / 1e6 / changes;
  return OkStatus();
}

Status Propagation(size_t nodes, int changes, Report& report) {
  Samples samples;
  {
    Wire wire(nodes);
    WEIR_RETURN_IF_ERROR(wire.Open());
    WEIR_ASSIGN_OR_RETURN(const auto raw, RawFanOut::Open(nodes, kAppliedBytes));
    WEIR_RETURN_IF_ERROR(Run(wire, *raw, changes, samples));
  }
  for (const double q : {0.5, 0.99}) {
    report.Add({.name = fmt::format("change → APPLIED by all of {} nodes, p{:.0f}", nodes, q * 100),
                .value = Quantile(samples.weir, q),
                .unit = "ms",
                .yardstick = "raw libzmq, CURVE, with replies",
                .yardstick_value = Quantile(samples.replied, q),
                .goal = q == 0.5 ? 2.0 : 0.0});
  }
  report.Add({.name = "  of it verified and applied, all nodes together",
              .value = samples.receivers_ms,
              .unit = "ms",
              .yardstick = "raw libzmq, without replies, p50",
              .yardstick_value = Quantile(samples.received, 0.5)});
  if (nodes == 1000) {
    report.Add({.name = "  at 1000 nodes, p99",
                .value = Quantile(samples.weir, 0.99),
                .unit = "ms",
                .yardstick = "the goal, 100 ms",
                .yardstick_value = 100,
                .goal = 1});
  }
  report.Note(
      fmt::format("Propagation to {} nodes: {} changes, {:.1f} views of the nodes made for "
                  "each.",
                  nodes, changes, samples.views));
  return OkStatus();
}

}  // namespace

Status MeasurePropagation(const WireEffort& effort, Report& report) {
  for (const size_t nodes : effort.nodes) {
    if (!Interrupted()) WEIR_RETURN_IF_ERROR(Propagation(nodes, effort.changes, report));
  }
  report.Note(
      "Propagation: a flag whose delta has 3.9 KB, from handing the commit to the control plane's "
      "bus until its registry has APPLIED of every node; real sockets, CURVE, one thread for all "
      "nodes, each with its own two connections and its own receiver. Raw libzmq: as many SUBs get "
      "as many bytes, CURVE too, and answer each on a DEALER. Both alternate in one run and share "
      "the machine's cores with all their peers.");
  return OkStatus();
}

}  // namespace weir::bench
