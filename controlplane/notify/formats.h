// SPDX-License-Identifier: Apache-2.0
// What other people's alerting takes. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controlplane/notify/notice.h"
#include "shared/domain/resource.h"

namespace weir::control::notify {

// Where a sink's requests go: its path, and where it has none what the format's receivers have,
// "/api/v2/alerts" or "/v2/enqueue". An Alertmanager below a prefix gets "/prefix/api/v2/alerts".
std::string PathFor(const std::string& format, const std::string& path);

// One request each. `secret` is PagerDuty's routing key, and of no use to others; `address` is
// where the control plane's API is.
//
// alertmanager: one list of alerts (API v2). labels: alertname (the SLO), severity, policy, model,
//   version, team; annotations: summary, runbook_url. Until it ends, endsAt is four times the pause
//   to the next repetition ahead, so that it also ends when nobody repeats it.
// pagerduty: an event each (Events API v2), triggered, acknowledged or resolved under one
//   dedup_key.
// A notice of another type is an alert named after it. PagerDuty's ends with the next one about the
// same that is info; Alertmanager's, whose severity is part of its identity, by itself.
std::vector<std::string> Bodies(const domain::SinkSpec& sink, const Notice& notice,
                                const std::string& secret, const std::string& address);

// Ours → critical | error | warning | info.
std::string PagerDutySeverity(std::string_view severity);

}  // namespace weir::control::notify
