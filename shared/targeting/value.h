// SPDX-License-Identifier: Apache-2.0
// JSON values as a rule sees them: small views, copied freely. Text, items and members belong to
// whoever made them (an Arena, or the compiled Rule) and outlive every view.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir::targeting {

struct Member;

class Value {
 public:
  enum class Type : uint8_t { kNull, kBool, kNumber, kText, kList, kMap };

  constexpr Value() = default;  // null
  static constexpr Value Bool(bool b) {
    Value v(Type::kBool, 0);
    v.bool_ = b;
    return v;
  }
  static constexpr Value Number(double n) {
    Value v(Type::kNumber, 0);
    v.number_ = n;
    return v;
  }
  static constexpr Value Text(std::string_view text) {
    Value v(Type::kText, text.size());
    v.text_ = text.data();
    return v;
  }
  static constexpr Value List(const Value* items, size_t count) {
    Value v(Type::kList, count);
    v.items_ = items;
    return v;
  }
  static constexpr Value Map(const Member* members, size_t count) {
    Value v(Type::kMap, count);
    v.members_ = members;
    return v;
  }

  constexpr Type type() const { return type_; }
  constexpr bool is_null() const { return type_ == Type::kNull; }
  // Each only for its type.
  constexpr bool boolean() const { return bool_; }
  constexpr double number() const { return number_; }
  constexpr std::string_view text() const { return {text_, size_}; }
  constexpr size_t size() const { return size_; }  // of text in bytes, of items, of members
  constexpr const Value* items() const { return items_; }
  constexpr const Member* members() const { return members_; }
  // The member of that name (the last, should it be repeated); null when there is none or this is
  // no map.
  const Value* Find(std::string_view name) const;

 private:
  constexpr Value(Type type, size_t size) : type_(type), size_(static_cast<uint32_t>(size)) {}

  Type type_ = Type::kNull;
  uint32_t size_ = 0;
  union {
    bool bool_;
    double number_ = 0;
    const char* text_;
    const Value* items_;
    const Member* members_;
  };
};

struct Member {
  std::string_view name;
  Value value;
};

inline const Value* Value::Find(std::string_view name) const {
  if (type_ != Type::kMap) return nullptr;
  for (size_t i = size_; i-- > 0;) {
    if (members_[i].name == name) return &members_[i].value;
  }
  return nullptr;
}

}  // namespace weir::targeting
