// SPDX-License-Identifier: Apache-2.0
#include "dataplane/routing/recorder.h"

namespace weir::node::routing {

void DurationHistogram::Merge(const DurationHistogram& other) {
  for (size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
  sum_s += other.sum_s;
}

void ArmTotals::Merge(const ArmTotals& other) {
  requests += other.requests;
  errors += other.errors;
  diverted += other.diverted;
  duration.Merge(other.duration);
}

std::shared_ptr<Recorder> Recorders::Prepare(const std::string& model, const std::string& version,
                                             const char* arm) {
  const telemetry::SeriesKey key{"model/" + model, version, arm};
  std::shared_ptr<Recorder>& recorder = recorders_[key];
  if (recorder == nullptr) recorder = std::make_shared<Recorder>(shard_.Prepare(key));
  return recorder;
}

void Recorders::AddTo(Totals& totals) const {
  for (const auto& [key, recorder] : recorders_) totals[key].Merge(recorder->totals());
}

void Recorders::Prune() {
  std::erase_if(recorders_, [](const auto& item) { return item.second.use_count() == 1; });
}

}  // namespace weir::node::routing
