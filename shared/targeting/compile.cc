// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <set>
#include <string>

#include "shared/base/text.h"
#include "shared/targeting/parse.h"
#include "shared/targeting/rule.h"
#include "shared/targeting/targeting.h"

namespace weir::targeting {
namespace {

using Type = Value::Type;

// `fewest`: with fewer arguments the operator could never give an answer.
struct Operator {
  std::string_view name;
  Op op;
  size_t fewest;
};
constexpr Operator kOperators[] = {
    {"var", Op::kVar, 0},
    {"missing", Op::kMissing, 0},
    {"missing_some", Op::kMissingSome, 2},
    {"if", Op::kIf, 0},
    {"?:", Op::kIf, 0},
    {"==", Op::kEqual, 2},
    {"===", Op::kStrictEqual, 2},
    {"!=", Op::kNotEqual, 2},
    {"!==", Op::kStrictNotEqual, 2},
    {"!", Op::kNot, 0},
    {"!!", Op::kTruthy, 0},
    {"or", Op::kOr, 0},
    {"and", Op::kAnd, 0},
    {">", Op::kGreater, 2},
    {">=", Op::kGreaterEqual, 2},
    {"<", Op::kLess, 2},
    {"<=", Op::kLessEqual, 2},
    {"max", Op::kMax, 1},
    {"min", Op::kMin, 1},
    {"+", Op::kAdd, 0},
    {"-", Op::kSubtract, 1},
    {"*", Op::kMultiply, 1},
    {"/", Op::kDivide, 2},
    {"%", Op::kRemainder, 2},
    {"map", Op::kMap, 2},
    {"reduce", Op::kReduce, 2},
    {"filter", Op::kFilter, 2},
    {"all", Op::kAll, 2},
    {"none", Op::kNone, 2},
    {"some", Op::kSome, 2},
    {"merge", Op::kMerge, 0},
    {"in", Op::kIn, 2},
    {"cat", Op::kCat, 0},
    {"substr", Op::kSubstr, 1},
    {"log", Op::kLog, 0},
    // flagd's answer null for wrong arguments, so that the default variant holds.
    {"fractional", Op::kFractional, 0},
    {"starts_with", Op::kStartsWith, 0},
    {"ends_with", Op::kEndsWith, 0},
    {"sem_ver", Op::kSemVer, 0},
};
// An operator is a map around a list; lists may stand between operators.
constexpr int kMaxJsonDepth = 2 * kMaxDepth + 16;

const Operator* FindOperator(std::string_view name) {
  const auto* found = std::find_if(std::begin(kOperators), std::end(kOperators),
                                   [name](const Operator& o) { return o.name == name; });
  return found == std::end(kOperators) ? nullptr : found;
}

bool IsOperation(const Value& value) { return value.type() == Type::kMap && value.size() == 1; }

// Nothing in it is to be evaluated. Maps with more than one member are data, as in JsonLogic.
bool IsConstant(const Value& value) {
  if (value.type() != Type::kList) return !IsOperation(value);
  return std::all_of(value.items(), value.items() + value.size(), IsConstant);
}

// Values in a constant.
size_t Count(const Value& value) {
  size_t count = 1;
  for (size_t i = 0; value.type() == Type::kList && i < value.size(); ++i) {
    count += Count(value.items()[i]);
  }
  for (size_t i = 0; value.type() == Type::kMap && i < value.size(); ++i) {
    count += Count(value.members()[i].value);
  }
  return count;
}

class Compiler {
 public:
  Result<std::shared_ptr<const Rule>> Run(std::string_view json) {
    WEIR_ASSIGN_OR_RETURN(const Value root, ParseJsonValue(json, kMaxJsonDepth, scratch_));
    WEIR_RETURN_IF_ERROR(CheckNames(root));
    rule_->nodes.emplace_back();
    WEIR_RETURN_IF_ERROR(CompileAt(0, root, 0));
    Settle();
    return std::shared_ptr<const Rule>(std::move(rule_));
  }

 private:
  Status Wrong(std::string message) const { return InvalidArgument(path_, std::move(message)); }

