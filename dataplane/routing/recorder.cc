// SPDX-License-Identifier: Apache-2.0
#include "dataplane/routing/recorder.h"

namespace weir::node::routing {
namespace {

constexpr char kModelSubject[] = "model/";

}  // namespace

void DurationHistogram::Merge(const DurationHistogram& other) {
  for (size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
  sum_s += other.sum_s;
}

void ArmTotals::Merge(const ArmTotals& other) {
  requests += other.requests;
  errors += other.errors;
  diverted += other.diverted;
  fallbacks += other.fallbacks;
  duration.Merge(other.duration);
}

std::shared_ptr<Recorder> Recorders::Prepare(const std::string& model, const std::string& version,
                                             const char* arm) {
  return Prepare({kModelSubject + model, version, arm});
}

std::shared_ptr<Recorder> Recorders::Prepare(const telemetry::SeriesKey& key) {
  std::shared_ptr<Recorder>& recorder = recorders_[key];
  if (recorder == nullptr) recorder = std::make_shared<Recorder>(shard_.Prepare(key));
  return recorder;
}

void Recorders::AddTo(Totals& totals) const {
  for (const auto& [key, recorder] : recorders_) {
    if (key.subject.starts_with(kModelSubject)) totals[key].Merge(recorder->totals());
  }
}

void Recorders::Prune() {
  std::erase_if(recorders_, [](const auto& item) { return item.second.use_count() == 1; });
}

}  // namespace weir::node::routing
