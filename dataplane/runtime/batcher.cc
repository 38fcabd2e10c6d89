// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/batcher.h"

#include <algorithm>
#include <functional>
#include <span>
#include <utility>

namespace weir::node::runtime {
namespace {

// Hands each request of a batch its rows of the answer.
class RowSplitter final : public Sink {
 public:
  explicit RowSplitter(std::span<const Batcher::Item> items, int64_t rows)
      : items_(items), rows_(rows) {}

  void OnHead() override {}

  void OnChunk(std::span<const TensorView> outputs) override {
    const bool splits = std::all_of(outputs.begin(), outputs.end(), [this](const TensorView& o) {
      return !o.shape.empty() && o.shape[0] == rows_;
    });
    if (!splits) return;
    int64_t row = 0;
    for (const Batcher::Item& item : items_) {
      const int64_t count = item.request->inputs[0].shape[0];
      Give(item, outputs, row, count);
      row += count;
    }
    given_ = true;
  }

  void OnEnd(Status status, const Usage&) override { status_ = std::move(status); }

  // The requests have their rows; what is missing is their OnEnd.
  bool given() const { return given_; }
  const Status& status() const { return status_; }

 private:
  void Give(const Batcher::Item& item, std::span<const TensorView> outputs, int64_t row,
            int64_t count) {
    std::vector<TensorView> views(outputs.begin(), outputs.end());
    shapes_.resize(views.size());
    for (size_t i = 0; i < views.size(); ++i) {
      shapes_[i].assign(views[i].shape.begin(), views[i].shape.end());
      shapes_[i][0] = count;
      const size_t row_bytes = views[i].data.size() / static_cast<size_t>(rows_);
      views[i].shape = shapes_[i];
      views[i].data = views[i].data.subspan(static_cast<size_t>(row) * row_bytes,
                                            static_cast<size_t>(count) * row_bytes);
    }
    item.sink->OnHead();
    item.sink->OnChunk(views);
  }

  std::span<const Batcher::Item> items_;
  const int64_t rows_;
  std::vector<std::vector<int64_t>> shapes_;
  bool given_ = false;
  Status status_;
};

bool Matches(const Batcher::Item& a, const Batcher::Item& b) {
  const Tensor& x = a.request->inputs[0];
  const Tensor& y = b.request->inputs[0];
  return a.version == b.version && x.datatype == y.datatype && x.shape[1] == y.shape[1];
}

}  // namespace

void BatchSizes::Add(size_t size) {
  size_t at = 0;
  while (at < kBounds && size > size_t{1} << at) ++at;
  ++counts[at];
  requests += size;
}

void BatchSizes::Merge(const BatchSizes& other) {
  for (size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
  requests += other.requests;
}

bool Batcher::CanTake(const Version& version, const Request& request) {
  return version.TakesBatches() && request.inputs.size() == 1 &&
         request.inputs[0].shape.size() == 2 && request.inputs[0].shape[0] <= kMaxRows;
}

void Batcher::Flush() {
  running_.swap(waiting_);
  // Alike ones together; a stable order within, so that nobody is overtaken.
  std::stable_sort(running_.begin(), running_.end(), [](const Item& a, const Item& b) {
    return std::less<>()(a.version, b.version);
  });
  for (size_t first = 0; first < running_.size();) {
    size_t end = first;
    int64_t rows = 0;
    while (end < running_.size() && Matches(running_[first], running_[end])) {
      rows += running_[end].request->inputs[0].shape[0];
      if (rows > kMaxRows && end > first) break;
      ++end;
    }
    Run(first, end);
    first = end;
  }
  running_.clear();
}

void Batcher::Run(size_t first, size_t end) {
  sizes_.Add(end - first);
  if (end - first > 1 && RunTogether(first, end)) return;
  // Alone, or because the batch failed: each by itself, so that one cannot spoil another's answer.
  for (size_t i = first; i < end; ++i) {
    Item& item = running_[i];
    item.version->Start(*item.request, item.deadline_ns, item.stop, *item.sink);
  }
}

bool Batcher::RunTogether(size_t first, size_t end) {
  const std::span<const Item> items(running_.data() + first, end - first);
  const Tensor& like = items[0].request->inputs[0];
  input_.name = like.name;
  input_.datatype = like.datatype;
  input_.shape = {0, like.shape[1]};
  input_.data.clear();
  int64_t deadline_ns = items[0].deadline_ns;
  for (const Item& item : items) {
    const Tensor& input = item.request->inputs[0];
    input_.shape[0] += input.shape[0];
    input_.data.insert(input_.data.end(), input.data.begin(), input.data.end());
    deadline_ns = std::min(deadline_ns, item.deadline_ns);
  }
  RowSplitter splitter(items, input_.shape[0]);
  const Request request{{&input_, 1}};
  items[0].version->Start(request, deadline_ns, {}, splitter);
  if (!splitter.given()) return false;
  for (const Item& item : items) item.sink->OnEnd(splitter.status(), {});
  return true;
}

}  // namespace weir::node::runtime
