// SPDX-License-Identifier: Apache-2.0
// The source documents' policies, one or a list, → Policies:
//   policies: [{id?, name, description, enabled, priority, dryRun, cooldownMs, maxExecutions,
//               slos: [{name, metric, comparison?, threshold, windowMs, severity, modelId?,
//                       tenantId?}],
//               remediations: [{type, target?, params: {increment, rate, durationMs, …},
//               reason?}]}]
// The fields of a Policy's spec may be mixed in. An objective's comparison says what must hold, in
// words (lte) or signs (<=). What Weir has nothing for is left out with a warning that names it.
#pragma once

#include <functional>
#include <string>

#include "shared/codec/resource.h"

namespace weir::codec {

// A mapping without apiVersion and kind that has a list of `slos`, or `policies` that have some.
bool LooksLikePolicyFile(const Json& value);

// `path`: where `value` stands, "" or ending in a dot. Every policy of the file, errors and
// warnings go to `out`.
void ReadPolicyFile(const Json& value, const std::string& path, const std::string& file,
                    const std::function<int(const std::string&)>& line_of, FileContent& out);

// A resource's name made of a title: "Premium Tier: TTFT" → "premium-tier-ttft"; what is a name
// stays as it is. "" when nothing is left.
std::string NameFromTitle(const std::string& title);
// "lte", "<=", "at_most" → "<="; what is none of them stays itself, for the rules to refuse.
std::string CanonicalComparison(const std::string& comparison);

}  // namespace weir::codec
