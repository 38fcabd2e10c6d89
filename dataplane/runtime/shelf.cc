// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/shelf.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <tuple>

#include "shared/base/log.h"
#include "shared/base/text.h"
#include "shared/wire/digest.h"

namespace weir::node::runtime {
namespace {

constexpr int64_t kUnloadingLookMs = 20;
constexpr int64_t kHealthLookMs = 100;

bool IsSha256(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// Without what may change about a loaded version.
domain::VersionEntry WhatIsLoaded(domain::VersionEntry entry) {
  entry.fault.reset();
  entry.blocked.clear();
  return entry;
}

bool IsService(const domain::VersionEntry& entry) { return !entry.urls.empty(); }

}  // namespace

Loader::Shelf::Shelf(std::vector<std::shared_ptr<Runtime>> runtimes, FetchBlob fetch,
                     OnChange on_change, LoaderOptions options)
    : runtimes_(std::move(runtimes)),
      fetch_(std::move(fetch)),
      on_change_(std::move(on_change)),
      options_(std::move(options)) {}

void Loader::Shelf::Apply(const decision::Ruleset& rules) {
  bool changed = false;
  std::map<Key, Item> next;
  rules.models().ForEach([&](const decision::Model& model) {
    const bool declares_inputs = !model.inputs.empty();
    for (const domain::VersionEntry& listed : model.versions) {
      if (listed.unloaded) continue;
      Key key{model.name, listed.version};
      domain::VersionEntry entry = WhatIsLoaded(listed);
      Item item;
      // What is loaded from now on is as good as restarted.
      const double restart = RestartOf(rules, key);
      item.restart = restart;
      if (const auto held = items_.find(key); held != items_.end()) item = std::move(held->second);
      const bool is_restarted = restart != 0 && std::exchange(item.restart, restart) != restart;
      if (is_restarted) Log("runtime").info("{} {} is loaded anew", key.first, key.second);
      const bool is_told = IsService(entry) && item.declares_inputs != declares_inputs;
      if (item.entry != entry || is_told || is_restarted) {
        // A version that is out of service has nothing to answer with meanwhile.
        if (item.state == State::kFailed) item.version.reset();
        item = Item{.entry = std::move(entry),
                    .declares_inputs = declares_inputs,
                    .restart = item.restart,
                    .detail = {},
                    .version = std::move(item.version)};
        changed = true;
      }
      items_.erase(key);
      next.emplace(std::move(key), std::move(item));
    }
  });
  for (auto& [key, item] : items_) {
    changed = true;
    if (item.version != nullptr) leaving_.emplace_back(key, item.version);
  }
  items_ = std::move(next);
  if (changed) Publish();
}

// 0: none.
double Loader::Shelf::RestartOf(const decision::Ruleset& rules, const Key& key) const {
  const decision::Limit* limit = rules.limits().Find(key.first);
  if (limit == nullptr) return 0;
  double last = 0;
  for (const domain::LimitActEntry& act : limit->acts) {
    const bool is_ours =
        act.node == options_.node && (act.version.empty() || act.version == key.second);
    if (act.action == "restart" && is_ours) last = std::max(last, act.value);
  }
  return last;
}

void Loader::Shelf::Step(int64_t now_ms) {
  const size_t gone =
      std::erase_if(leaving_, [](const auto& left) { return left.second.expired(); });
  bool changed = gone > 0;
  changed |= LookAtHealth();
  changed |= LoadNext(now_ms);
  if (changed) Publish();
}

// One at a time: what is wanted may have changed meanwhile. The one that waits longest, so that a
// service that takes its time to refuse holds up nobody for good.
bool Loader::Shelf::LoadNext(int64_t now_ms) {
  auto next = items_.end();
  for (auto it = items_.begin(); it != items_.end(); ++it) {
    const Item& item = it->second;
    if (item.settled || item.due_ms > now_ms) continue;
    if (next == items_.end() || item.due_ms < next->second.due_ms) next = it;
  }
  if (next == items_.end()) return false;
  auto& [key, item] = *next;
  const State before = item.state;
  const std::string detail = item.detail;
  Settle(item, Load(key, item), now_ms);
  if (item.state == before && item.detail == detail) return false;
  Log("runtime").log(item.state == State::kFailed ? spdlog::level::err : spdlog::level::info,
                     "{} {} is {}{}{}", key.first, key.second, StateName(item.state),
                     item.detail.empty() ? "" : ": ", item.detail);
  return true;
}

bool Loader::Shelf::LookAtHealth() {
  bool changed = false;
  for (auto& [key, item] : items_) {
    if (!item.settled || item.version == nullptr || !IsService(item.entry)) continue;
    const Status health = item.version->Health();
    const State state = health.ok() ? State::kReady : State::kFailed;
    if (item.state == state) continue;
    item.state = state;
    item.detail = health.ok() ? "" : health.ToString();
    Log("runtime").log(health.ok() ? spdlog::level::info : spdlog::level::err, "{} {} is {}{}{}",
                       key.first, key.second, StateName(state), health.ok() ? "" : ": ",
                       item.detail);
    changed = true;
  }
  return changed;
}

std::optional<int64_t> Loader::Shelf::NextStepMs(int64_t now_ms) const {
  std::optional<int64_t> next;
  const auto no_later = [&](int64_t ms) { next = std::min(next.value_or(ms), ms); };
  for (const auto& [key, item] : items_) {
    if (!item.settled) {
      no_later(item.due_ms);
    } else if (item.version != nullptr && IsService(item.entry)) {
      no_later(now_ms + kHealthLookMs);
    }
  }
  if (!leaving_.empty()) no_later(now_ms + kUnloadingLookMs);
  return next;
}

Loader::Shelf::Outcome Loader::Shelf::Load(const Key& key, const Item& item) {
  const std::string& wanted = item.entry.runtime;
  const auto runtime = std::find_if(runtimes_.begin(), runtimes_.end(),
                                    [&](const auto& r) { return wanted == r->name(); });
  if (runtime == runtimes_.end()) {
    std::vector<std::string> known;
    for (const auto& r : runtimes_) known.emplace_back(r->name());
    return {InvalidArgument("runtime", fmt::format("\"{}\" is unknown; this node has {}{}", wanted,
                                                   Join(known, ", "), DidYouMean(wanted, known))),
            false, nullptr};
  }
  std::string bytes;
  if ((*runtime)->NeedsFile()) {
    if (!IsSha256(item.entry.sha256)) {
      return {InvalidArgument("sha256", "is not 64 hexadecimal digits"), false, nullptr};
    }
    Result<std::string> blob = Blob(item.entry.sha256);
    if (!blob.ok()) return {blob.status(), true, nullptr};
    bytes = *std::move(blob);
  }
  auto version = (*runtime)->Load(
      {key.first, key.second, bytes, &item.entry, item.declares_inputs, stop_.get_token()});
  if (!version.ok()) return {version.status(), false, nullptr};
  const Status warm = (*version)->WarmUp();
  if (warm.code() == Code::kUnavailable) return {warm, true, nullptr};
  if (!warm.ok()) return {Status(warm.code(), "warm-up: " + warm.message()), false, nullptr};
  return {OkStatus(), false, *std::move(version)};
}

Result<std::string> Loader::Shelf::Blob(const std::string& sha256) {
  const std::string folder = options_.cache_dir + "/blobs";
  const std::string path = folder + "/" + sha256;
  if (!options_.cache_dir.empty()) {
    Result<std::string> cached = ReadFile(path);
    if (cached.ok() && wire::Sha256Hex(*cached) == sha256) return cached;
    if (cached.ok()) {
      Log("runtime").warn("{} is damaged and will be fetched again", path);
      ::unlink(path.c_str());
    }
  }
  Result<std::string> fetched = fetch_(sha256);
  if (!fetched.ok()) {
    return Status(fetched.status().code(), "fetch: " + fetched.status().ToString());
  }
  if (const std::string actual = wire::Sha256Hex(*fetched); actual != sha256) {
    return DataLoss(fmt::format("the blob's SHA-256 is {}, not {}", actual, sha256));
  }
  if (!options_.cache_dir.empty()) {
    Status kept = MakeDirectories(folder);
    if (kept.ok()) kept = WriteFileAtomic(path, *fetched);
    if (!kept.ok()) Log("runtime").warn("{} is not cached: {}", sha256, kept.ToString());
  }
  return fetched;
}

void Loader::Shelf::Settle(Item& item, Outcome outcome, int64_t now_ms) {
  ++item.attempts;
  if (outcome.status.ok()) {
    item.state = State::kReady;
    item.detail.clear();
    item.version = std::move(outcome.version);
    item.settled = true;
    return;
  }
  item.detail = outcome.status.ToString();
  item.settled = !outcome.retry;
  const bool patient =
      outcome.status.code() == Code::kUnavailable && item.attempts < options_.patience;
  if (item.settled || !patient) {
    item.state = State::kFailed;
    item.version.reset();
  }
  const int doublings = std::min(item.attempts - 1, 20);
  const int64_t longest_ms = IsService(item.entry)
                                 ? std::min(options_.max_retry_ms, options_.max_service_retry_ms)
                                 : options_.max_retry_ms;
  item.due_ms = now_ms + std::min(options_.first_retry_ms << doublings, longest_ms);
}

void Loader::Shelf::Publish() {
  VersionTable::Ready ready;
  std::vector<VersionStatus> statuses;
  for (const auto& [key, item] : items_) {
    statuses.push_back({key.first, key.second, item.state, item.detail});
    if (item.version != nullptr && item.state != State::kFailed) ready.emplace(key, item.version);
  }
  for (const auto& [key, version] : leaving_) {
    if (!version.expired() && !items_.contains(key)) {
      statuses.push_back({key.first, key.second, State::kUnloading, ""});
    }
  }
  std::sort(statuses.begin(), statuses.end(), [](const auto& a, const auto& b) {
    return std::tie(a.model, a.version) < std::tie(b.model, b.version);
  });
  on_change_(std::make_shared<const VersionTable>(std::move(ready), std::move(statuses)));
}

}  // namespace weir::node::runtime
