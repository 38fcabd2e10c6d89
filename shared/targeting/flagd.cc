// SPDX-License-Identifier: Apache-2.0
// flagd's operators (flagd.dev, custom operations). What is wrong in their arguments makes them
// null, so that the flag's default variant holds.
#include <cmath>
#include <cstring>

#include "shared/targeting/coerce.h"
#include "shared/targeting/evaluation.h"
#include "shared/targeting/semver.h"

namespace weir::targeting {
namespace {

using Type = Value::Type;

constexpr uint64_t kMaxTotalWeight = 0x7fffffff;

struct Share {
  Value variant;
  uint64_t weight = 1;
};

// [variant] or [variant, weight]; false when it is neither.
bool ReadShare(const Value& value, Share& share) {
  if (value.type() != Type::kList || value.size() < 1 || value.size() > 2) return false;
  share.variant = value.items()[0];
  share.weight = 1;
  if (share.variant.type() == Type::kList || share.variant.type() == Type::kMap) return false;
  if (value.size() == 1) return true;
  const Value& weight = value.items()[1];
  if (weight.type() != Type::kNumber || std::trunc(weight.number()) != weight.number()) {
    return false;
  }
  // Also what is far too large becomes a number that the sum may hold and refuse.
  const double bounded = std::fmin(std::fmax(weight.number(), 0), 2.0 * kMaxTotalWeight);
  share.weight = static_cast<uint64_t>(bounded);
  return !std::isinf(weight.number());
}

}  // namespace

Evaluation::Values Evaluation::FlagdArguments(const Node& node, const Scope& scope) {
  const Values values = Arguments(node, scope);
  if (!node.unlisted || values.count != 1) return values;
  const Value& only = values.items[0];
  return only.type() == Type::kList ? Values{only.items(), only.size()} : Values{};
}

std::string_view Evaluation::TargetingKey() {
  const Value* key = inputs_.context.Find("targetingKey");
  if (key == nullptr) return inputs_.targeting_key;
  return key->type() == Type::kText ? key->text() : std::string_view();
}

Value Evaluation::Fractional(const Node& node, const Scope& scope) {
  const Values arguments = FlagdArguments(node, scope);
  if (arguments.count == 0) return {};
  std::string_view hashed;
  size_t first = 0;
  if (arguments.items[0].type() == Type::kText) {
    hashed = arguments.items[0].text();
    first = 1;
  } else {
    const std::string_view key = TargetingKey();
    if (key.empty()) return {};
    const Value parts[] = {Value::Text(inputs_.flag_key), Value::Text(key)};
    hashed = Concatenate(parts, 2, budget_);
  }
  uint64_t total = 0;
  Share share;
  if (!budget_.SpendItems(arguments.count) || !budget_.SpendBytes(hashed.size())) return {};
  for (size_t i = first; i < arguments.count; ++i) {
    if (!ReadShare(arguments.items[i], share)) return {};
    total += share.weight;
  }
  if (total > kMaxTotalWeight) return {};
  const uint64_t bucket = Murmur3(hashed, 0) * total >> 32;
  uint64_t cumulative = 0;
  for (size_t i = first; i < arguments.count; ++i) {
    ReadShare(arguments.items[i], share);
    cumulative += share.weight;
    if (bucket < cumulative) return share.variant;
  }
  return {};  // no shares, or all of them 0
}

Value Evaluation::Affix(const Node& node, const Scope& scope) {
  const Values arguments = FlagdArguments(node, scope);
  if (arguments.count != 2 || arguments.items[0].type() != Type::kText ||
      arguments.items[1].type() != Type::kText) {
    return {};
  }
  const std::string_view text = arguments.items[0].text();
  const std::string_view affix = arguments.items[1].text();
  if (!budget_.SpendBytes(affix.size())) return {};
  return Value::Bool(node.op == Op::kStartsWith ? text.starts_with(affix) : text.ends_with(affix));
}

Value Evaluation::SemVer(const Node& node, const Scope& scope) {
  const Values arguments = FlagdArguments(node, scope);
  if (arguments.count != 3) return {};
  const std::string_view one = ToText(arguments.items[0], budget_);
  const std::string_view other = ToText(arguments.items[2], budget_);
  if (!budget_.SpendBytes(one.size() + other.size())) return {};
  const auto a = ParseVersion(one);
  const auto b = ParseVersion(other);
  if (!a || !b) return {};
  const std::string_view op = ToText(arguments.items[1], budget_);
  const int order = CompareVersions(*a, *b);
  if (op == "=") return Value::Bool(order == 0);
  if (op == "!=") return Value::Bool(order != 0);
  if (op == "<") return Value::Bool(order < 0);
  if (op == "<=") return Value::Bool(order <= 0);
  if (op == ">") return Value::Bool(order > 0);
  if (op == ">=") return Value::Bool(order >= 0);
  if (op == "^") return Value::Bool(a->major == b->major);
  if (op == "~") return Value::Bool(a->major == b->major && a->minor == b->minor);
  return {};
}

}  // namespace weir::targeting
