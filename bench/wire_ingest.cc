// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/process.h"
#include "bench/raw_zmq.h"
#include "bench/wire.h"
#include "controlplane/publish/bus.h"
#include "dataplane/report/reporter.h"
#include "shared/transport/socket.h"

namespace weir::bench {
namespace {

using control::publish::Bus;

constexpr int kNodes = 8;
constexpr int64_t kStepMs = 60'000;
constexpr int kAnswersPerBatch = 100;  // and arm: what 1,000 requests a second are every 100 ms

double NowMs() { return static_cast<double>(Clock::System().MonotonicNs()) / 1e6; }

telemetry::Window OneWindow(int salt) {
  telemetry::Shard shard;
  std::vector<std::shared_ptr<telemetry::Cell>> cells;
  for (const bool is_canary : {false, true}) {
    const char* arm = is_canary ? telemetry::kArmCanary : telemetry::kArmStable;
    const auto cell = shard.Prepare({"model/fraud_detection", is_canary ? "1.1.0" : "1.0.0", arm});
    for (int i = 0; i < kAnswersPerBatch; ++i) {
      cell->RecordAnswer(1.0 + (i * 37 + salt * 11) % 100 / 10.0, i % 50 == 0,
                         static_cast<uint32_t>(i));
      cell->RecordOutput((i * 13 + salt) % 100 / 100.0);
    }
    cells.push_back(cell);
  }
  return shard.Take();
}

// The frames that a node's reporter makes of `count` windows.
std::vector<std::string> Frames(const std::string& node, size_t count) {
  node::report::ReporterOptions options;
  options.node = node;
  options.incarnation = 1;
  node::report::Reporter reporter(options);
  std::vector<std::string> frames;
  for (size_t i = 1; i <= count; ++i) {
    const auto now_ms = static_cast<int64_t>(i) * 100;
    reporter.Add(OneWindow(static_cast<int>(i % 16)), now_ms);
    reporter.FlushAll(now_ms, [&](const std::string& frame) {
      frames.push_back(frame);
      return true;
    });
    reporter.OnAck(1, i);
  }
  return frames;
}

class Senders {
 public:
  explicit Senders(size_t batches) {
    for (int i = 0; i < kNodes; ++i)
      frames_.push_back(Frames(fmt::format("n-{}", i), batches / kNodes));
  }
  size_t total() const { return frames_.size() * frames_[0].size(); }
  size_t frame_bytes() const { return frames_[0].back().size(); }
  Result<std::vector<std::pair<std::string, std::string>>> Keys() {
    std::vector<std::pair<std::string, std::string>> known;
    for (int i = 0; i < kNodes; ++i) {
      WEIR_ASSIGN_OR_RETURN(keys_.emplace_back(), transport::GenerateKeyPair());
      known.emplace_back(fmt::format("n-{}", i), keys_.back().public_key);
    }
    return known;
  }
  // Sends all that it has, a few of each node in turn, as fast as it is taken.
  Status Send(const std::string& address, const std::string& server_key) {
    for (const transport::KeyPair& keys : keys_) {
      WEIR_ASSIGN_OR_RETURN(
          auto socket, transport::Socket::OpenClient(context_, transport::Role::kTelemetryClient,
                                                     keys, server_key));
      WEIR_RETURN_IF_ERROR(socket.Connect(address));
      sockets_.push_back(std::move(socket));
    }
    const double end_ms = NowMs() + kStepMs;
    for (size_t i = 0; i < frames_[0].size(); ++i) {
      for (size_t node = 0; node < sockets_.size(); ++node) {
        while (!sockets_[node].Send(frames_[node][i]).ok()) {
          if (NowMs() > end_ms || Interrupted()) return Unavailable("telemetry is not taken");
          std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
      }
    }
    return OkStatus();
  }

 private:
  transport::Context context_;
  std::vector<std::vector<std::string>> frames_;
  std::vector<transport::KeyPair> keys_;
  std::vector<transport::Socket> sockets_;  // closed with this: what they queue would be lost
};

// Counts that grow, and the rate between a tenth and nine tenths of all.
class Rate {
 public:
  explicit Rate(size_t total) : total_(total) {}
  void At(uint64_t counted) {
    const auto share = static_cast<double>(counted) / static_cast<double>(total_);
    if (share < 0.1) return;
    if (first_ms_ == 0) {
      first_ms_ = NowMs();
      first_ = counted;
    } else if (share <= 0.95) {
      last_ms_ = NowMs();
      last_ = counted;
    }
  }
  double per_second() const {
    if (last_ms_ <= first_ms_) return 0;
    return static_cast<double>(last_ - first_) / (last_ms_ - first_ms_) * 1000;
  }