  // No map says a name twice.
  Status CheckNames(const Value& value) {
    const size_t length = path_.size();
    std::set<std::string_view> names;
    for (size_t i = 0; value.type() == Type::kMap && i < value.size(); ++i) {
      const Member& member = value.members()[i];
      if (!names.insert(member.name).second) {
        return Wrong(fmt::format("names \"{}\" twice; keep one of them", member.name));
      }
      path_ += fmt::format("{}{}", length == 0 ? "" : ".", member.name);
      WEIR_RETURN_IF_ERROR(CheckNames(member.value));
      path_.resize(length);
    }
    for (size_t i = 0; value.type() == Type::kList && i < value.size(); ++i) {
      path_ += fmt::format("[{}]", i);
      WEIR_RETURN_IF_ERROR(CheckNames(value.items()[i]));
      path_.resize(length);
    }
    return OkStatus();
  }

  Status Take(size_t nodes) {
    nodes_ += nodes;
    if (nodes_ <= kMaxNodes) return OkStatus();
    return Wrong(fmt::format("the rule has more than {} operators and constants", kMaxNodes));
  }

  // Fills the node `at`, whose place is already there.
  Status CompileAt(size_t at, const Value& value, int depth) {
    if (IsConstant(value)) {
      rule_->nodes[at].constant = value;
      return Take(Count(value));
    }
    WEIR_RETURN_IF_ERROR(Take(1));
    if (value.type() == Type::kList) {
      rule_->nodes[at].op = Op::kList;
      return CompileChildren(at, value.items(), value.size(), depth);
    }
    return CompileOperation(at, value.members()[0], depth);
  }

  Status CompileOperation(size_t at, const Member& member, int depth) {
    if (depth >= kMaxDepth) {
      return Wrong(fmt::format("operators are nested more than {} deep", kMaxDepth));
    }
    const Operator* known = FindOperator(member.name);
    if (known == nullptr) return Unknown(member.name);
    const size_t length = path_.size();
    path_ += fmt::format("{}{}", length == 0 ? "" : ".", member.name);
    const bool listed = member.value.type() == Type::kList;
    const Value* arguments = listed ? member.value.items() : &member.value;
    const size_t count = listed ? member.value.size() : 1;
    if (count < known->fewest) {
      return Wrong(fmt::format("\"{}\" needs {} argument{} or more and has {}", known->name,
                               known->fewest, known->fewest == 1 ? "" : "s", count));
    }
    Node& node = rule_->nodes[at];
    node.op = known->op;
    node.unlisted = !listed;
    if (known->op == Op::kVar && count > 0 && arguments[0].type() == Type::kText &&
        arguments[0].size() > 0) {
      AddPath(node, arguments[0].text());
      WEIR_RETURN_IF_ERROR(CompileChildren(at, arguments + 1, count > 1 ? 1 : 0, depth + 1, 1));
    } else {
      WEIR_RETURN_IF_ERROR(CompileChildren(at, arguments, count, depth + 1));
    }
    path_.resize(length);
    return OkStatus();
  }

  Status CompileChildren(size_t at, const Value* values, size_t count, int depth,
                         size_t first_index = 0) {
    const size_t first = rule_->nodes.size();
    rule_->nodes[at].first = static_cast<uint32_t>(first);
    rule_->nodes[at].count = static_cast<uint32_t>(count);
    if (first + count > kMaxNodes + 1) return Take(kMaxNodes);  // says so
    rule_->nodes.resize(first + count);
    const bool unlisted = rule_->nodes[at].unlisted;
    const size_t length = path_.size();
    for (size_t i = 0; i < count; ++i) {
      if (!unlisted) path_ += fmt::format("[{}]", i + first_index);
      WEIR_RETURN_IF_ERROR(CompileAt(first + i, values[i], depth));
      path_.resize(length);
    }
    return OkStatus();
  }

  Status Unknown(std::string_view name) const {
    if (name == "$ref") {
      return Wrong("\"$ref\" names an evaluator that is not there; define it in $evaluators");
    }
    std::vector<std::string> names;
    for (const Operator& known : kOperators) names.emplace_back(known.name);
    return Wrong(fmt::format("\"{}\" is no operator of JsonLogic or flagd{}", name,
                             DidYouMean(name, names)));
  }

