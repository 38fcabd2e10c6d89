// SPDX-License-Identifier: Apache-2.0
// One evaluation of a rule: recursive, as deep as the compiled rule is, on one thread. A failure is
// kept in the budget; after it everything is null and nothing is worked on any more.
#pragma once

#include <string_view>

#include "shared/targeting/budget.h"
#include "shared/targeting/rule.h"
#include "shared/targeting/targeting.h"

namespace weir::targeting {

// What "var" looks into: the context, or an item of the list that an operator goes through.
struct Scope {
  enum class Kind : uint8_t { kRoot, kItem, kReduce };
  Kind kind = Kind::kRoot;
  Value item;         // kItem; in kReduce "current"
  Value accumulator;  // kReduce
};

class Evaluation {
 public:
  Evaluation(const Rule& rule, const Inputs& inputs, Arena& arena, uint32_t steps = kMaxSteps)
      : rule_(rule), inputs_(inputs), budget_{arena, steps} {}

  Value Run() { return Eval(rule_.nodes[0], Scope{}); }
  Budget& budget() { return budget_; }

 private:
  struct Values {
    const Value* items = nullptr;
    size_t count = 0;
  };

  const Node& Child(const Node& node, size_t i) const { return rule_.nodes[node.first + i]; }
  Value Eval(const Node& node, const Scope& scope);
  Value Operate(const Node& node, const Scope& scope);
  // The i-th argument; null when there is none.
  Value Argument(const Node& node, size_t i, const Scope& scope);
  Values Arguments(const Node& node, const Scope& scope);
  // As flagd's operators take them: a list that stands alone holds the arguments.
  Values FlagdArguments(const Node& node, const Scope& scope);

  // evaluate.cc: what decides which arguments are evaluated.
  Value If(const Node& node, const Scope& scope);
  Value AndOr(const Node& node, const Scope& scope);
  Value Map(const Node& node, const Scope& scope);
  Value Filter(const Node& node, const Scope& scope);
  Value Reduce(const Node& node, const Scope& scope);
  Value Quantify(const Node& node, const Scope& scope);

  // lookup.cc
  Value VarPath(const Node& node, const Scope& scope);
  Value Var(const Node& node, const Scope& scope);
  Value Missing(const Node& node, const Scope& scope);
  Value MissingSome(const Node& node, const Scope& scope);
  Value MissingOf(const Value* keys, size_t count, const Scope& scope);
  bool Look(const Value& key, const Scope& scope, Value& out);
  bool First(const Segment& segment, const Scope& scope, Value& out);
  bool Step(const Segment& segment, const Value& in, Value& out);
  Value Whole(const Scope& scope);
  Value FlagdVariables();

  // operators.cc
  Value Equal(const Node& node, const Scope& scope);
  Value Ordered(const Node& node, const Scope& scope);
  Value Calculate(const Node& node, const Scope& scope);
  Value Extreme(const Node& node, const Scope& scope);
  Value AddOrMultiply(const Node& node, const Scope& scope);
  Value In(const Node& node, const Scope& scope);
  Value Cat(const Node& node, const Scope& scope);
  Value Substr(const Node& node, const Scope& scope);
  Value Merge(const Node& node, const Scope& scope);
  Value ListOf(const Node& node, const Scope& scope);

  // flagd.cc
  Value Fractional(const Node& node, const Scope& scope);
  Value Affix(const Node& node, const Scope& scope);
  Value SemVer(const Node& node, const Scope& scope);
  std::string_view TargetingKey();

  const Rule& rule_;
  const Inputs& inputs_;
  Budget budget_;
};

}  // namespace weir::targeting
