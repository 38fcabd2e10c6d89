// SPDX-License-Identifier: Apache-2.0
// One field description per type, from which JSON, YAML and msgpack all come.
//
//   template <class V> void Describe(V& v, FlagSpec& f) {
//     v(2, "enabled", f.enabled);
//     v(4, "rollout_percentage", f.rollout_percentage, Aliases("percentage", "rolloutPercentage"));
//   }
//
// The number is the field's key on the wire: even keys must be understood by the reader (an unknown
// one is an error), odd ones may be skipped. Numbers and names are never reused. A visitor V is any
// callable (uint32_t key, const char* name, T& field, const Field& = {}); Describe is found by
// argument-dependent lookup beside the visitor or beside the type.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace weir::codec {

struct Field {
  std::array<const char*, 3> aliases{};  // other spellings that text readers accept
  bool required = false;                 // text readers demand it
  uint32_t max_items = 4096;             // the wire's limit for arrays
  bool omit_zero = false;                // text writers leave out 0, false and 0s
};

constexpr Field Required() { return {.required = true}; }
constexpr Field Aliases(const char* a, const char* b = nullptr) {
  return {.aliases = {a, b, nullptr}};
}
constexpr Field OmitZero() { return {.omit_zero = true}; }
constexpr Field MaxItems(uint32_t n) { return {.max_items = n}; }

// Opaque bytes: msgpack bin; not for text formats.
struct Bytes {
  std::string value;
  bool operator==(const Bytes&) const = default;
};

}  // namespace weir::codec
