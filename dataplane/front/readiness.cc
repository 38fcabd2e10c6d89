// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/readiness.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "shared/base/clock.h"

namespace weir::node::front {
namespace {

using nlohmann::json;
using runtime::State;

struct Models {
  size_t all = 0;
  size_t served = 0;
  std::vector<std::string> loading;  // versions that models need and that have yet to load
};

// An emergency by hand is in force before there is a snapshot; its rules are of no epoch.
bool HasSnapshot(const routing::Plan* plan) {
  return plan != nullptr && plan->rules().HasSnapshot();
}

Models Look(const routing::Plan& plan, const runtime::VersionTable* versions) {
  Models models;
  plan.ForEach([&](const routing::ModelPlan& model) {
    const routing::Target& serving = model.Serving();
    ++models.all;
    if (serving.handle != nullptr) {
      ++models.served;
      return;
    }
    const auto* status =
        versions == nullptr ? nullptr : versions->FindStatus(model.key(), serving.version);
    if (status == nullptr || status->state == State::kLoading) {
      models.loading.push_back(serving.unready);
    }
  });
  return models;
}

json FaultsNow(const routing::Plan& plan, int64_t wall_ms) {
  json faults = json::array();
  plan.ForEach([&](const routing::ModelPlan& model) {
    for (const domain::VersionEntry& entry : model.model->versions) {
      if (!entry.fault.has_value() || entry.fault->expires_wall_ms <= wall_ms) continue;
      faults.push_back({{"model", model.model->name},
                        {"version", entry.version},
                        {"error_rate", entry.fault->error_rate},
                        {"delay_ms", entry.fault->delay_ms},
                        {"expires", FormatTimeMs(entry.fault->expires_wall_ms)}});
    }
  });
  return faults;
}

std::string Rounded(int64_t ms) { return FormatDurationMs(ms / 1000 * 1000); }

}  // namespace

bool Readiness::Check(const routing::Plan* plan, const runtime::VersionTable* versions,
                      const NodeStatusView* status) {
  if (!HasSnapshot(plan) || (status != nullptr && status->draining)) return false;
  const Models models = Look(*plan, versions);
  if (!been_ready_ && !models.loading.empty()) return false;
  if (models.all > 0 && models.served == 0) return false;
  been_ready_ = true;
  return true;
}

http::Response Readiness::Answer(const routing::Plan* plan, const runtime::VersionTable* versions,
                                 const NodeStatusView* status, const OverridesView* overrides,
                                 int64_t now_ms, int64_t wall_ms) {
  const bool ready = Check(plan, versions, status);
  json missing = json::array();
  json body = {{"ready", ready}, {"snapshot", nullptr}, {"faults", json::array()}};
  if (!HasSnapshot(plan)) {
    missing.push_back("snapshot: none has come from the control plane yet");
  } else {
    body["snapshot"] = {{"epoch", plan->rules().epoch}, {"version", plan->rules().version}};
    body["faults"] = FaultsNow(*plan, wall_ms);
    const Models models = Look(*plan, versions);
    for (const std::string& loading : models.loading) missing.push_back("version: " + loading);
    if (models.all > 0 && models.served == 0) missing.push_back("models: none can be served");
  }
  json unready = json::array();
  if (versions != nullptr) {
    for (const runtime::VersionStatus& version : versions->statuses()) {
      if (version.state == State::kReady) continue;
      unready.push_back({{"model", version.model},
                         {"version", version.version},
                         {"state", StateName(version.state)},
                         {"detail", version.detail}});
    }
  }
  std::vector<std::string> forced;
  if (overrides != nullptr) forced = overrides->sentences;
  if (plan != nullptr) {
    forced.insert(forced.end(), plan->not_followed().begin(), plan->not_followed().end());
  }
  const bool stale = status != nullptr && status->stale;
  const std::optional<int64_t> age_ms =
      status == nullptr ? std::nullopt : SnapshotAgeMs(*status, now_ms, wall_ms);
  if (age_ms && HasSnapshot(plan)) body["snapshot"]["age_ms"] = *age_ms;
  if (stale) {
    const std::string age =
        age_ms && HasSnapshot(plan)
            ? fmt::format(" (the snapshot was known to be the newest {} ago)", Rounded(*age_ms))
            : "";
    missing.push_back("control plane: " + status->control_error + age);
  }
  if (status != nullptr && status->cordon.has_value()) {
    missing.push_back("cordoned" + (status->cordon->empty() ? "" : ": " + *status->cordon));
  } else if (status != nullptr && status->draining) {
    missing.push_back("draining");
  }
  body["stale"] = stale;
  body["draining"] = status != nullptr && status->draining;
  body["overrides"] = std::move(forced);
  body["unwatched"] = overrides == nullptr ? std::vector<std::string>() : overrides->unwatched;
  body["versions"] = std::move(unready);
  body["missing"] = std::move(missing);
  http::Response response;
  response.status = ready ? 200 : 503;
  response.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  return response;
}

}  // namespace weir::node::front
