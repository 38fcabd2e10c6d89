// SPDX-License-Identifier: Apache-2.0
// What domain::Validate leaves to those who read JSON: a flag's variant values, metadata and rule.
#pragma once

#include "shared/codec/json.h"
#include "shared/domain/resource.h"

namespace weir::codec {

// Every violation with its path below "spec": a variant's value that is no JSON or of another type
// than the others, metadata that is no mapping of plain values, a rule that does not compile or is
// beyond the limits of targeting.h ("spec.targeting.if[0]"). Empty for rollout flags without
// metadata. Pure.
Errors CheckFlag(const domain::FlagSpec& spec);

}  // namespace weir::codec
