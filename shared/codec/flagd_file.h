// SPDX-License-Identifier: Apache-2.0
// flagd's flag definitions (schema flagd.dev v0): {flags: {name: {state, variants, defaultVariant,
// targeting, metadata}}, $evaluators, metadata} ↔ Flags with variants.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "shared/codec/resource.h"

namespace weir::codec {

// A mapping with `flags`, without apiVersion and kind.
bool LooksLikeFlagdFile(const Json& value);

// Appends a Flag document for each definition. "$ref" is resolved by inlining, the file's metadata
// put under each flag's. A malformed definition becomes a Flag that says so (spec.malformed) and an
// entry of `out.disabled`; the others stand. `line_of` gives the line of a path in the file.
void ReadFlagdFile(const Json& value, const std::string& file,
                   const std::function<int(const std::string&)>& line_of, FileContent& out);

// A definition file of all Flags among `resources`; other kinds are left out. Variant flags are
// exact. Rollout flags become boolean ones with on and off, their percentage `fractional`, their
// allow-list a condition. `notes` says, by name, what flagd cannot do or does otherwise.
Json ToFlagd(const std::vector<domain::Resource>& resources, std::vector<std::string>& notes);

}  // namespace weir::codec
