// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/remote/service.h"

#include <fmt/format.h>

#include <algorithm>

#include "shared/base/log.h"
#include "shared/base/text.h"
#include "shared/http/client.h"
#include "shared/http/message.h"

namespace weir::node::runtime::remote {
namespace {

std::string HostOf(std::string_view url) {
  if (const size_t scheme = url.find("://"); scheme != std::string_view::npos) {
    url.remove_prefix(scheme + 3);
  }
  return std::string(url.substr(0, url.find('/')));
}

// "/v2/models/m[/versions/v]"
std::string OipModel(const VersionSource& source) {
  const domain::VersionEntry& entry = *source.entry;
  std::string path =
      "/v2/models/" +
      http::PercentEncode(entry.remote_model.empty() ? source.model : entry.remote_model);
  if (!entry.remote_version.empty()) {
    path += "/versions/" + http::PercentEncode(entry.remote_version);
  }
  return path;
}

std::string TargetOf(Protocol protocol, const VersionSource& source) {
  if (protocol == Protocol::kOip) return OipModel(source) + "/infer";
  const std::string& model = source.entry->remote_model;
  return "/predict/" + http::PercentEncode(model.empty() ? source.model : model);
}

std::vector<std::string> CheckedOf(Protocol protocol, const VersionSource& source) {
  const std::string& health = source.entry->health;
  if (protocol == Protocol::kPredict) return {health.empty() ? "/health" : health};
  return {health.empty() ? "/v2/health/ready" : health, OipModel(source) + "/ready"};
}

}  // namespace

Place::Place(std::string url) : url_(std::move(url)), name_(HostOf(url_)) {}

// Workers share these words: they are written only when they change.
void Place::Answered() {
  if (aside_until_ns() != 0) aside_until_ns_.store(0, std::memory_order_relaxed);
  if (!answered_.load(std::memory_order_relaxed)) answered_.store(true, std::memory_order_relaxed);
}

Result<std::shared_ptr<Service>> Service::Make(Protocol protocol, const VersionSource& source,
                                               const RemoteOptions& options) {
  if (source.entry == nullptr || source.entry->urls.empty()) {
    return InvalidArgument("url", "is missing: a version that is a service needs url or urls");
  }
  return std::make_shared<Service>(protocol, source, options);
}

Service::Service(Protocol asked, const VersionSource& source, const RemoteOptions& how)
    : protocol(asked),
      entry(*source.entry),
      options(how),
      declares_inputs(source.declares_inputs),
      name(fmt::format("{} {}", source.model, source.version)),
      target(TargetOf(asked, source)),
      checked_(CheckedOf(asked, source)) {
  for (const std::string& url : entry.urls) places_.push_back(std::make_unique<Place>(url));
}

// `silent`: nobody answered.
Status Service::CheckPlace(const Place& place, bool* silent) const {
  http::ClientOptions client_options;
  client_options.timeout_ms = options.check_timeout_ms;
  // A new connection each time: whether one can be made is part of the question.
  http::Client client(place.url(), client_options);
  for (const std::string& path : checked_) {
    const Result<http::ClientResponse> answer = client.Do("GET", path);
    *silent = !answer.ok();
    if (!answer.ok()) return answer.status();
    if (answer->status / 100 != 2) {
      return Unavailable(fmt::format("{}: GET {} answered {}", place.name(), path, answer->status));
    }
  }
  return OkStatus();
}

Status Service::Check(const std::stop_token& stop) {
  bool one_is_well = false;
  bool all_failed = true;
  std::vector<std::string> reasons;
  for (const std::unique_ptr<Place>& place : places_) {
    if (stop.stop_requested()) return OkStatus();
    bool silent = false;
    Status status = CheckPlace(*place, &silent);
    // An address that cannot be called at all gets no better.
    if (status.code() == Code::kInvalidArgument) return status;
    if (place->answered_.exchange(false) && silent) status = OkStatus();
    if (status.ok()) {
      one_is_well = true;
      if (place->failures_ > 0) Log("runtime").info("{}: {} is well again", name, place->name());
      place->failures_ = 0;
      place->aside_until_ns_ = 0;
    } else {
      if (place->failures_ == 0) Log("runtime").warn("{}: {}", name, status.message());
      ++place->failures_;
      reasons.push_back(status.message());
    }
    place->unfit_ = !status.ok();
    all_failed &= place->failures_ >= options.checks;
  }
  const Status outcome = one_is_well ? OkStatus() : Unavailable(Join(reasons, "; "));
  const std::lock_guard lock(mutex_);
  if (one_is_well || all_failed) health_ = outcome;
  return outcome;
}

Status Service::Health() const {
  const std::lock_guard lock(mutex_);
  return health_;
}

}  // namespace weir::node::runtime::remote