 private:
  const size_t total_;
  double first_ms_ = 0, last_ms_ = 0;
  uint64_t first_ = 0, last_ = 0;
};

// What this thread starts runs on core 0, what it does itself afterwards on the others.
Status OnCoreZero(const std::function<Status()>& start) {
  PinToCore(0, 0);
  const Status status = start();
  Cores() > 1 ? PinToCore(0, 1) : Unpin();
  return status;
}

Status AwaitAll(const std::function<uint64_t()>& counted, size_t total) {
  for (const double end_ms = NowMs() + kStepMs; counted() < total; PauseMs(5)) {
    if (NowMs() > end_ms || Interrupted())
      return Unavailable(fmt::format("{} of {} batches were counted", counted(), total));
  }
  return OkStatus();
}

Result<double> WeirRate(size_t batches) {
  Senders senders(batches);
  transport::Context context;
  Rate rate(senders.total());
  std::atomic<uint64_t> counted{0};
  control::ingest::HighWaters high_waters;  // the bus thread's
  Bus::Listener listener;
  listener.on_nodes = [](auto) {};
  listener.on_applied = [](const auto&) {};
  listener.on_counters = [](const auto&) {};
  listener.on_telemetry = [&](const control::ingest::TelemetryTick& tick) {
    for (const auto& [origin, high_water] : tick.high_waters) high_waters[origin] = high_water;
    uint64_t sum = 0;
    for (const auto& [origin, high_water] : high_waters) sum += high_water.seq;
    counted = sum;
    rate.At(sum);
  };
  control::publish::BusOptions options{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", {}, 1, {}};
  WEIR_ASSIGN_OR_RETURN(options.keys, transport::GenerateKeyPair());
  WEIR_ASSIGN_OR_RETURN(options.nodes, senders.Keys());
  Bus bus(context, std::move(listener));
  Status status = OnCoreZero([&] { return bus.Start(options, {}, 1, {}, {}); });
  if (status.ok()) status = senders.Send(bus.addresses().telemetry, options.keys.public_key);
  if (status.ok()) status = AwaitAll([&] { return counted.load(); }, senders.total());
  bus.Stop();
  Unpin();
  if (!status.ok()) return status;
  return rate.per_second();
}

Result<double> RawRate(size_t batches, size_t& frame_bytes) {
  Senders senders(batches);
  frame_bytes = senders.frame_bytes();
  WEIR_RETURN_IF_ERROR(senders.Keys().status());
  Rate rate(senders.total());
  std::unique_ptr<RawPull> pull;
  WEIR_RETURN_IF_ERROR(OnCoreZero([&]() -> Status {
    WEIR_ASSIGN_OR_RETURN(pull, RawPull::Open());
    return OkStatus();
  }));
  std::atomic<bool> stop{false};
  std::thread watcher([&] {
    for (; !stop; std::this_thread::sleep_for(std::chrono::milliseconds(10)))
      rate.At(pull->decoded());
  });
  Status status = senders.Send(pull->address(), pull->public_key());
  if (status.ok()) status = AwaitAll([&] { return pull->decoded(); }, senders.total());
  stop = true;
  watcher.join();
  Unpin();
  if (!status.ok()) return status;
  return rate.per_second();
}

}  // namespace

Status MeasureIngest(const WireEffort& effort, Report& report) {
  size_t frame_bytes = 0;
  std::vector<double> weir;
  std::vector<double> raw;
  for (int round = 0; round < 3 && !Interrupted(); ++round) {
    WEIR_ASSIGN_OR_RETURN(weir.emplace_back(), WeirRate(effort.batches));
    WEIR_ASSIGN_OR_RETURN(raw.emplace_back(), RawRate(effort.batches, frame_bytes));
  }
  report.Add({.name = "telemetry: decoded, accounted and folded, one core",
              .value = Median(weir),
              .unit = "batches/s",
              .yardstick = "a PULL loop that decodes, one core",
              .yardstick_value = Median(raw),
              .more_is_better = true});
  report.Note(fmt::format(
      "Ingest: {} batches of {} bytes (two digests and a histogram of {} answers) from {} nodes, "
      "sent as fast as they are taken; the receiver's threads, libzmq's among them, are on core 0, "
      "the senders on core 1. Weir's are counted as core is handed them, every 100 ms; the median "
      "of three runs of each, in turn.",
      effort.batches, frame_bytes, kAnswersPerBatch, kNodes));
  return OkStatus();
}

}  // namespace weir::bench
