// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/request_flags.h"

#include "shared/http/message.h"

namespace weir::node::front {
namespace {

// What a flag is for this request; "" leaves it to the caller.
std::string_view ValueOf(const decision::FlagDecision& decision) {
  if (decision.flag != nullptr && decision.flag->IsVariant()) return decision.variant;
  return decision.enabled ? "on" : "off";
}

}  // namespace

void RequestFlags::Decide(const decision::Ruleset& rules, const routing::ModelPlan& model,
                          const decision::Keys& keys, uint64_t random, flags::Desk& desk) {
  Clear();
  for (const routing::FlagPlan& flag : model.flags) {
    const std::string_view key = decision::KeyFor(keys, flag.hash_key);
    const decision::FlagDecision decision = desk.Decide(
        rules, flag.name, {.key = key, .random = random, .now_wall_ms = 0, .context = {}});
    if (const std::string_view value = ValueOf(decision); !value.empty()) {
      if (!text.empty()) text += ',';
      // Variants may hold anything, a header may not.
      text += http::PercentEncode(flag.name);
      text += '=';
      text += http::PercentEncode(value);
    }
    if (decision.split == nullptr || flag.on == nullptr) continue;
    arms.push_back(decision.enabled ? flag.on.get() : flag.off.get());
  }
}

}  // namespace weir::node::front
