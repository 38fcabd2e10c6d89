// SPDX-License-Identifier: Apache-2.0
// Frames of the session and of cfg in any order, to both ends: a control plane's hub, as coming
// from one of two nodes, and a node's link. Before each frame a byte that says where it goes, and
// its length in two. A node is never shown under a name that its key has not; a link only goes
// forward; what either sends can be read.
#include <set>
#include <string>
#include <string_view>

#include "controlplane/publish/hub.h"
#include "dataplane/bus/link.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "tests/fuzz/hub_fuzz.h"
#include "tests/fuzz/require.h"

namespace weir {
namespace {

constexpr uint64_t kEpoch = 100;

class ControlEnd {
 public:
  explicit ControlEnd(const ManualClock& clock)
      : hub_(outbox_, clock, kEpoch,
             {[](const auto& view) { CheckView(*view); },
              [](const auto& event) { CheckName(event.node); }, [](const auto&) {}}) {
    hub_.Reset({{domain::EntryKind::kFlag, "a", "1"}}, 2, {}, {});
  }
  void Give(bool second, const std::string& frame) {
    hub_.OnSession(second ? "peer-2" : "peer-1", second ? "node-2" : "node-1", frame);
    hub_.FlushNodes();
  }
  void Tick() { hub_.Tick(); }

 private:
  static void CheckName(const std::string& node) {
    WEIR_REQUIRE(node == "node-1" || node == "node-2", node);
  }
  static void CheckView(const control::publish::NodesView& view) {
    for (const auto& node : view.nodes) CheckName(node->id);
    WEIR_REQUIRE(view.LiveCount() <= 2, "more live nodes than there are");
  }

  fuzz::CheckingOutbox outbox_;
  control::publish::Hub hub_;
};

class NodeEnd : private node::bus::LinkHost {
 public:
  explicit NodeEnd(const ManualClock& clock) : link_(*this, clock, Options(), [] { return 7; }) {
    link_.Start();
    node::bus::Channels channels;
    channels.control = "http://127.0.0.1:1";
    channels.epoch = kEpoch;
    channels.server_key = std::string(40, 'k');
    channels.cfg = channels.session = channels.telemetry = "tcp://127.0.0.1:1";
    link_.OnJoined(channels);
  }
  void Give(bool is_cfg, const std::string& frame) {
    const auto before = link_.receiver().position();
    const uint64_t leader = link_.receiver().leader_epoch();
    if (is_cfg) {
      link_.OnCfg(frame);
    } else {
      link_.OnSession(frame);
    }
    const auto after = link_.receiver().position();
    WEIR_REQUIRE(after.epoch > before.epoch ||
                     (after.epoch == before.epoch && after.version >= before.version),
                 "the node goes back");
    WEIR_REQUIRE(link_.receiver().leader_epoch() >= leader, "the leader goes back");
    if (taken_.has_value()) link_.OnTaken(*std::exchange(taken_, std::nullopt));
  }
  void Tick() {
    link_.Tick();
    link_.Second();
  }

 private:
  static node::bus::LinkOptions Options() {
    node::bus::LinkOptions options;
    options.node = "node-1";
    options.incarnation = 1;
    options.max_telemetry_bytes = 256 << 10;
    return options;
  }
  Status Check(const std::string& bytes, size_t limit) {
    const auto frame = wire::DecodeFrame(bytes);
    WEIR_REQUIRE(frame.ok(), frame.status().ToString());
    WEIR_REQUIRE(bytes.size() <= limit, std::to_string(bytes.size()));
    return OkStatus();
  }
  void Join() override {}
  void JoinIn(int64_t) override {}
  Status Connect(const node::bus::Channels&) override { return OkStatus(); }
  Status SendSession(const std::string& frame) override { return Check(frame, 64 << 10); }
  Status SendTelemetry(const std::string& frame) override { return Check(frame, 256 << 10); }
  void PublishRules(std::shared_ptr<const decision::Ruleset> rules,
                    node::bus::SnapshotName name) override {
    WEIR_REQUIRE(rules != nullptr, "rules");
    taken_ = name;
  }
  void CollectTelemetry(bool) override {}
  void SaveSnapshot(node::snapshot::LastGood) override {}
  void PublishStatus(const node::bus::BusStatus&) override {}
  void OnFinished() override {}

  std::optional<node::bus::SnapshotName> taken_;
  node::bus::Link link_;
};

}  // namespace
}  // namespace weir

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir;  // NOLINT
  std::string_view input(reinterpret_cast<const char*>(data), size);
  fuzz::Quiet();
  ManualClock clock;
  ControlEnd control(clock);
  NodeEnd node(clock);
  for (int frames = 0; input.size() > 3 && frames < 32; ++frames) {
    const auto where = static_cast<uint8_t>(input[0]);
    input.remove_prefix(1);
    const std::string frame = fuzz::TakeFrame(input);
    if ((where & 1) != 0) {
      control.Give((where & 2) != 0, frame);
    } else {
      node.Give((where & 2) != 0, frame);
    }
    clock.AdvanceMs((where & 4) != 0 ? 5000 : 100);
    control.Tick();
    node.Tick();
  }
  return 0;
}
