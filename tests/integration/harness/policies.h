// SPDX-License-Identifier: Apache-2.0
// Policies as tests put them, and what came of them.
#pragma once

#include <string>
#include <vector>

#include "tests/integration/harness/api.h"

namespace weir::integration {

// With one SLO and one remediation, and six seconds between two acts. `more` is merged into the
// spec.
Json PolicyResource(const std::string& name, const Json& slo, const Json& remediation,
                    const Json& more = Json::object());
// It must be new.
void PutPolicy(const Api& control, const Json& resource);
// Its `status`; null when the control plane does not answer.
Json PolicyStatus(const Api& control, const std::string& policy);
// A number of its status; 0 while there is none.
uint64_t PolicyCount(const Api& control, const std::string& policy, const std::string& what);
// What policies have laid over the model's limit.
Json Acts(const Api& control);
// What somebody committed, newest first.
std::vector<Json> RevisionsBy(const Api& control, const std::string& actor);

}  // namespace weir::integration
