// SPDX-License-Identifier: Apache-2.0
// Internal to deployment_file.cc: what becomes of `monitoring.alerts` and `emergency_contacts`.
#pragma once

#include <map>
#include <string>

#include "shared/codec/deployment_fields.h"
#include "shared/codec/json.h"
#include "shared/codec/rollout_text.h"

namespace weir::codec {

// Whether a Policy has that metric, by whatever name.
bool IsWatchedByPolicies(const std::string& metric);

// A Policy's spec with an SLO for each: past the first level a warning, past the second what is
// critical; one level alone is the limit. `model` may be "". `at` is where the alerts stand; of
// what stands elsewhere in the spec than in the file `paths` says where it was written.
Json PolicyOfAlerts(const std::map<std::string, Levels>& alerts, const std::string& model,
                    const std::string& at, WrittenPaths& paths, Errors& errors);

// A Sink's spec: told of alerts and emergencies, in the log.
Json SinkOfContact(const Contact& contact);

}  // namespace weir::codec
