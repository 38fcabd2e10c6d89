// SPDX-License-Identifier: Apache-2.0
// The source documents' production_deployment.yaml: `deployment:` with phases, experiments,
// monitoring, rollback and emergency_contacts. It becomes a Rollout named after the file, an
// Experiment for each of `experiments`, a Policy named after the file that watches
// `monitoring.alerts`, a Sink that writes to the log for each team of `emergency_contacts`, unless
// one of its name stands, and, unless `deployment.model` and `candidate` or `deployment.flag` name
// a subject, a Flag named after the file too. What Weir has nothing for is
// kept as annotations or, as dashboards, left out: a warning says which.
#pragma once

#include <string>
#include <string_view>

#include "shared/codec/resource.h"
#include "shared/codec/yaml.h"

namespace weir::codec {

// A mapping `deployment` with phases, and no resource.
bool LooksLikeDeploymentFile(const Json& value);

// Appends documents, errors and warnings to `out`. Phases and groups come in the order of the text.
void ReadDeploymentFile(const YamlDocument& document, const std::string& file, FileContent& out);

// Copied from a page, such a file may stand flush left: the line of its first word, else 0.
int LineThatLostItsIndentation(std::string_view text);

}  // namespace weir::codec
