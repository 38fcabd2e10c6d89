// SPDX-License-Identifier: Apache-2.0
// A compiled rule: a flat list of nodes, the root first, whose children stand together. Constants
// and names live in one block that the rule owns. Immutable once Compile has returned it.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "shared/targeting/value.h"

namespace weir::targeting {

enum class Op : uint8_t {
  kConstant,  // Node::constant
  kList,      // a list whose items are the children
  kVarPath,   // a fixed path; a child is the default
  kVar,
  kMissing,
  kMissingSome,
  kIf,
  kEqual,
  kStrictEqual,
  kNotEqual,
  kStrictNotEqual,
  kNot,
  kTruthy,
  kOr,
  kAnd,
  kGreater,
  kGreaterEqual,
  kLess,
  kLessEqual,
  kMax,
  kMin,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kRemainder,
  kMap,
  kReduce,
  kFilter,
  kAll,
  kNone,
  kSome,
  kMerge,
  kIn,
  kCat,
  kSubstr,
  kLog,
  kFractional,
  kStartsWith,
  kEndsWith,
  kSemVer,
};

// One name of a fixed path.
struct Segment {
  // What the name also means, by where it is looked up.
  enum class Meaning : uint8_t { kPlain, kTargetingKey, kFlagd, kCurrent, kAccumulator };

  std::string_view name;
  int64_t index = -1;  // of a list; below 0 when the name is no index
  Meaning meaning = Meaning::kPlain;
};
Segment MakeSegment(std::string_view name);

struct Node {
  Op op = Op::kConstant;
  bool unlisted = false;    // the argument stood without a list: {"var": "x"}
  uint32_t first = 0;       // of the children in Rule::nodes
  uint32_t count = 0;       // of the children
  uint32_t path_first = 0;  // in Rule::segments
  uint32_t path_count = 0;
  Value constant;
};

class Rule {
 public:
  std::vector<Node> nodes;  // the root first
  std::vector<Segment> segments;
  std::unique_ptr<std::byte[]> storage;  // what constants and names point to
};

}  // namespace weir::targeting
