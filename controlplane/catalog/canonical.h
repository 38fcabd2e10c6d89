// SPDX-License-Identifier: Apache-2.0
// A spec as a file writes it → the same fields under their own names, each value as JsonWriter
// writes it: `rolloutPercentage: 10` → `rollout_percentage: 10.0`, `duration: 300` → "5m". Only the
// fields that the file names are there; explicit empty ones stay. Pure.
#pragma once

#include "shared/codec/json.h"
#include "shared/domain/resource.h"

namespace weir::control::catalog {

// Errors have their paths below "spec".
codec::Json CanonicalSpec(domain::Kind kind, const codec::Json& spec, codec::Errors& errors);

}  // namespace weir::control::catalog
