// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/remote/service.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "shared/base/log.h"
#include "shared/base/text.h"
#include "shared/http/client.h"
#include "shared/http/message.h"

namespace weir::node::runtime::remote {
namespace {

// How long a version that is well waits for what its other urls say.
constexpr std::chrono::milliseconds kOthersMs(100);
constexpr int64_t kMs = 1'000'000;  // ns

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

Place::Place(std::string url, int64_t eject_ms)
    : url_(std::move(url)), name_(HostOf(url_)), breaker_({}, RandomU64(), eject_ms) {}

bool Place::CountBad(uint32_t key_hash) {
  const uint64_t key = uint64_t{1} + key_hash;
  for (std::atomic<uint64_t>& known : bad_keys_) {
    uint64_t none = 0;
    if (known.compare_exchange_strong(none, key) || none == key) break;
  }
  return bad_in_a_row_.fetch_add(1) + 1 >= Service::kEjectAfter && bad_keys_.back() != 0;
}

// Workers share these words: they are written only when they change.
void Place::ForgetBad() {
  if (bad_in_a_row_.load(std::memory_order_relaxed) == 0) return;
  bad_in_a_row_ = 0;
  for (std::atomic<uint64_t>& key : bad_keys_) key = 0;
}

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
  for (const std::string& url : entry.urls)
    places_.push_back(std::make_unique<Place>(url, options.eject_ms));
}

// `silent`: nobody answered.
Status Service::Ask(const Place& place, bool* silent) const {
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

void Service::CheckPlace(Place& place) {
  bool silent = false;
  Status status = Ask(place, &silent);
  Take(place, std::move(status), silent);
}

void Service::Take(Place& place, Status status, bool silent) {
  const std::lock_guard lock(mutex_);
  if (place.answered_.exchange(false) && silent) status = OkStatus();
  if (status.ok()) {
    if (place.failures_ > 0) Log("runtime").info("{}: {} is well again", name, place.name());
    place.failures_ = 0;
    place.aside_until_ns_ = 0;
  } else {
    if (place.failures_ == 0) Log("runtime").warn("{}: {}", name, status.message());
    ++place.failures_;
  }
  place.unfit_ = !status.ok();
  place.is_checked_ = false;
  place.last_ = std::move(status);
  const bool all_failed = std::all_of(places_.begin(), places_.end(), [&](const auto& each) {
    return each->failures_ >= options.checks;
  });
  if (place.last_->ok()) health_ = OkStatus();
  if (all_failed) health_ = Unavailable(Reasons());
  changed_.notify_all();
}

void Service::BeginChecks(WorkPool& pool) {
  const std::lock_guard lock(mutex_);
  for (const std::unique_ptr<Place>& place : places_) {
    if (std::exchange(place->is_checked_, true)) continue;
    pool.Run([self = shared_from_this(), place = place.get()] {
      self->CheckPlace(*place);
      return WorkPool::Done();
    });
  }
}

Status Service::WarmUp(WorkPool& pool, const std::stop_token& stop) {
  {
    const std::lock_guard lock(mutex_);
    for (const std::unique_ptr<Place>& place : places_) place->last_.reset();
  }
  BeginChecks(pool);
  std::unique_lock lock(mutex_);
  const std::chrono::milliseconds longest(2 * options.check_timeout_ms);
  changed_.wait_for(lock, stop, longest, [&] { return IsOneWell() || AreAllAsked(); });
  if (IsOneWell()) {
    changed_.wait_for(lock, stop, kOthersMs, [&] { return AreAllAsked(); });
    return OkStatus();
  }
  for (const std::unique_ptr<Place>& place : places_) {
    // An address that cannot be called at all gets no better.
    if (place->last_.has_value() && place->last_->code() == Code::kInvalidArgument) {
      return *place->last_;
    }
  }
  return Unavailable(Reasons());
}

bool Service::IsOneWell() const {
  return std::any_of(places_.begin(), places_.end(), [](const auto& place) {
    return place->last_.has_value() && place->last_->ok();
  });
}

bool Service::AreAllAsked() const {
  return std::all_of(places_.begin(), places_.end(),
                     [](const auto& place) { return place->last_.has_value(); });
}

std::string Service::Reasons() const {
  std::vector<std::string> reasons;
  for (const std::unique_ptr<Place>& place : places_) {
    reasons.push_back(place->last_.has_value() ? std::string(place->last_->message())
                                               : place->name() + ": has not answered yet");
  }
  return Join(reasons, "; ");
}

void Service::Note(Place& place, bool is_bad, uint32_t key_hash, int64_t now_ns) {
  if (!is_bad) return place.ForgetBad();
  if (!place.CountBad(key_hash)) return;
  Eject(place, fmt::format("{} answers in a row failed", kEjectAfter), now_ns);
}

void Service::Eject(Place& place, const std::string& why, int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  place.ForgetBad();
  const auto out = static_cast<size_t>(std::count_if(
      places_.begin(), places_.end(), [](const auto& each) { return each->IsOut(); }));
  const bool is_needed = std::none_of(places_.begin(), places_.end(), [&](const auto& each) {
    return each.get() != &place && each->IsWell() && each->aside_until_ns() == 0 && !each->IsOut();
  });
  if (place.IsOut() || (out + 1) * 2 > places_.size() || is_needed) return;
  place.breaker_.Trip(why, now_ns / kMs);
  ++place.ejections_;
  place.out_until_ns_ = place.breaker_.open_until_ms() * kMs;
  Log("runtime").warn("{}: {} is left out for {} ms: {}", name, place.name(),
                      place.breaker_.open_until_ms() - now_ns / kMs, why);
}

bool Service::BeginProbe(Place& place, int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  if (place.breaker_.Admit(now_ns / kMs) != breaker::Permit::kProbe) return false;
  place.out_until_ns_ = Place::kProbed;
  return true;
}

void Service::EndProbe(Place& place, breaker::Outcome outcome, int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  place.breaker_.Answer(breaker::Permit::kProbe, outcome, 0, now_ns / kMs);
  switch (place.breaker_.state()) {
    case breaker::State::kClosed:
      place.out_until_ns_ = 0;
      Log("runtime").info("{}: {} answers well again", name, place.name());
      break;
    case breaker::State::kOpen:
      place.out_until_ns_ = place.breaker_.open_until_ms() * kMs;
      Log("runtime").info("{}: {} failed again and is left out for {} ms", name, place.name(),
                          place.breaker_.open_until_ms() - now_ns / kMs);
      break;
    case breaker::State::kProbing:
      // Of what said nothing another is tried, but not at once: it may go on saying nothing.
      place.out_until_ns_ = outcome == breaker::Outcome::kNothing ? now_ns + options.aside_ms * kMs
                                                                  : Place::kProbeDue;
      break;
  }
}

std::vector<Upstream> Service::Upstreams() const {
  const std::lock_guard lock(mutex_);
  std::vector<Upstream> all;
  for (const auto& place : places_) all.push_back({place->url(), place->breaker_.state()});
  return all;
}

Status Service::Health() const {
  const std::lock_guard lock(mutex_);
  return health_;
}

}  // namespace weir::node::runtime::remote
