// SPDX-License-Identifier: Apache-2.0
// Memory for one evaluation: the first kilobytes on the stack, then blocks from the heap up to a
// bound, all freed together. One thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

namespace weir::targeting {

class Arena {
 public:
  static constexpr size_t kInlineBytes = 4096;
  static constexpr size_t kDefaultMaxBytes = size_t{1} << 20;

  explicit Arena(size_t max_bytes = kDefaultMaxBytes) : left_(max_bytes) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Aligned for any plain type; nullptr when the bound is reached.
  void* Allocate(size_t bytes);
  template <class T>
  T* AllocateArray(size_t count) {
    if (count > left_ / sizeof(T)) return nullptr;
    return static_cast<T*>(Allocate(count * sizeof(T)));
  }
  // A copy that lives as long as the arena; data() is nullptr when the bound is reached.
  std::string_view Copy(std::string_view text);

 private:
  size_t left_;  // of the bound
  char* at_ = inline_;
  size_t room_ = kInlineBytes;
  std::vector<std::unique_ptr<char[]>> blocks_;
  alignas(std::max_align_t) char inline_[kInlineBytes];
};

}  // namespace weir::targeting
