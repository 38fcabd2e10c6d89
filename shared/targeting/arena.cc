// SPDX-License-Identifier: Apache-2.0
#include "shared/targeting/arena.h"

#include <algorithm>
#include <cstring>

namespace weir::targeting {

void* Arena::Allocate(size_t bytes) {
  constexpr size_t kAlign = alignof(std::max_align_t);
  constexpr size_t kBlockBytes = size_t{16} * 1024;
  if (bytes > left_) return nullptr;
  bytes = (bytes + kAlign - 1) / kAlign * kAlign;
  if (bytes > room_) {
    room_ = std::max(bytes, kBlockBytes);
    blocks_.push_back(std::make_unique<char[]>(room_));
    at_ = blocks_.back().get();
  }
  left_ -= std::min(left_, bytes);
  room_ -= bytes;
  char* result = at_;
  at_ += bytes;
  return result;
}

std::string_view Arena::Copy(std::string_view text) {
  char* copy = static_cast<char*>(Allocate(std::max<size_t>(text.size(), 1)));
  if (copy == nullptr) return {};
  std::memcpy(copy, text.data(), text.size());
  return {copy, text.size()};
}

}  // namespace weir::targeting
