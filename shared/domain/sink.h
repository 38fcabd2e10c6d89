// SPDX-License-Identifier: Apache-2.0
// What sinks may ask for by name.
#pragma once

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

}  // namespace weir::domain
