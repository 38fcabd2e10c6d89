// SPDX-License-Identifier: Apache-2.0
// "var", "missing" and "missing_some".
#include "shared/targeting/coerce.h"
#include "shared/targeting/evaluation.h"

namespace weir::targeting {

using Meaning = Segment::Meaning;
using Type = Value::Type;

bool Evaluation::Step(const Segment& segment, const Value& in, Value& out) {
  if (in.type() == Type::kList) {
    if (segment.index < 0 || segment.index >= static_cast<int64_t>(in.size())) return false;
    out = in.items()[segment.index];
    return true;
  }
  if (!budget_.SpendItems(in.type() == Type::kMap ? in.size() : 0)) return false;
  const Value* found = in.Find(segment.name);
  if (found == nullptr) return false;
  out = *found;
  return true;
}

bool Evaluation::First(const Segment& segment, const Scope& scope, Value& out) {
  switch (scope.kind) {
    case Scope::Kind::kItem:
      return Step(segment, scope.item, out);
    case Scope::Kind::kReduce:
      if (segment.meaning == Meaning::kCurrent) out = scope.item;
      if (segment.meaning == Meaning::kAccumulator) out = scope.accumulator;
      return segment.meaning == Meaning::kCurrent || segment.meaning == Meaning::kAccumulator;
    case Scope::Kind::kRoot:
      break;
  }
  if (segment.meaning == Meaning::kFlagd) {
    out = FlagdVariables();
    return true;
  }
  if (Step(segment, inputs_.context, out)) return true;
  if (segment.meaning != Meaning::kTargetingKey || inputs_.targeting_key.empty()) return false;
  out = Value::Text(inputs_.targeting_key);
  return true;
}

Value Evaluation::FlagdVariables() {
  auto* members = budget_.Allocate<Member>(2);
  if (members == nullptr) return {};
  const int64_t ms = inputs_.now_wall_ms;
  const int64_t seconds = ms / 1000 - (ms % 1000 < 0 ? 1 : 0);
  members[0] = {"flagKey", Value::Text(inputs_.flag_key)};
  members[1] = {"timestamp", Value::Number(static_cast<double>(seconds))};
  return Value::Map(members, 2);
}

Value Evaluation::Whole(const Scope& scope) {
  switch (scope.kind) {
    case Scope::Kind::kRoot:
      return inputs_.context;
    case Scope::Kind::kItem:
      return scope.item;
    case Scope::Kind::kReduce:
      break;
  }
  auto* members = budget_.Allocate<Member>(2);
  if (members == nullptr) return {};
  members[0] = {"current", scope.item};
  members[1] = {"accumulator", scope.accumulator};
  return Value::Map(members, 2);
}

Value Evaluation::VarPath(const Node& node, const Scope& scope) {
  const Segment* segments = &rule_.segments[node.path_first];
  if (!budget_.SpendItems(node.path_count)) return {};
  Value value;
  bool found = First(segments[0], scope, value);
  for (size_t i = 1; found && i < node.path_count; ++i) {
    const Value in = value;
    found = Step(segments[i], in, value);
  }
  return found ? value : Argument(node, 0, scope);
}

// A key that is computed: a path, or null or "" for everything.
bool Evaluation::Look(const Value& key, const Scope& scope, Value& out) {
  if (key.is_null() || (key.type() == Type::kText && key.size() == 0)) {
    out = Whole(scope);
    return true;
  }
  std::string_view path = ToText(key, budget_);
  if (!budget_.SpendBytes(path.size())) return false;
  for (bool first = true;; first = false) {
    const size_t dot = path.find('.');
    const Segment segment = MakeSegment(path.substr(0, dot));
    const Value in = out;
    if (!(first ? First(segment, scope, out) : Step(segment, in, out))) return false;
    if (dot == std::string_view::npos) return true;
    path.remove_prefix(dot + 1);
  }
}

Value Evaluation::Var(const Node& node, const Scope& scope) {
  const Value key = Argument(node, 0, scope);
  Value value;
  return Look(key, scope, value) ? value : Argument(node, 1, scope);
}

Value Evaluation::MissingOf(const Value* keys, size_t count, const Scope& scope) {
  auto* missing = budget_.Allocate<Value>(count);
  if (missing == nullptr) return {};
  size_t found = 0;
  for (size_t i = 0; i < count; ++i) {
    if (!budget_.Spend(1)) return {};
    Value value;
    const bool there = Look(keys[i], scope, value) && !value.is_null() &&
                       !(value.type() == Type::kText && value.size() == 0);
    if (!there) missing[found++] = keys[i];
  }
  return Value::List(missing, found);
}

Value Evaluation::Missing(const Node& node, const Scope& scope) {
  const Values keys = Arguments(node, scope);
  if (keys.count > 0 && keys.items[0].type() == Type::kList) {
    return MissingOf(keys.items[0].items(), keys.items[0].size(), scope);
  }
  return MissingOf(keys.items, keys.count, scope);
}

Value Evaluation::MissingSome(const Node& node, const Scope& scope) {
  const Value needed = Argument(node, 0, scope);
  const Value keys = Argument(node, 1, scope);
  if (keys.type() != Type::kList) {
    return budget_.Fail("the second argument of \"missing_some\" is no list of names");
  }
  const Value missing = MissingOf(keys.items(), keys.size(), scope);
  if (budget_.error != nullptr) return {};
  const double there = static_cast<double>(keys.size() - missing.size());
  return there >= ToNumber(needed, budget_) ? Value::List(missing.items(), 0) : missing;
}

}  // namespace weir::targeting
