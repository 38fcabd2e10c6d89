// SPDX-License-Identifier: Apache-2.0
// What the targets of the session and of telemetry share.
#pragma once

#include <spdlog/spdlog.h>

#include <string>
#include <string_view>

#include "controlplane/publish/hub.h"
#include "shared/base/log.h"
#include "shared/wire/frame.h"
#include "tests/fuzz/require.h"

namespace weir::fuzz {

// Every refused frame is logged; here that is all of them.
inline void Quiet() {
  static const bool once = [] {
    spdlog::set_level(spdlog::level::off);
    for (const char* area : {"bus", "ingest", "publish", "snapshot"})
      Log(area).set_level(spdlog::level::off);
    return true;
  }();
  static_cast<void>(once);
}

// The next frame of an input, behind its length in two bytes. The length in its header is put
// right, or most mutations would end there.
inline std::string TakeFrame(std::string_view& input) {
  const size_t length = static_cast<uint8_t>(input[0]) << 8 | static_cast<uint8_t>(input[1]);
  std::string frame(input.substr(2, length));
  input.remove_prefix(2 + frame.size());
  if (frame.size() >= wire::kHeaderBytes) {
    const size_t body = frame.size() - wire::kHeaderBytes;
    for (size_t i = 0; i < 4; ++i)
      frame[wire::kHeaderBytes - 1 - i] = static_cast<char>(body >> (8 * i));
  }
  return frame;
}

// Everything that leaves can be read again, and is of this wire version.
class CheckingOutbox : public control::publish::HubOutbox {
 public:
  void Broadcast(std::string_view frame) override { Check(frame); }
  void SendTo(const std::string&, std::string_view frame) override { Check(frame); }
  void SetWelcome(std::string_view frame) override { Check(frame); }

 private:
  static void Check(std::string_view bytes) {
    const auto frame = wire::DecodeFrame(bytes);
    WEIR_REQUIRE(frame.ok(), frame.status().ToString());
    WEIR_REQUIRE(bytes.size() <= 16 << 20, "is larger than the wire allows");
  }
};

}  // namespace weir::fuzz
