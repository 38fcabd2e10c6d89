// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <utility>

namespace weir::http::internal {

// Bytes read from a socket and not yet parsed: one block, used again for the whole connection.
class InputBuffer {
 public:
  const char* data() const { return block_.get() + begin_; }
  size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }

  char* space() { return block_.get() + end_; }
  size_t space_size() const { return capacity_ - end_; }
  // Makes room for `wanted` bytes at the end, as far as `limit` bytes in all allow; false if full.
  bool Prepare(size_t wanted, size_t limit) {
    if (begin_ == end_) begin_ = end_ = 0;
    if (space_size() >= wanted) return true;
    if (size() + wanted > capacity_ && capacity_ < limit) {
      const size_t capacity = std::min(limit, std::max(size() + wanted, capacity_ * 2));
      std::unique_ptr<char[]> block(new char[capacity]);
      if (!empty()) std::memcpy(block.get(), data(), size());
      block_ = std::move(block);
      capacity_ = capacity;
    } else if (begin_ > 0) {
      std::memmove(block_.get(), data(), size());
    }
    end_ -= begin_;
    begin_ = 0;
    return space_size() > 0;
  }
  void Commit(size_t n) { end_ += n; }
  void Consume(size_t n) { begin_ += n; }
  void Clear() { begin_ = end_ = 0; }

 private:
  std::unique_ptr<char[]> block_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace weir::http::internal
