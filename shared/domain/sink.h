// SPDX-License-Identifier: Apache-2.0
// What sinks may ask for by name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::domain {

// The types of events that notify, as `weir event list` shows them; of resource_file only what was
// refused.
const std::vector<std::string>& NotifyTypes();

// "info", "warning", "high", "critical", the least first.
const std::vector<std::string>& Severities();
// Index in Severities; -1 for another word.
int SeverityRank(std::string_view severity);

struct SinkSpec;
// How often it is told again of what goes on: its repeat_every, and of an Alertmanager, which
// forgets what is not repeated, a minute where it says nothing. 0: never.
int64_t RepeatEveryMs(const SinkSpec& sink);

}  // namespace weir::domain
