// SPDX-License-Identifier: Apache-2.0
#include "shared/targeting/targeting.h"

namespace weir::targeting {

class Rule {};

Result<std::shared_ptr<const Rule>> Compile(std::string_view) { return Internal("not built"); }
Outcome Evaluate(const Rule&, const Inputs&, Arena&) { return {}; }
Result<Value> EvaluateToValue(const Rule&, const Inputs&, Arena&) { return Value(); }
Result<Value> ParseValue(std::string_view, Arena&) { return Value(); }
uint32_t Murmur3(std::string_view, uint32_t) { return 0; }

}  // namespace weir::targeting
