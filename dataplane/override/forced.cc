// SPDX-License-Identifier: Apache-2.0
#include "dataplane/override/forced.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "shared/base/text.h"
#include "shared/codec/json.h"
#include "shared/codec/yaml.h"

namespace weir::node::override {
namespace {

// Of one change by hand; it goes to the log, to the disk, and to every metrics and status answer.
constexpr size_t kMaxEntries = 1000;
constexpr size_t kMaxReason = 1024;
constexpr size_t kMaxOutcome = 256;

using codec::Errors;
using codec::Json;
using JsonMap = std::map<std::string, Json>;

// As it is written; the values are looked at one by one.
struct Written {
  JsonMap flags;
  JsonMap splits;
  JsonMap pins;
};
template <class V>
void Describe(V& v, Written& f) {
  v(2, "flags", f.flags);
  v(4, "splits", f.splits);
  v(6, "pins", f.pins);
}

struct WrittenEmergency {
  std::optional<bool> kill_switch;
  std::optional<bool> baseline;
};
template <class V>
void Describe(V& v, WrittenEmergency& f) {
  v(2, "kill_switch", f.kill_switch);
  v(4, "baseline", f.baseline);
}

struct WrittenChange {
  WrittenEmergency emergency;
  JsonMap flags;
  JsonMap splits;
  JsonMap pins;
  std::string reason;
};
template <class V>
void Describe(V& v, WrittenChange& f) {
  v(2, "emergency", f.emergency);
  v(4, "flags", f.flags);
  v(6, "splits", f.splits);
  v(8, "pins", f.pins);
  v(10, "reason", f.reason, codec::Required());
}

using ReadValue = std::string (*)(const Json& value, const std::string& path, Errors& errors);

std::string ReadOutcome(const Json& value, const std::string& path, Errors& errors) {
  if (value.is_boolean()) return value.get<bool>() ? "on" : "off";
  if (value.is_string() && !value.get_ref<const std::string&>().empty()) {
    return value.get<std::string>();
  }
  errors.push_back({path, codec::Show(value) + ", but on, off or a variant is expected"});
  return "";
}

std::string ReadArm(const Json& value, const std::string& path, Errors& errors) {
  const std::string text = value.is_string() ? value.get<std::string>() : "";
  if (text == "stable" || text == "canary") return text;
  errors.push_back({path, codec::Show(value) + ", but stable or canary is expected" +
                              DidYouMean(text, {"stable", "canary"})});
  return "";
}

std::string ReadVersion(const Json& value, const std::string& path, Errors& errors) {
  if (value.is_string() && !value.get_ref<const std::string&>().empty()) {
    return value.get<std::string>();
  }
  errors.push_back({path, codec::Show(value) + ", but a version in quotes is expected"});
  return "";
}

void ReadAll(const JsonMap& written, const std::string& path, ReadValue read,
             decision::Overrides::ByName<std::string>& out, Errors& errors) {
  for (const auto& [name, value] : written) out[name] = read(value, path + "." + name, errors);
}

// With null for what is taken back.
void ReadAll(const JsonMap& written, const std::string& path, ReadValue read, Change::Values& out,
             Errors& errors) {
  for (const auto& [name, value] : written) {
    out[name] = std::nullopt;
    if (!value.is_null()) out[name] = read(value, path + "." + name, errors);
  }
}

bool IsOneLine(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7f; });
}

// Names as the catalog has them.
void CheckNames(const Change::Values& values, const char* path, Errors& errors) {
  for (const auto& [name, value] : values) {
    if (IsResourceName(name)) continue;
    errors.push_back({path, codec::Show(name) + ", but a name has letters, digits, . _ - and at "
                                                "most 253 of them"});
  }
}

void CheckLimits(const Change& change, Errors& errors) {
  if (change.reason.size() > kMaxReason) {
    errors.push_back({"reason", fmt::format("has {} bytes; at most {} are allowed",
                                            change.reason.size(), kMaxReason)});
  }
  const size_t entries = change.flags.size() + change.splits.size() + change.pins.size();
  if (entries > kMaxEntries) {
    errors.push_back({"", fmt::format("forces {} things; at most {} are allowed in one change",
                                      entries, kMaxEntries)});
    return;
  }
  CheckNames(change.flags, "flags", errors);
  CheckNames(change.splits, "splits", errors);
  CheckNames(change.pins, "pins", errors);
  for (const auto& [flag, outcome] : change.flags) {
    if (!outcome.has_value() || (outcome->size() <= kMaxOutcome && IsOneLine(*outcome))) continue;
    errors.push_back(
        {"flags." + flag,
         fmt::format("a variant has at most {} bytes and no control characters", kMaxOutcome)});
  }
  for (const auto& [model, version] : change.pins) {
    if (!version.has_value() || version->empty() || IsResourceName(*version)) continue;
    errors.push_back({"pins." + model, "is not a version name (letters, digits, . _ -)"});
  }
}

