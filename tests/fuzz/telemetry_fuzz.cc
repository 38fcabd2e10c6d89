// SPDX-License-Identifier: Apache-2.0
// Frames of the telemetry channel, each behind its length in two bytes, to a control plane's hub:
// decoding, accounting and folding as they run behind the socket. Each batch counts once, what is
// counted for a node only grows, and nothing of another node is counted for it.
#include <map>
#include <string>
#include <string_view>

#include "controlplane/publish/hub.h"
#include "shared/base/clock.h"
#include "tests/fuzz/hub_fuzz.h"
#include "tests/fuzz/require.h"

namespace weir {
namespace {

constexpr char kNode[] = "node-1";

class Ingest {
 public:
  Ingest()
      : hub_(outbox_, clock_, 100,
             {[](const auto&) {}, [](const auto&) {},
              [this](control::ingest::TelemetryTick tick) { OnTick(tick); }}) {
    hub_.Reset({}, 1, {}, {});
  }
  void Give(const std::string& frame) {
    const auto before = hub_.counters();
    hub_.OnTelemetry(kNode, frame);
    const auto after = hub_.counters();
    WEIR_REQUIRE(after.batches.applied >= before.batches.applied, "applied is taken back");
    WEIR_REQUIRE(after.frames_refused <= before.frames_refused + 1, "refused more than once");
    clock_.AdvanceMs(100);
    hub_.Tick();
  }

 private:
  void OnTick(const control::ingest::TelemetryTick& tick) {
    for (const auto& [origin, high_water] : tick.high_waters) {
      WEIR_REQUIRE(origin.node == kNode, origin.node);
      uint64_t& seq = seen_[origin.incarnation];
      WEIR_REQUIRE(high_water.seq >= seq, "a high water falls");
      seq = high_water.seq;
    }
    // Stored at once, every other time, so that acknowledgements are exercised too.
    if (++ticks_ % 2 == 0) hub_.Acknowledge(tick.high_waters);
  }

  ManualClock clock_;
  fuzz::CheckingOutbox outbox_;
  std::map<uint64_t, uint64_t> seen_;
  int ticks_ = 0;
  control::publish::Hub hub_;
};

}  // namespace
}  // namespace weir

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir;  // NOLINT
  std::string_view input(reinterpret_cast<const char*>(data), size);
  fuzz::Quiet();
  Ingest ingest;
  for (int frames = 0; input.size() > 2 && frames < 32; ++frames)
    ingest.Give(fuzz::TakeFrame(input));
  return 0;
}
