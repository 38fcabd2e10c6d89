// SPDX-License-Identifier: Apache-2.0
// Flags as flagd definitions: what flagd can say, and a note for the rest.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "shared/base/text.h"
#include "shared/codec/flagd_file.h"
#include "shared/domain/validate.h"

namespace weir::codec {
namespace {

constexpr char kSchema[] = "https://flagd.dev/schema/v0/flags.json";

Json ParsedOr(const domain::JsonText& text, Json fallback) {
  if (text.empty()) return fallback;
  Json json = Json::parse(text.text, nullptr, false);
  return json.is_discarded() ? fallback : json;
}

Json VariantFlag(const domain::FlagSpec& spec) {
  Json flag = {{"variants", Json::object()}, {"defaultVariant", nullptr}};
  for (const auto& [name, value] : spec.variants) flag["variants"][name] = ParsedOr(value, nullptr);
  if (!spec.default_variant.empty()) flag["defaultVariant"] = spec.default_variant;
  if (!spec.targeting.empty()) flag["targeting"] = ParsedOr(spec.targeting, nullptr);
  return flag;
}

// flagd has no prerequisites. Without them the flag is as it is only if they are on for everybody.
bool IsOnForAll(const std::vector<domain::Resource>& all, const std::string& name) {
  const auto at = std::find_if(all.begin(), all.end(), [&](const domain::Resource& r) {
    return r.kind == domain::Kind::kFlag && r.name == name;
  });
  if (at == all.end()) return false;
  const auto& spec = at->As<domain::FlagSpec>();
  const auto parents = domain::FlagParents(name, spec);
  return !spec.IsVariant() && spec.enabled.value_or(false) && !spec.allowlist_only &&
         spec.rollout_percentage.value_or(100) == 100 && spec.schedule.empty() &&
         std::all_of(parents.begin(), parents.end(),
                     [&](const std::string& parent) { return IsOnForAll(all, parent); });
}

bool NeedsOthers(const std::vector<domain::Resource>& all, const domain::Resource& flag) {
  const auto parents = domain::FlagParents(flag.name, flag.As<domain::FlagSpec>());
  return !std::all_of(parents.begin(), parents.end(),
                      [&](const std::string& parent) { return IsOnForAll(all, parent); });
}

// Off is a value: under flagd's own DISABLED the default in the caller's code would hold.
Json OffFlag() {
  return {{"variants", Json::object({{"on", true}, {"off", false}})}, {"defaultVariant", "off"}};
}

Json RolloutFlag(const domain::FlagSpec& spec) {
  if (!spec.enabled.value_or(false)) return OffFlag();
  const auto fine = domain::ToFinePercent(spec.rollout_percentage.value_or(100));
  const uint32_t on = fine.ok() ? *fine : 0;
  const uint32_t all = domain::kFineAll;
  Json flag = {{"variants", Json::object({{"on", true}, {"off", false}})},
               {"defaultVariant", on == all && !spec.allowlist_only ? "on" : "off"}};
  Json share;  // what those outside the allow-list get; null: the default
  if (!spec.allowlist_only && on > 0 && on < all) {
    const uint32_t unit = std::gcd(on, all);
    share["fractional"] =
        Json::array({Json::array({"on", on / unit}), Json::array({"off", (all - on) / unit})});
  }
  if (!spec.allowlist.empty() && (spec.allowlist_only || on < all)) {
    Json listed;
    listed["in"] = Json::array({Json::object({{"var", "targetingKey"}}), Json(spec.allowlist)});
    flag["targeting"]["if"] =
        Json::array({std::move(listed), "on", share.is_null() ? Json("off") : std::move(share)});
  } else if (!share.is_null()) {
    flag["targeting"] = share;
  }
  return flag;
}

// What flagd has no word for.
void Note(const domain::Resource& resource, const domain::FlagSpec& spec,
          std::vector<std::string>& notes) {
  const auto note = [&](const std::string& what) { notes.push_back(resource.name + ": " + what); };
  if (!spec.schedule.empty()) note("its schedule is left out");
  if (!spec.off_variant.empty()) note("its off_variant is left out");
  if (spec.IsVariant()) return;
  const double percentage = spec.rollout_percentage.value_or(100);
  if (!spec.allowlist_only && percentage > 0 && percentage < 100) {
    note(fmt::format("{} % stays, but flagd hashes otherwise: other users get in", percentage));
    if (spec.strategy == "random") note("is drawn per request here, and by key in flagd");
  }
}

}  // namespace

Json ToFlagd(const std::vector<domain::Resource>& resources, std::vector<std::string>& notes) {
  Json flags = Json::object();
  for (const domain::Resource& resource : resources) {
    if (resource.kind != domain::Kind::kFlag) continue;
    const auto& spec = resource.As<domain::FlagSpec>();
    if (!spec.malformed.empty()) {
      notes.push_back(resource.name + ": is malformed and left out: " + spec.malformed);
      continue;
    }
    const bool is_blocked = NeedsOthers(resources, resource);
    Json flag = spec.IsVariant() ? VariantFlag(spec) : is_blocked ? OffFlag() : RolloutFlag(spec);
    const bool is_off = spec.IsVariant() && (is_blocked || !spec.enabled.value_or(false));
    flag["state"] = is_off ? "DISABLED" : "ENABLED";
    if (!spec.metadata.empty()) flag["metadata"] = ParsedOr(spec.metadata, Json::object());
    flags[resource.name] = std::move(flag);
    if (is_blocked)
      notes.push_back(resource.name + ": also needs " +
                      Join(domain::FlagParents(resource.name, spec), ", ") +
                      " here, which flagd cannot say: it comes off");
    Note(resource, spec, notes);
  }
  return {{"$schema", kSchema}, {"flags", std::move(flags)}};
}

}  // namespace weir::codec