void ReadSwitch(const char* name, const std::optional<bool>& value, Change::Values& out) {
  if (!value.has_value()) return;
  out[name] = *value ? std::optional<std::string>("on") : std::nullopt;
}

void ApplyValues(const Change::Values& values, const Mark& mark,
                 std::map<std::string, Mark>& marks) {
  for (const auto& [name, value] : values) {
    if (!value.has_value()) {
      marks.erase(name);
      continue;
    }
    Mark& here = marks[name];
    here = mark;
    here.value = *value;
  }
}

}  // namespace

Result<decision::Overrides> LoadFile(const std::string& path) {
  WEIR_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const auto documents = codec::ParseYaml(text);
  if (!documents.ok()) return InvalidArgument(path, documents.status().ToString());
  decision::Overrides overrides;
  if (documents->empty()) return overrides;
  if (documents->size() > 1) return InvalidArgument(path, "holds more than one document");
  const codec::YamlDocument& document = documents->front();
  Errors errors;
  const auto written = codec::FromJson<Written>(document.value, "", errors);
  ReadAll(written.flags, "flags", ReadOutcome, overrides.flags, errors);
  ReadAll(written.splits, "splits", ReadArm, overrides.splits, errors);
  ReadAll(written.pins, "pins", ReadVersion, overrides.pins, errors);
  if (errors.empty()) return overrides;
  for (domain::Violation& error : errors) {
    error.path = fmt::format("{}:{}: {}", path, document.LineOf(error.path), error.path);
  }
  return codec::ToStatus(errors);
}

Result<Change> ParseChange(std::string_view json) {
  WEIR_ASSIGN_OR_RETURN(const Json body, codec::ParseJson(json));
  Errors errors;
  const auto written = codec::FromJson<WrittenChange>(body, "", errors);
  Change change;
  change.reason = written.reason;
  ReadSwitch(kKillSwitch, written.emergency.kill_switch, change.emergency);
  ReadSwitch(kBaseline, written.emergency.baseline, change.emergency);
  ReadAll(written.flags, "flags", ReadOutcome, change.flags, errors);
  ReadAll(written.splits, "splits", ReadArm, change.splits, errors);
  ReadAll(written.pins, "pins", ReadVersion, change.pins, errors);
  CheckLimits(change, errors);
  const bool is_nothing = change.emergency.empty() && change.flags.empty() &&
                          change.splits.empty() && change.pins.empty();
  if (errors.empty() && change.reason.empty()) errors.push_back({"reason", "is empty"});
  if (errors.empty() && is_nothing) {
    errors.push_back({"", "nothing is forced: give emergency, flags, splits or pins"});
  }
  if (!errors.empty()) return codec::ToStatus(errors);
  return change;
}

void Apply(const Change& change, const std::string& by, int64_t now_wall_ms, ByHand& hand) {
  const Mark mark{"", {now_wall_ms}, by, change.reason};
  ApplyValues(change.emergency, mark, hand.emergency);
  ApplyValues(change.flags, mark, hand.flags);
  ApplyValues(change.splits, mark, hand.splits);
  ApplyValues(change.pins, mark, hand.pins);
}

decision::Overrides Merge(const decision::Overrides& file, const ByHand& hand) {
  decision::Overrides merged = file;
  for (const auto& [flag, mark] : hand.flags) merged.flags[flag] = mark.value;
  for (const auto* models : {&hand.splits, &hand.pins}) {
    for (const auto& [model, mark] : *models) {
      merged.splits.erase(model);
      merged.pins.erase(model);
    }
  }
  for (const auto& [model, mark] : hand.splits) merged.splits[model] = mark.value;
  for (const auto& [model, mark] : hand.pins) merged.pins[model] = mark.value;
  return merged;
}

Status SaveByHand(const std::string& path, const ByHand& hand) {
  const std::string text = codec::ToJson(hand).dump(2, ' ', false, Json::error_handler_t::replace);
  return WriteFileAtomic(path, text + "\n", 0600);
}

Result<ByHand> LoadByHand(const std::string& path) {
  const auto text = ReadFile(path);
  if (text.status().code() == Code::kNotFound) return ByHand{};
  if (!text.ok()) return text.status();
  const auto json = codec::ParseJson(*text);
  if (!json.ok()) return DataLoss(path + ": " + json.status().ToString());
  auto hand = codec::FromJson<ByHand>(*json);
  if (!hand.ok()) return DataLoss(path + ": " + hand.status().ToString());
  return hand;
}

}  // namespace weir::node::override
