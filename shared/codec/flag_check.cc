// SPDX-License-Identifier: Apache-2.0
#include "shared/codec/flag_check.h"

#include "shared/targeting/targeting.h"

namespace weir::codec {
namespace {

// Of variants. Domain refuses more and longer ones; here they are not looked at.
constexpr size_t kMaxVariants = 256;
constexpr size_t kMaxNameBytes = 256;
constexpr size_t kMaxValueBytes = 65536;     // of one variant
constexpr size_t kMaxMetadataBytes = 16384;  // of all metadata
constexpr size_t kMaxReasonBytes = 4096;     // of `malformed`

const char* TypeOf(const Json& value) {
  if (value.is_boolean()) return "true/false";
  if (value.is_number()) return "a number";
  if (value.is_string()) return "text";
  if (value.is_object()) return "a mapping";
  return nullptr;
}

void CheckVariants(const domain::FlagSpec& spec, Errors& errors) {
  if (spec.variants.size() > kMaxVariants) return;
  const char* first_type = nullptr;
  std::string first_name;
  for (const auto& [name, value] : spec.variants) {
    if (name.size() > kMaxNameBytes) continue;
    const std::string path = "spec.variants." + name;
    if (value.text.size() > kMaxValueBytes) {
      errors.push_back({path, fmt::format("is {} bytes; at most {} are allowed", value.text.size(),
                                          kMaxValueBytes)});
      continue;
    }
    const Result<Json> json = ParseJson(value.empty() ? "null" : value.text);
    const char* type = json.ok() ? TypeOf(*json) : nullptr;
    if (type == nullptr) {
      errors.push_back({path, (json.ok() ? Show(*json) : json.status().message()) +
                                  ", but true/false, a number, text or a mapping is expected"});
    } else if (first_type == nullptr) {
      first_type = type;
      first_name = name;
    } else if (type != first_type) {
      errors.push_back({path, fmt::format("is {}, but variant \"{}\" is {}; give all one type",
                                          type, first_name, first_type)});
    }
  }
}

void CheckMetadata(const domain::JsonText& metadata, Errors& errors) {
  if (metadata.empty()) return;
  if (metadata.text.size() > kMaxMetadataBytes) {
    errors.push_back({"spec.metadata", fmt::format("is {} bytes; at most {} are allowed",
                                                   metadata.text.size(), kMaxMetadataBytes)});
    return;
  }
  const Result<Json> json = ParseJson(metadata.text);
  if (!json.ok() || !json->is_object()) {
    errors.push_back({"spec.metadata", (json.ok() ? Show(*json) : json.status().message()) +
                                           ", but a mapping is expected"});
    return;
  }
  for (const auto& [name, value] : json->items()) {
    if (value.is_string() || value.is_number() || value.is_boolean()) continue;
    errors.push_back(
        {"spec.metadata." + name, Show(value) + ", but text, a number or true/false is expected"});
  }
}

void CheckTargeting(const domain::JsonText& targeting, Errors& errors) {
  if (targeting.empty()) return;
  const auto rule = targeting::Compile(targeting.text);
  if (rule.ok()) return;
  const std::string field = rule.status().field();
  const std::string separator = field.empty() || field[0] == '[' ? "" : ".";
  errors.push_back({"spec.targeting" + separator + field, rule.status().message()});
}

}  // namespace

Errors CheckFlag(const domain::FlagSpec& spec) {
  Errors errors;
  CheckMetadata(spec.metadata, errors);
  if (spec.malformed.size() > kMaxReasonBytes) {
    errors.push_back({"spec.malformed", fmt::format("is longer than {} bytes", kMaxReasonBytes)});
  }
  CheckVariants(spec, errors);
  CheckTargeting(spec.targeting, errors);
  return errors;
}

}  // namespace weir::codec
