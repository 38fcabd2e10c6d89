// SPDX-License-Identifier: Apache-2.0
// A flat hash table of shared, immutable entries by name. Copying it copies pointers, so that a new
// snapshot shares every entry that did not change (10,000 entries: tens of µs). Lookups do not
// allocate. Not safe for concurrent writes; a finished table is read by any number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace weir::decision {

// Eight bytes a step, each folded by one multiplication: names are short, and std::hash takes as
// long for one as a tenth of a decision.
inline uint64_t HashName(std::string_view name) {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15ULL;
  const auto load = [](const char* from, size_t bytes) {
    uint64_t word = 0;
    std::memcpy(&word, from, bytes);
    return word;
  };
  const auto fold = [](uint64_t a, uint64_t b) {
    const auto product = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  };
  const char* at = name.data();
  size_t left = name.size();
  uint64_t hash = fold(left + 1, kOdd);
  for (; left > 8; at += 8, left -= 8) hash = fold(hash ^ load(at, 8), kOdd);
  uint64_t tail = 0;  // the last eight bytes, or all where there are fewer
  if (name.size() >= 8) {
    tail = load(at + left - 8, 8);
  } else if (left >= 4) {
    tail = load(at, 4) << 32 | load(at + left - 4, 4);
  } else {
    for (size_t i = 0; i < left; ++i) tail = tail << 8 | static_cast<uint8_t>(at[i]);
  }
  return fold(hash ^ tail, kOdd);
}

// T has `std::string_view key() const`.
template <class T>
class EntryTable {
 public:
  const T* Find(std::string_view name) const {
    if (slots_.empty()) return nullptr;
    const size_t hash = HashName(name);
    for (size_t at = hash & Mask();; at = (at + 1) & Mask()) {
      const Slot& slot = slots_[at];
      if (slot.entry == nullptr) return nullptr;
      if (slot.hash == hash && slot.entry->key() == name) return slot.entry.get();
    }
  }

  // Adds or replaces.
  void Set(std::shared_ptr<const T> entry) {
    if ((size_ + 1) * 2 > slots_.size()) Rehash(slots_.empty() ? 16 : slots_.size() * 2);
    const size_t hash = HashName(entry->key());
    size_t at = hash & Mask();
    while (slots_[at].entry != nullptr && slots_[at].entry->key() != entry->key())
      at = (at + 1) & Mask();
    size_ += slots_[at].entry == nullptr ? 1 : 0;
    slots_[at] = {hash, std::move(entry)};
  }

  void Remove(std::string_view name) {
    if (Find(name) == nullptr) return;
    std::vector<Slot> old = std::move(slots_);
    slots_.assign(old.size(), {});
    size_ = 0;
    for (Slot& slot : old) {
      if (slot.entry != nullptr && slot.entry->key() != name) Set(std::move(slot.entry));
    }
  }

  size_t size() const { return size_; }

  // In no particular order.
  template <class F>
  void ForEach(F&& visit) const {
    for (const Slot& slot : slots_) {
      if (slot.entry != nullptr) visit(*slot.entry);
    }
  }

 private:
  struct Slot {
    size_t hash = 0;
    std::shared_ptr<const T> entry;
  };
  size_t Mask() const { return slots_.size() - 1; }
  void Rehash(size_t count) {
    std::vector<Slot> old = std::move(slots_);
    slots_.assign(count, {});
    size_ = 0;
    for (Slot& slot : old) {
      if (slot.entry != nullptr) Set(std::move(slot.entry));
    }
  }

  std::vector<Slot> slots_;  // a power of two, at most half full
  size_t size_ = 0;
};

}  // namespace weir::decision
