// SPDX-License-Identifier: Apache-2.0
#include "dataplane/snapshot/entry.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "shared/codec/domain_fields.h"
#include "shared/codec/json.h"
#include "shared/codec/msgpack.h"
#include "shared/domain/token.h"
#include "shared/targeting/targeting.h"

namespace weir::node::snapshot {
namespace {

Status CheckName(const std::string& inside, const std::string& outside) {
  if (inside == outside) return OkStatus();
  return InvalidArgument("name", fmt::format("\"{}\" is published as \"{}\"", inside, outside));
}

Status CheckThreshold(domain::FinePercent threshold) {
  if (threshold <= domain::kFineAll) return OkStatus();
  return InvalidArgument("threshold",
                         fmt::format("{} is not in 0..{}", threshold, domain::kFineAll));
}

Status CheckSchedule(const domain::FlagEntry& flag) {
  int64_t last_ms = std::numeric_limits<int64_t>::min();
  for (const domain::ScheduledEntry& change : flag.schedule) {
    WEIR_RETURN_IF_ERROR(CheckThreshold(change.threshold.value_or(0)));
    if (change.at_wall_ms < last_ms) return InvalidArgument("schedule", "is not in order");
    last_ms = change.at_wall_ms;
  }
  return OkStatus();
}

Status CheckVariants(const domain::FlagEntry& flag) {
  std::set<std::string_view> names;
  for (const domain::VariantEntry& variant : flag.variants) {
    if (variant.name.empty() || !names.insert(variant.name).second) {
      return InvalidArgument("variants",
                             fmt::format("\"{}\" is empty or there twice", variant.name));
    }
    if (!codec::ParseJson(variant.value.text).ok()) {
      return InvalidArgument("variants." + variant.name, "is no JSON");
    }
  }
  const auto check = [&](const char* field, const std::string& name) {
    if (name.empty() || names.contains(name)) return OkStatus();
    return InvalidArgument(field, fmt::format("\"{}\" is not one of the variants", name));
  };
  WEIR_RETURN_IF_ERROR(check("default_variant", flag.default_variant));
  WEIR_RETURN_IF_ERROR(check("off_variant", flag.off_variant));
  for (const domain::ScheduledEntry& change : flag.schedule) {
    WEIR_RETURN_IF_ERROR(check("schedule.default_variant", change.default_variant));
  }
  return OkStatus();
}

Status Check(const domain::FlagEntry& flag, const std::string& name) {
  WEIR_RETURN_IF_ERROR(CheckName(flag.name, name));
  WEIR_RETURN_IF_ERROR(CheckThreshold(flag.threshold));
  WEIR_RETURN_IF_ERROR(CheckSchedule(flag));
  if (!flag.malformed.empty()) return OkStatus();  // it answers with that, and with nothing else
  WEIR_RETURN_IF_ERROR(CheckVariants(flag));
  if (!flag.metadata.empty()) {
    const auto metadata = codec::ParseJson(flag.metadata.text);
    if (!metadata.ok() || !metadata->is_object()) {
      return InvalidArgument("metadata", "is no JSON object");
    }
  }
  if (flag.targeting.empty()) return OkStatus();
  const auto rule = targeting::Compile(flag.targeting.text);
  return rule.ok() ? OkStatus() : InvalidArgument("targeting", rule.status().ToString());
}

Status Check(const domain::ModelEntry& model, const std::string& name) {
  WEIR_RETURN_IF_ERROR(CheckName(model.name, name));
  std::set<std::string> seen;
  for (const domain::VersionEntry& version : model.versions) {
    if (version.version.empty() || !seen.insert(version.version).second) {
      return InvalidArgument("versions",
                             fmt::format("\"{}\" is empty or there twice", version.version));
    }
    const double rate = version.fault ? version.fault->error_rate : 0;
    if (!(rate >= 0 && rate <= 1)) {
      return InvalidArgument("versions." + version.version + ".fault.error_rate",
                             fmt::format("{} is not in 0..1", rate));
    }
  }
  return OkStatus();
}

Status Check(const domain::SplitEntry& split, const std::string& name) {
  WEIR_RETURN_IF_ERROR(CheckName(split.rollout, name));
  if (split.model.empty() == split.flag.empty()) {
    return InvalidArgument("model", "a split is of one model or one flag");
  }
  return CheckThreshold(split.threshold);
}

Status Check(const domain::ExperimentEntry& experiment, const std::string& name) {
  WEIR_RETURN_IF_ERROR(CheckName(experiment.name, name));
  uint64_t total = 0;
  for (const domain::ExperimentGroup& group : experiment.groups) {
    if (group.weight > std::numeric_limits<uint32_t>::max()) {
      return InvalidArgument("groups." + group.name + ".weight",
                             fmt::format("{} is above 2^32 - 1", group.weight));
    }
    total += group.weight;
  }
  if (total == 0) return InvalidArgument("groups", "the weights sum to 0");
  return OkStatus();
}

Status Check(const domain::ObservabilityEntry& entry, const std::string& name) {
  return CheckName(entry.name, name);
}

// A scope that this node does not know opens nothing here; the token may still open others.
Status Check(const domain::TokenEntry& entry, const std::string& name) {
  WEIR_RETURN_IF_ERROR(CheckName(entry.name, name));
  if (entry.hash.size() == domain::kTokenHashDigits) return OkStatus();
  return InvalidArgument("hash", "is not 64 hex digits");
}

// An action that this node does not know does nothing here.
Status Check(const domain::LimitEntry& limit, const std::string& name) {
  WEIR_RETURN_IF_ERROR(CheckName(limit.name, name));
  const auto check = [](const char* field, double rate) {
    return rate >= 0 && rate <= std::numeric_limits<double>::max()
               ? OkStatus()
               : InvalidArgument(field, fmt::format("{} is no limit", rate));
  };
  WEIR_RETURN_IF_ERROR(check("requests_per_second", limit.requests_per_second));
  WEIR_RETURN_IF_ERROR(check("caller_requests_per_second", limit.caller_requests_per_second));
  for (const domain::LimitActEntry& act : limit.acts) {
    WEIR_RETURN_IF_ERROR(check("acts.value", act.value));
    WEIR_RETURN_IF_ERROR(check("acts.caller_requests_per_second", act.caller_requests_per_second));
  }
  return OkStatus();
}

template <class T>
Result<Entry> DecodeAs(const std::string& name, std::string_view bytes) {
  WEIR_ASSIGN_OR_RETURN(T entry, codec::FromMsgpack<T>(bytes));
  WEIR_RETURN_IF_ERROR(Check(entry, name));
  return Entry(std::move(entry));
}

}  // namespace

Result<Entry> DecodeEntry(domain::EntryKind kind, const std::string& name, std::string_view bytes) {
  switch (kind) {
    case domain::EntryKind::kFlag:
      return DecodeAs<domain::FlagEntry>(name, bytes);
    case domain::EntryKind::kModel:
      return DecodeAs<domain::ModelEntry>(name, bytes);
    case domain::EntryKind::kSplit:
      return DecodeAs<domain::SplitEntry>(name, bytes);
    case domain::EntryKind::kExperiment:
      return DecodeAs<domain::ExperimentEntry>(name, bytes);
    case domain::EntryKind::kObservability:
      return DecodeAs<domain::ObservabilityEntry>(name, bytes);
    case domain::EntryKind::kToken:
      return DecodeAs<domain::TokenEntry>(name, bytes);
    case domain::EntryKind::kLimit:
      return DecodeAs<domain::LimitEntry>(name, bytes);
  }
  return InvalidArgument(
      "kind", fmt::format("{} is not a kind that this node knows", static_cast<unsigned>(kind)));
}

}  // namespace weir::node::snapshot
