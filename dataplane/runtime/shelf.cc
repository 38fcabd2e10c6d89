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

bool IsSha256(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

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
    for (const domain::VersionEntry& entry : model.versions) {
      Key key{model.name, entry.version};
      Item item;
      if (const auto held = items_.find(key); held != items_.end()) item = std::move(held->second);
      if (item.runtime != entry.runtime || item.sha256 != entry.sha256) {
        item = Item{.runtime = entry.runtime,
                    .sha256 = entry.sha256,
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

void Loader::Shelf::Step(int64_t now_ms) {
  const size_t gone =
      std::erase_if(leaving_, [](const auto& left) { return left.second.expired(); });
  bool changed = gone > 0;
  for (auto& [key, item] : items_) {
    if (item.settled || item.due_ms > now_ms) continue;
    Settle(item, Load(key, item), now_ms);
    Log("runtime").log(item.state == State::kFailed ? spdlog::level::err : spdlog::level::info,
                       "{} {} is {}{}{}", key.first, key.second, StateName(item.state),
                       item.detail.empty() ? "" : ": ", item.detail);
    changed = true;
    break;  // one at a time: what is wanted may have changed meanwhile
  }
  if (changed) Publish();
}

std::optional<int64_t> Loader::Shelf::NextStepMs(int64_t now_ms) const {
  std::optional<int64_t> next;
  for (const auto& [key, item] : items_) {
    if (!item.settled) next = std::min(next.value_or(item.due_ms), item.due_ms);
  }
  if (!leaving_.empty()) {
    const int64_t look_ms = now_ms + kUnloadingLookMs;
    next = std::min(next.value_or(look_ms), look_ms);
  }
  return next;
}

Loader::Shelf::Outcome Loader::Shelf::Load(const Key& key, const Item& item) {
  const auto runtime = std::find_if(runtimes_.begin(), runtimes_.end(),
                                    [&](const auto& r) { return item.runtime == r->name(); });
  if (runtime == runtimes_.end()) {
    std::vector<std::string> known;
    for (const auto& r : runtimes_) known.emplace_back(r->name());
    return {InvalidArgument("runtime",
                            fmt::format("\"{}\" is unknown; this node has {}{}", item.runtime,
                                        Join(known, ", "), DidYouMean(item.runtime, known))),
            false, nullptr};
  }
  if (!IsSha256(item.sha256)) {
    return {InvalidArgument("sha256", "is not 64 hexadecimal digits"), false, nullptr};
  }
  const Result<std::string> bytes = Blob(item.sha256);
  if (!bytes.ok()) return {bytes.status(), true, nullptr};
  auto version = (*runtime)->Load({key.first, key.second, *bytes});
  if (!version.ok()) return {version.status(), false, nullptr};
  if (Status warm = (*version)->WarmUp(); !warm.ok()) {
    return {Status(warm.code(), "warm-up: " + warm.message()), false, nullptr};
  }
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
  item.due_ms = now_ms + std::min(options_.first_retry_ms << doublings, options_.max_retry_ms);
}

void Loader::Shelf::Publish() {
  VersionTable::Ready ready;
  std::vector<VersionStatus> statuses;
  for (const auto& [key, item] : items_) {
    statuses.push_back({key.first, key.second, item.state, item.detail});
    if (item.version != nullptr) ready.emplace(key, item.version);
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
