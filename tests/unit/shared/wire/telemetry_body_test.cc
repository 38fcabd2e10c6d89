// SPDX-License-Identifier: Apache-2.0
#include "shared/wire/telemetry_body.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

namespace weir::wire {
namespace {

telemetry::Series Sample() {
  telemetry::Series series;
  series.counters = {{"requests", 4}, {"bad", 1}, {"shed", 2}};
  for (const double ms : {1.0, 2.5, 2.5, 900.0}) {
    series.latency.Add(ms);
    series.latency_digest.Add(ms);
  }
  series.AddBadKey(77);
  for (const double ms : {0.0, 0.0, 3.5}) series.queue.Add(ms);
  series.ttft.Add(120);
  return series;
}
const telemetry::SeriesKey kKey{"model/m", "1.0.0", "stable"};

TEST(TelemetryBody, ComesBackAsItWas) {
  const auto read = FromWire(ToWire(kKey, Sample()));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->first, kKey);
  EXPECT_EQ(read->second, Sample());
}

TEST(TelemetryBody, RefusesWhatIsMalformed) {
  const std::pair<const char*, std::function<void(Series&)>> kCases[] = {
      {"subject", [](Series& s) { s.subject.clear(); }},
      {"subject", [](Series& s) { s.subject = std::string(kMaxKeyText + 1, 'a'); }},
      {"version", [](Series& s) { s.version = "1 0"; }},
      {"arm", [](Series& s) { s.arm = "sta\nble"; }},
      {"counters", [](Series& s) { s.counters["Requests"] = 1; }},
      {"counters", [](Series& s) { s.counters[""] = 1; }},
      {"counters", [](Series& s) { s.counters[std::string(kMaxCounterName + 1, 'a')] = 1; }},
      {"counters",
       [](Series& s) {
         for (size_t i = 0; i <= kMaxCounters; ++i) s.counters["c" + std::to_string(i)] = 1;
       }},
      {"counters.shed", [](Series& s) { s.counters["shed"] = kMaxCount + 1; }},
      {"counters.bad", [](Series& s) { s.counters["bad"] = 5; }},
      {"latency_buckets", [](Series& s) { s.latency_buckets.pop_back(); }},
      {"latency_buckets", [](Series& s) { s.latency_buckets[0] = telemetry::kMinBucket - 1; }},
      {"latency_buckets", [](Series& s) { s.latency_buckets.back() = -1; }},
      {"latency_buckets", [](Series& s) { s.latency_buckets.back() += 1; }},
      {"latency", [](Series& s) { std::swap(s.latency_buckets[0], s.latency_buckets[2]); }},
      {"latency_digest", [](Series& s) { s.latency_digest.pop_back(); }},
      {"latency_digest", [](Series& s) { s.latency_digest.clear(); }},
      {"digest", [](Series& s) { s.latency_digest[0] = NAN; }},
      {"digest", [](Series& s) { s.latency_digest[0] = 1e6; }},
      {"digest", [](Series& s) { s.latency_digest[1] = 0.5; }},
      {"queue_digest", [](Series& s) { s.queue_digest.pop_back(); }},
      {"queue_digest", [](Series& s) { s.queue_digest = {1, 1, 2, 4, 3, 1}; }},
      {"digest", [](Series& s) { s.queue_digest[0] = NAN; }},
      {"ttft_digest", [](Series& s) { s.ttft_digest = {1, 1, 2, 4, 3, 1}; }},
      {"bad_keys", [](Series& s) { s.bad_keys.assign(9, 1); }},
  };
  int at = 0;
  for (const auto& [field, spoil] : kCases) {
    Series series = ToWire(kKey, Sample());
    spoil(series);
    const auto read = FromWire(series);
    EXPECT_EQ(read.status().code(), Code::kInvalidArgument) << "case " << at;
    EXPECT_EQ(read.status().field(), field) << "case " << at;
    ++at;
  }
}

TEST(TelemetryBody, AFlagsOutcomesHaveASnapshotsVersionAndNoLatencies) {
  telemetry::Series counted;
  counted.counters = {{"requests", 4}};
  for (const char* outcome : {"on", "off", "", "dark blue"}) {
    const auto read = FromWire(ToWire({"flag/checkout", "", outcome}, counted));
    ASSERT_TRUE(read.ok()) << read.status().ToString();
    EXPECT_EQ(read->first.arm, outcome);
    EXPECT_EQ(read->second.Counter("requests"), 4u);
  }
  const auto highest = FromWire(ToWire({"flag/checkout", "18446744073709551615", "on"}, counted));
  ASSERT_TRUE(highest.ok()) << highest.status().ToString();
  EXPECT_EQ(ReadSnapshotVersion(highest->first.version), UINT64_MAX);
  EXPECT_EQ(SnapshotVersionText(UINT64_MAX), highest->first.version);
  EXPECT_EQ(SnapshotVersionText(0), "");
  EXPECT_EQ(ReadSnapshotVersion(""), 0u);
  for (const char* bad :
       {"1.1.0", "-1", "+1", " 1", "1 ", "x", "18446744073709551616", "000000000000000000001"}) {
    EXPECT_EQ(FromWire(ToWire({"flag/checkout", bad, "on"}, counted)).status().field(), "version")
        << bad;
  }
  EXPECT_EQ(FromWire(ToWire({"flag/checkout", "", "o\nn"}, counted)).status().field(), "arm");
  EXPECT_EQ(FromWire(ToWire({"model/m", "", "stable"}, counted)).status().field(), "version");
  counted.counters["bad"] = 1;
  EXPECT_EQ(FromWire(ToWire({"flag/checkout", "", "on"}, counted)).status().field(), "counters");
}

}  // namespace
}  // namespace weir::wire
