// SPDX-License-Identifier: Apache-2.0
// What an operator forces on one node, as it is written: the file of --override, the changes that
// come by hand over the admin address (break-glass), and what is kept of these. Pure but for the
// functions that name a file.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "shared/base/status.h"
#include "shared/codec/fields.h"
#include "shared/decision/ruleset.h"
#include "shared/domain/units.h"

namespace weir::node::override {

// The file, YAML or JSON:
//   flags: {ttft_pipeline: off, color: red}   # on, off (true, false) or a variant
//   splits: {fraud_detection: stable}         # stable or canary
//   pins: {fraud_detection: "1.0.0"}          # the version that answers everything
// An empty file forces nothing. Errors name file, line and key; unknown keys the nearest known one.
Result<decision::Overrides> LoadFile(const std::string& path);

// One thing forced by hand.
struct Mark {
  std::string value;
  domain::TimeMs since;
  std::string by;
  std::string reason;
  bool operator==(const Mark&) const = default;
};

inline constexpr char kKillSwitch[] = "kill_switch";
inline constexpr char kBaseline[] = "baseline";

// Everything forced by hand, by name. `emergency` has kKillSwitch and kBaseline while they are on.
struct ByHand {
  std::map<std::string, Mark> emergency;
  std::map<std::string, Mark> flags;
  std::map<std::string, Mark> splits;
  std::map<std::string, Mark> pins;
  bool IsEmpty() const {
    return emergency.empty() && flags.empty() && splits.empty() && pins.empty();
  }
  bool operator==(const ByHand&) const = default;
};

// POST /weir/v1/override: what is named is forced from now on, null takes it back.
struct Change {
  using Values = std::map<std::string, std::optional<std::string>>;
  Values emergency;
  Values flags;
  Values splits;
  Values pins;
  std::string reason;
};

// {emergency: {kill_switch?: bool, baseline?: bool}, flags?, splits?, pins?, reason} as JSON, the
// values as in the file, or null; an emergency of false is one taken back. InvalidArgument with the
// path of what is wrong, of a reason that is missing, and of a change that changes nothing. At most
// 1000 names, as the catalog allows them, and a reason of 1 KiB.
Result<Change> ParseChange(std::string_view json);
void Apply(const Change& change, const std::string& by, int64_t now_wall_ms, ByHand& hand);

// The file's with what is forced by hand over it. A model that is named by hand has nothing of the
// file: a split forced by hand is not beaten by a pin of the file.
decision::Overrides Merge(const decision::Overrides& file, const ByHand& hand);

// What is forced by hand, on disk (mode 0600). Load: nothing if there is no file; DataLoss names a
// file that is damaged.
Status SaveByHand(const std::string& path, const ByHand& hand);
Result<ByHand> LoadByHand(const std::string& path);

template <class V>
void Describe(V& v, Mark& f) {
  v(2, "value", f.value);
  v(4, "since", f.since);
  v(6, "by", f.by);
  v(8, "reason", f.reason);
}
template <class V>
void Describe(V& v, ByHand& f) {
  v(2, "emergency", f.emergency);
  v(4, "flags", f.flags);
  v(6, "splits", f.splits);
  v(8, "pins", f.pins);
}

}  // namespace weir::node::override