  void AddPath(Node& node, std::string_view path) {
    node.op = Op::kVarPath;
    node.path_first = static_cast<uint32_t>(rule_->segments.size());
    for (bool more = true; more;) {
      const size_t dot = path.find('.');
      rule_->segments.push_back(MakeSegment(path.substr(0, dot)));
      more = dot != std::string_view::npos;
      path.remove_prefix(more ? dot + 1 : path.size());
    }
    node.path_count = static_cast<uint32_t>(rule_->segments.size()) - node.path_first;
  }

  // Moves what the rule points to out of the scratch memory into one block of the right size.
  void Settle() {
    rule_->nodes.shrink_to_fit();
    rule_->segments.shrink_to_fit();
    size_t bytes = 0;
    for (const Node& node : rule_->nodes) bytes += Footprint(node.constant);
    for (const Segment& segment : rule_->segments) bytes += Rounded(segment.name.size());
    rule_->storage = std::make_unique<std::byte[]>(std::max<size_t>(bytes, 1));
    free_ = rule_->storage.get();
    for (Node& node : rule_->nodes) node.constant = Copy(node.constant);
    for (Segment& segment : rule_->segments) segment.name = Copy(segment.name);
  }

  static constexpr size_t Rounded(size_t bytes) {
    return (bytes + alignof(Member) - 1) / alignof(Member) * alignof(Member);
  }

  static size_t Footprint(const Value& value) {
    size_t bytes = 0;
    switch (value.type()) {
      case Type::kText:
        return Rounded(value.size());
      case Type::kList:
        bytes = std::max<size_t>(value.size(), 1) * sizeof(Value);
        for (size_t i = 0; i < value.size(); ++i) bytes += Footprint(value.items()[i]);
        return bytes;
      case Type::kMap:
        bytes = std::max<size_t>(value.size(), 1) * sizeof(Member);
        for (size_t i = 0; i < value.size(); ++i) {
          bytes += Rounded(value.members()[i].name.size());
          bytes += Footprint(value.members()[i].value);
        }
        return bytes;
      default:
        return 0;
    }
  }

  template <class T>
  T* Reserve(size_t count) {
    T* place = reinterpret_cast<T*>(free_);
    free_ += Rounded(count * sizeof(T));
    return place;
  }

  std::string_view Copy(std::string_view text) {
    char* place = Reserve<char>(text.size());
    if (!text.empty()) std::memcpy(place, text.data(), text.size());
    return {place, text.size()};
  }

  Value Copy(const Value& value) {
    switch (value.type()) {
      case Type::kText:
        return Value::Text(Copy(value.text()));
      case Type::kList: {
        auto* items = Reserve<Value>(std::max<size_t>(value.size(), 1));
        for (size_t i = 0; i < value.size(); ++i) items[i] = Copy(value.items()[i]);
        return Value::List(items, value.size());
      }
      case Type::kMap: {
        auto* members = Reserve<Member>(std::max<size_t>(value.size(), 1));
        for (size_t i = 0; i < value.size(); ++i) {
          members[i] = {Copy(value.members()[i].name), Copy(value.members()[i].value)};
        }
        return Value::Map(members, value.size());
      }
      default:
        return value;
    }
  }

  Arena scratch_{4 * Arena::kDefaultMaxBytes};
  std::shared_ptr<Rule> rule_ = std::make_shared<Rule>();
  std::string path_;
  size_t nodes_ = 0;
  std::byte* free_ = nullptr;
};

}  // namespace

Segment MakeSegment(std::string_view name) {
  Segment segment;
  segment.name = name;
  const bool canonical =
      !name.empty() && name.size() <= 10 && (name == "0" || name[0] != '0') &&
      std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (canonical) std::from_chars(name.data(), name.data() + name.size(), segment.index);
  using Meaning = Segment::Meaning;
  if (name == "targetingKey") segment.meaning = Meaning::kTargetingKey;
  if (name == "$flagd") segment.meaning = Meaning::kFlagd;
  if (name == "current") segment.meaning = Meaning::kCurrent;
  if (name == "accumulator") segment.meaning = Meaning::kAccumulator;
  return segment;
}

Result<std::shared_ptr<const Rule>> Compile(std::string_view json) {
  if (json.size() > kMaxRuleBytes) {
    return InvalidArgument(
        "", fmt::format("the rule has {} bytes, more than the {} that are allowed", json.size(),
                        kMaxRuleBytes));
  }
  return Compiler().Run(json);
}

}  // namespace weir::targeting
