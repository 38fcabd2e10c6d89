// SPDX-License-Identifier: Apache-2.0
// Requests of one poll round that want the same version, run as one call. An XGBoost call costs as
// much as several rows (about 7 µs beside 1.5), so that under load a batch serves many for little
// more than the price of one; and nobody waits for a batch to fill, since a round is what the
// sockets had ready anyway. One worker's thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <stop_token>
#include <vector>

#include "dataplane/runtime/runtime.h"

namespace weir::node::runtime {

// How many requests calls had: upper bounds 1, 2, 4, … 128, and above.
struct BatchSizes {
  static constexpr size_t kBounds = 8;
  std::array<uint64_t, kBounds + 1> counts{};
  uint64_t requests = 0;  // the sum of all sizes

  void Add(size_t size);
  void Merge(const BatchSizes& other);
};

class Batcher {
 public:
  static constexpr int64_t kMaxRows = 256;  // of one call

  // One request. Everything it points to lives until its OnEnd.
  struct Item {
    Version* version;
    const Request* request;
    int64_t deadline_ns;
    std::stop_token stop;
    Sink* sink;
  };

  // Whether this request can wait for Flush: an inline version that takes rows of several requests,
  // one input of two dimensions. If not, call Start yourself.
  static bool CanTake(const Version& version, const Request& request);
  void Add(Item item) { waiting_.push_back(std::move(item)); }
  // Runs what waits; every sink gets its OnEnd before this returns.
  void Flush();
  const BatchSizes& sizes() const { return sizes_; }

 private:
  void Run(size_t first, size_t end);
  bool RunTogether(size_t first, size_t end);

  std::vector<Item> waiting_;
  std::vector<Item> running_;
  Tensor input_;  // kept for its memory
  BatchSizes sizes_;
};

}  // namespace weir::node::runtime
