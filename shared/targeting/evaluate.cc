// SPDX-License-Identifier: Apache-2.0
#include "shared/targeting/coerce.h"
#include "shared/targeting/evaluation.h"
#include "shared/targeting/targeting.h"

namespace weir::targeting {
namespace {

// Deep values are built by rules alone; whoever walks a result does so recursively.
bool IsShallow(const Value& value, int depth, Budget& budget) {
  const bool list = value.type() == Value::Type::kList;
  if (!list && value.type() != Value::Type::kMap) return true;
  if (depth >= kMaxNesting) {
    budget.Fail(kTooDeep);
    return false;
  }
  if (!budget.Spend(1) || !budget.SpendItems(value.size())) return false;
  for (size_t i = 0; i < value.size(); ++i) {
    const Value& inner = list ? value.items()[i] : value.members()[i].value;
    if (!IsShallow(inner, depth + 1, budget)) return false;
  }
  return true;
}

}  // namespace

Value Evaluation::Eval(const Node& node, const Scope& scope) {
  if (node.op == Op::kConstant) return node.constant;
  // Constants among the arguments cost no step of their own.
  if (!budget_.Spend(1 + node.count / 16)) return {};
  return Operate(node, scope);
}

// Long, but only a table.
Value Evaluation::Operate(const Node& node, const Scope& scope) {
  switch (node.op) {
    case Op::kConstant:
      return node.constant;
    case Op::kList:
      return ListOf(node, scope);
    case Op::kVarPath:
      return VarPath(node, scope);
    case Op::kVar:
      return Var(node, scope);
    case Op::kMissing:
      return Missing(node, scope);
    case Op::kMissingSome:
      return MissingSome(node, scope);
    case Op::kIf:
      return If(node, scope);
    case Op::kOr:
    case Op::kAnd:
      return AndOr(node, scope);
    case Op::kNot:
      return Value::Bool(!Truthy(Argument(node, 0, scope)));
    case Op::kTruthy:
      return Value::Bool(Truthy(Argument(node, 0, scope)));
    case Op::kLog:  // there is nowhere to log to; the value passes through
      return Argument(node, 0, scope);
    case Op::kEqual:
    case Op::kNotEqual:
    case Op::kStrictEqual:
    case Op::kStrictNotEqual:
      return Equal(node, scope);
    case Op::kGreater:
    case Op::kGreaterEqual:
    case Op::kLess:
    case Op::kLessEqual:
      return Ordered(node, scope);
    case Op::kMax:
    case Op::kMin:
      return Extreme(node, scope);
    case Op::kAdd:
    case Op::kMultiply:
      return AddOrMultiply(node, scope);
    case Op::kSubtract:
    case Op::kDivide:
    case Op::kRemainder:
      return Calculate(node, scope);
    case Op::kMap:
      return Map(node, scope);
    case Op::kReduce:
      return Reduce(node, scope);
    case Op::kFilter:
      return Filter(node, scope);
    case Op::kAll:
    case Op::kNone:
    case Op::kSome:
      return Quantify(node, scope);
    case Op::kMerge:
      return Merge(node, scope);
    case Op::kIn:
      return In(node, scope);
    case Op::kCat:
      return Cat(node, scope);
    case Op::kSubstr:
      return Substr(node, scope);
    case Op::kFractional:
      return Fractional(node, scope);
    case Op::kStartsWith:
    case Op::kEndsWith:
      return Affix(node, scope);
    case Op::kSemVer:
      return SemVer(node, scope);
  }
  return {};
}

Value Evaluation::Argument(const Node& node, size_t i, const Scope& scope) {
  return i < node.count ? Eval(Child(node, i), scope) : Value();
}

Evaluation::Values Evaluation::Arguments(const Node& node, const Scope& scope) {
  auto* values = budget_.Allocate<Value>(node.count);
  if (values == nullptr) return {};
  for (size_t i = 0; i < node.count; ++i) values[i] = Eval(Child(node, i), scope);
  return {values, node.count};
}

Value Evaluation::If(const Node& node, const Scope& scope) {
  size_t i = 0;
  for (; i + 1 < node.count; i += 2) {
    if (Truthy(Eval(Child(node, i), scope))) return Eval(Child(node, i + 1), scope);
  }
  return Argument(node, i, scope);
}

Value Evaluation::AndOr(const Node& node, const Scope& scope) {
  Value last;
  for (size_t i = 0; i < node.count; ++i) {
    last = Eval(Child(node, i), scope);
    if (Truthy(last) == (node.op == Op::kOr)) return last;
  }
  return last;
}

Value Evaluation::Map(const Node& node, const Scope& scope) {
  const Value list = Argument(node, 0, scope);
  const size_t count = list.type() == Value::Type::kList ? list.size() : 0;
  auto* results = budget_.Allocate<Value>(count);
  if (results == nullptr) return {};
  for (size_t i = 0; i < count; ++i) {
    if (!budget_.Spend(1)) return {};
    results[i] = Argument(node, 1, {Scope::Kind::kItem, list.items()[i], {}});
  }
  return Value::List(results, count);
}

Value Evaluation::Filter(const Node& node, const Scope& scope) {
  const Value list = Argument(node, 0, scope);
  const size_t count = list.type() == Value::Type::kList ? list.size() : 0;
  auto* results = budget_.Allocate<Value>(count);
  if (results == nullptr) return {};
  size_t kept = 0;
  for (size_t i = 0; i < count; ++i) {
    if (!budget_.Spend(1)) return {};
    const Value& item = list.items()[i];
    if (Truthy(Argument(node, 1, {Scope::Kind::kItem, item, {}}))) results[kept++] = item;
  }
  return Value::List(results, kept);
}

Value Evaluation::Reduce(const Node& node, const Scope& scope) {
  const Value list = Argument(node, 0, scope);
  Value accumulator = Argument(node, 2, scope);
  if (list.type() != Value::Type::kList) return accumulator;
  for (size_t i = 0; i < list.size(); ++i) {
    if (!budget_.Spend(1)) return {};
    accumulator = Argument(node, 1, {Scope::Kind::kReduce, list.items()[i], accumulator});
  }
  return accumulator;
}

Value Evaluation::Quantify(const Node& node, const Scope& scope) {
  const Value list = Argument(node, 0, scope);
  // Of nothing, "all" is false in JsonLogic.
  const bool nothing = list.type() != Value::Type::kList || list.size() == 0;
  if (nothing) return Value::Bool(node.op == Op::kNone);
  for (size_t i = 0; i < list.size(); ++i) {
    if (!budget_.Spend(1)) return {};
    const bool holds = Truthy(Argument(node, 1, {Scope::Kind::kItem, list.items()[i], {}}));
    if (holds != (node.op == Op::kAll)) return Value::Bool(node.op == Op::kSome);
  }
  return Value::Bool(node.op != Op::kSome);
}

Outcome Evaluate(const Rule& rule, const Inputs& inputs, Arena& arena) {
  uint32_t steps_left = kMaxSteps;
  return Evaluate(rule, inputs, arena, steps_left);
}

Outcome Evaluate(const Rule& rule, const Inputs& inputs, Arena& arena, uint32_t& steps_left) {
  Evaluation evaluation(rule, inputs, arena, steps_left);
  const Value result = evaluation.Run();
  Budget& budget = evaluation.budget();
  Outcome outcome;
  if (result.type() == Value::Type::kList || result.type() == Value::Type::kMap) {
    budget.Fail("the rule's result is a list or a map, which names no variant");
  } else if (!result.is_null()) {
    outcome.kind = Outcome::Kind::kVariant;
    outcome.variant = ToText(result, budget);
  }
  steps_left = budget.steps_left;
  if (budget.error != nullptr) return {Outcome::Kind::kError, {}, budget.error};
  return outcome;
}

Result<Value> EvaluateToValue(const Rule& rule, const Inputs& inputs, Arena& arena) {
  Evaluation evaluation(rule, inputs, arena);
  const Value result = evaluation.Run();
  Budget& budget = evaluation.budget();
  if (budget.error == nullptr) IsShallow(result, 0, budget);
  if (budget.error != nullptr) return FailedPrecondition(budget.error);
  return result;
}

}  // namespace weir::targeting
