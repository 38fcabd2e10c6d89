// SPDX-License-Identifier: Apache-2.0
// One frame of every message type and one body of every kind of entry, with every field set, as
// this tree writes them; and any described value as lines "path = value", where a path is made of
// the fields' numbers on the wire. tests/golden/wire_1_0 keeps what the code of wire version 1.0
// made of it (make_wire_frames.cc).
#pragma once

#include <fmt/format.h>

#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "shared/base/text.h"
#include "shared/codec/domain_fields.h"
#include "shared/wire/messages.h"

namespace weir::golden {

using codec::Describe;

// Sets every field to a value of its own.
class Filler {
 public:
  template <class T>
  void operator()(uint32_t key, const char*, T& field, const codec::Field& = {}) {
    seed_ = seed_ * 31 + key;
    Fill(field);
  }
  void Fill(bool& field) { field = true; }
  void Fill(double& field) { field = 0.5 + static_cast<double>(Next() % 100); }
  void Fill(std::string& field) { field = fmt::format("text-{}", Next() % 1000); }
  void Fill(codec::Bytes& field) {
    field.value = std::string("\0\xff", 2) + std::to_string(Next());
  }
  void Fill(domain::JsonText& field) { field.text = fmt::format("[{}]", Next() % 1000); }
  void Fill(domain::DurationMs& field) { field.ms = static_cast<int64_t>(Next() % 100'000); }
  void Fill(domain::TimeMs& field) { field.ms = static_cast<int64_t>(Next() % 100'000); }
  template <class T>
  requires std::is_integral_v<T>
  void Fill(T& field) { field = static_cast<T>(1 + Next() % 100'000); }
  template <class T>
  requires std::is_enum_v<T>
  void Fill(T& field) { field = static_cast<T>(1); }
  template <class T>
  void Fill(std::optional<T>& field) {
    Fill(field.emplace());
  }
  template <class T>
  void Fill(std::vector<T>& field) {
    for (int i = 0; i < 2; ++i) Fill(field.emplace_back());
  }
  template <class T>
  void Fill(std::map<std::string, T>& field) {
    Fill(field["zone"]);
  }
  template <class T>
  requires std::is_class_v<T>
  void Fill(T& field) { Describe(*this, field); }

 private:
  uint64_t Next() { return ++seed_; }
  uint64_t seed_ = 1;
};

// "4.0.6 = …" for the field 6 of the first item of field 4.
class Lines {
 public:
  template <class T>
  static std::vector<std::string> Of(const T& value) {
    Lines lines;
    lines.Add(value, "");
    return std::move(lines.lines_);
  }

  template <class T>
  void operator()(uint32_t key, const char*, T& field, const codec::Field& = {}) {
    Add(field, prefix_.empty() ? std::to_string(key) : fmt::format("{}.{}", prefix_, key));
  }

 private:
  void Put(const std::string& path, const std::string& value) {
    lines_.push_back(path + " = " + value);
  }
  void Add(bool value, const std::string& path) { Put(path, value ? "true" : "false"); }
  void Add(double value, const std::string& path) { Put(path, fmt::format("{}", value)); }
  void Add(const std::string& value, const std::string& path) { Put(path, "\"" + value + "\""); }
  void Add(const codec::Bytes& value, const std::string& path) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(value.value.data());
    Put(path, "0x" + ToHex(std::span(bytes, value.value.size())));
  }
  void Add(const domain::JsonText& value, const std::string& path) { Put(path, value.text); }
  void Add(const domain::DurationMs& value, const std::string& path) { Add(value.ms, path); }
  void Add(const domain::TimeMs& value, const std::string& path) { Add(value.ms, path); }
  template <class T>
  requires std::is_integral_v<T> || std::is_enum_v<T>
  void Add(T value, const std::string& path) {
    Put(path, std::to_string(static_cast<int64_t>(value)));
  }
  template <class T>
  void Add(const std::optional<T>& value, const std::string& path) {
    if (value.has_value()) Add(*value, path);
  }
  template <class T>
  void Add(const std::vector<T>& items, const std::string& path) {
    for (size_t i = 0; i < items.size(); ++i) Add(items[i], fmt::format("{}.{}", path, i));
  }
  template <class T>
  void Add(const std::map<std::string, T>& items, const std::string& path) {
    for (const auto& [key, value] : items) Add(value, path + "." + key);
  }
  template <class T>
  requires std::is_class_v<T>
  void Add(const T& value, const std::string& path) {
    const std::string before = std::exchange(prefix_, path);
    Describe(*this, const_cast<T&>(value));
    prefix_ = before;
  }

  std::string prefix_;
  std::vector<std::string> lines_;
};

// Calls visit(name, type, topic, body) with a default body of every message type.
template <class Visit>
void ForEachMessage(const Visit& visit) {
  using wire::Topic;
  using wire::Type;
  visit("delta", Type::kDelta, Topic::kConfig, wire::Delta{});
  visit("snapshot", Type::kSnapshot, Topic::kSession, wire::SnapshotBody{});
  visit("beacon", Type::kBeacon, Topic::kBeacon, wire::Beacon{});
  visit("emergency", Type::kEmergency, Topic::kEmergency, wire::EmergencyMessage{});
  visit("hello", Type::kHello, Topic::kSession, wire::Hello{});
  visit("welcome", Type::kWelcome, Topic::kSession, wire::Welcome{});
  visit("refused", Type::kRefused, Topic::kSession, wire::Refused{});
  visit("snapshot_request", Type::kSnapshotRequest, Topic::kSession, wire::SnapshotRequest{});
  visit("applied", Type::kApplied, Topic::kSession, wire::Applied{});
  visit("heartbeat", Type::kHeartbeat, Topic::kSession, wire::Heartbeat{});
  visit("node_report", Type::kNodeReport, Topic::kSession, wire::NodeReport{});
  visit("command", Type::kCommand, Topic::kSession, wire::Command{});
  visit("move", Type::kMove, Topic::kSession, wire::Move{});
  visit("batch_ack", Type::kBatchAck, Topic::kSession, wire::BatchAck{});
  visit("goodbye", Type::kGoodbye, Topic::kSession, wire::Goodbye{});
  visit("batch", Type::kBatch, Topic::kTelemetry, wire::Batch{});
}

// Calls visit(kind, entry) with a default entry of every kind.
template <class Visit>
void ForEachEntry(const Visit& visit) {
  visit(domain::EntryKind::kFlag, domain::FlagEntry{});
  visit(domain::EntryKind::kModel, domain::ModelEntry{});
  visit(domain::EntryKind::kSplit, domain::SplitEntry{});
  visit(domain::EntryKind::kExperiment, domain::ExperimentEntry{});
  visit(domain::EntryKind::kObservability, domain::ObservabilityEntry{});
  visit(domain::EntryKind::kToken, domain::TokenEntry{});
  visit(domain::EntryKind::kLimit, domain::LimitEntry{});
}

// Entries as a node takes them.
template <class Visit>
void ForEachGoodEntry(const Visit& visit) {
  domain::FlagEntry flag;
  flag.name = "ttft_pipeline";
  flag.enabled = true;
  flag.threshold = 25'000;
  flag.seed = "ttft_pipeline-2025";
  flag.allowlist = {"user-1", "user-2"};
  flag.parents = {"parent"};
  flag.schedule = {{1'770'000'000'000, true, 100'000, ""}};
  visit("flag", domain::EntryKind::kFlag, flag.name, flag);
  domain::FlagEntry variant;
  variant.name = "colour";
  variant.enabled = true;
  variant.variants = {{"red", {"\"#f00\""}}, {"blue", {"\"#00f\""}}};
  variant.default_variant = "red";
  variant.off_variant = "blue";
  variant.targeting = {R"({"if":[{"in":["@example.com",{"var":"email"}]},"red","blue"]})"};
  visit("variant", domain::EntryKind::kFlag, variant.name, variant);
  domain::ModelEntry model;
  model.name = "fraud_detection";
  model.stable = "1.0.0";
  model.versions.resize(2);
  model.versions[0].version = "1.0.0";
  model.versions[0].runtime = "xgboost";
  model.versions[0].sha256 = std::string(64, 'a');
  model.versions[1].version = "1.1.0";
  model.versions[1].runtime = "remote";
  model.versions[1].urls = {"http://127.0.0.1:9000"};
  model.versions[1].fault = domain::FaultEntry{0.25, 10, 1'770'000'000'000};
  visit("model", domain::EntryKind::kModel, model.name, model);
  domain::SplitEntry split;
  split.rollout = "fraud-1-1";
  split.model = "fraud_detection";
  split.candidate = "1.1.0";
  split.threshold = 10'000;
  split.hash_key = "user_id";
  split.seed = "fraud-1-1";
  split.nodes = {{"zone", "a"}};
  split.unwatched_after_ms = 60'000;
  visit("split", domain::EntryKind::kSplit, split.rollout, split);
  domain::ExperimentEntry experiment;
  experiment.name = "pricing";
  experiment.hash_key = "user_id";
  experiment.seed = "pricing-2025";
  experiment.groups = {{"control", 50}, {"treatment", 50}};
  visit("experiment", domain::EntryKind::kExperiment, experiment.name, experiment);
  domain::ObservabilityEntry observability;
  observability.name = "default";
  visit("observability", domain::EntryKind::kObservability, observability.name, observability);
}

inline std::string Hex(const std::string& bytes) {
  return ToHex(std::span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
}

}  // namespace weir::golden
