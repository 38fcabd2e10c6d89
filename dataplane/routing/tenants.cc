// SPDX-License-Identifier: Apache-2.0
#include "dataplane/routing/tenants.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir::node::routing {
namespace {

bool IsName(std::string_view text) {
  return !text.empty() && text.size() <= Tenants::kMaxName &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

}  // namespace

Recorder* Tenants::Find(std::string_view tenant, std::string_view model, const std::string& version,
                        const char* arm, int64_t now_ms) {
  auto found = tenants_.find(tenant);
  if (found == tenants_.end()) {
    if (!IsName(tenant)) return nullptr;
    if (tenants_.size() >= kMaxTenants) Prune(now_ms);
    if (tenants_.size() >= kMaxTenants) return nullptr;
    found = tenants_.emplace(std::string(tenant), Tenant{}).first;
  }
  Tenant& known = found->second;
  known.heard_ms = now_ms;
  for (const Series& series : known.series) {
    if (series.model == model && series.version == version && series.arm == arm)
      return series.recorder.get();
  }
  if (known.series.size() >= kMaxSeries) known.series.clear();
  const std::string subject = fmt::format("{}{}/{}", telemetry::kTenantSubject, tenant, model);
  known.series.push_back(
      {std::string(model), version, arm, recorders_.Prepare({subject, version, arm})});
  return known.series.back().recorder.get();
}

void Tenants::Prune(int64_t now_ms) {
  std::erase_if(tenants_,
                [&](const auto& item) { return now_ms - item.second.heard_ms > kForgetMs; });
}

}  // namespace weir::node::routing
