// SPDX-License-Identifier: Apache-2.0
#include "shared/evaluator/decision.h"

#include <array>
#include <atomic>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "shared/codec/json.h"
#include "shared/decision/decide.h"
#include "shared/evaluator/rules_of_file.h"
#include "shared/targeting/targeting.h"

namespace weir {
namespace {

// What one file became; immutable.
struct Loaded {
  explicit Loaded(decision::Ruleset of_file) : rules(std::move(of_file)) {
    rules.flags().ForEach([this](const decision::Flag& flag) {
      needs_time = needs_time || flag.rule != nullptr || !flag.schedule.empty();
    });
  }
  decision::Ruleset rules;
  bool needs_time = false;  // reading the clock costs a fifth of a decision
};

Result<std::shared_ptr<const Loaded>> Compile(std::string_view text, const std::string& name) {
  WEIR_ASSIGN_OR_RETURN(decision::Ruleset rules,
                        evaluator::RulesOfText(text, name, Clock::System().WallMs()));
  return std::make_shared<const Loaded>(std::move(rules));
}

struct NameHash {
  using is_transparent = void;
  size_t operator()(std::string_view name) const { return decision::HashName(name); }
};
struct Count {
  uint64_t total = 0;
  uint64_t enabled = 0;
};
using Counts = std::unordered_map<std::string, Count, NameHash, std::equal_to<>>;
using Callback = std::shared_ptr<const Flags::DecisionCallback>;

// What a thread touches when it decides. Threads are spread over the shards, so that a lock is
// free, and a count in its own cache line, while there are no more threads than shards.
struct alignas(64) Shard {
  std::mutex mutex;  // for the few with the same shard, for Reload, OnDecision and GetStats
  std::shared_ptr<const Loaded> loaded;
  Callback callback;
  Counts counts;  // by flag; they outlive reloads
  uint64_t random = 0;
};
constexpr size_t kShards = 16;

size_t ShardOfThisThread() {
  static std::atomic<size_t> next{0};
  thread_local const size_t mine = next.fetch_add(1, std::memory_order_relaxed) % kShards;
  return mine;
}

// SplitMix64.
uint64_t Draw(uint64_t& state) {
  uint64_t z = state += 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

bool Report(const Status& status, std::string* error) {
  if (!status.ok() && error != nullptr) *error = status.ToString();
  return status.ok();
}

FlagConfig ConfigOf(const decision::Ruleset& rules, const decision::Flag& flag) {
  const decision::Split* split = rules.flag_splits().Find(flag.name);
  if (split != nullptr && !split->applies) split = nullptr;
  const auto threshold = split != nullptr ? split->threshold : flag.threshold;
  FlagConfig config{.name = flag.name,
                    .enabled = flag.enabled,
                    .percentage = threshold / 1000.0,
                    .seed = {},
                    .variants = {},
                    .malformed = flag.malformed};
  if (!flag.IsVariant()) config.seed = split != nullptr ? split->seed : flag.seed;
  for (const domain::VariantEntry& variant : flag.variants) config.variants.push_back(variant.name);
  return config;
}

void Finish(DecisionCount& count) {
  if (count.total_decisions == 0) return;
  count.actual_percentage =
      100.0 * static_cast<double>(count.enabled_count) / static_cast<double>(count.total_decisions);
}

}  // namespace

class Flags::State {
 public:
  State(std::string path, const std::shared_ptr<const Loaded>& loaded) : path_(std::move(path)) {
    for (Shard& shard : shards_) {
      shard.loaded = loaded;
      shard.random = RandomU64();
    }
  }

  // Calls `take` with the decision while what it points to lives, then the callback. Returns why
  // the context cannot be read; then neither is called.
  template <class Take>
  std::string Decide(std::string_view flag, std::string_view key, std::string_view context,
                     const Take& take) {
    if (!context.empty()) return DecideWith(context, flag, key, take);
    Decide(flag, key, targeting::Value(), take);
    return {};
  }

  std::shared_ptr<const Loaded> Current() {
    Shard& shard = shards_[ShardOfThisThread()];
    const std::lock_guard lock(shard.mutex);
    return shard.loaded;
  }

  Status Reload() {
    if (path_.empty()) {
      return FailedPrecondition("these flags came from a text, not a file; use ReloadFrom");
    }
    const std::lock_guard lock(reload_mutex_);
    WEIR_ASSIGN_OR_RETURN(const std::string text, ReadFile(path_));
    return Take(text, path_);
  }
  Status ReloadFrom(std::string_view text) {
    const std::lock_guard lock(reload_mutex_);
    return Take(text, path_.empty() ? "flags" : path_);
  }

  void SetCallback(DecisionCallback callback) {
    Callback shared;
    if (callback) shared = std::make_shared<const DecisionCallback>(std::move(callback));
    for (Shard& shard : shards_) {
      Callback old = shared;  // ends outside the lock, whatever its destructor does
      const std::lock_guard lock(shard.mutex);
      shard.callback.swap(old);
    }
  }

  Stats GetStats() {
    Stats stats;
    for (Shard& shard : shards_) {
      const std::lock_guard lock(shard.mutex);
      for (const auto& [name, count] : shard.counts) {
        for (DecisionCount* sum : {static_cast<DecisionCount*>(&stats), &stats.flags[name]}) {
          sum->total_decisions += count.total;
          sum->enabled_count += count.enabled;
        }
      }
    }
    Finish(stats);
    for (auto& [name, count] : stats.flags) Finish(count);
    return stats;
  }

 private:
  template <class Take>
  void Decide(std::string_view flag, std::string_view key, const targeting::Value& context,
              const Take& take) {
    Shard& shard = shards_[ShardOfThisThread()];
    Callback callback;
    bool enabled = false;
    {
      const std::lock_guard lock(shard.mutex);
      const Loaded& loaded = *shard.loaded;
      const decision::FlagDecision decision =
          decision::DecideFlag(loaded.rules, flag,
                               {.key = key,
                                .random = Draw(shard.random),
                                .now_wall_ms = loaded.needs_time ? Clock::System().WallMs() : 0,
                                .context = context});
      take(decision);
      if (decision.flag == nullptr) return;
      enabled = decision.enabled;
      auto count = shard.counts.find(flag);
      if (count == shard.counts.end()) count = shard.counts.try_emplace(std::string(flag)).first;
      ++count->second.total;
      count->second.enabled += enabled ? 1 : 0;
      callback = shard.callback;
    }
    if (callback != nullptr) (*callback)(flag, key, enabled);
  }

  // Apart, so that only decisions with a context make room for an arena on the stack.
  template <class Take>
  [[gnu::noinline]] std::string DecideWith(std::string_view context, std::string_view flag,
                                           std::string_view key, const Take& take) {
    targeting::Arena arena;
    const auto value = targeting::ParseValue(context, arena);
    if (!value.ok()) return "context: " + value.status().ToString();
    if (value->type() != targeting::Value::Type::kMap) return "context: is no JSON object";
    Decide(flag, key, *value, take);
    return {};
  }

  // Makes the text what all shards have, or leaves them as they are.
  Status Take(std::string_view text, const std::string& name) {
    WEIR_ASSIGN_OR_RETURN(const std::shared_ptr<const Loaded> loaded, Compile(text, name));
    for (Shard& shard : shards_) {
      auto old = loaded;  // ends outside the lock
      const std::lock_guard lock(shard.mutex);
      shard.loaded.swap(old);
    }
    return OkStatus();
  }

  const std::string path_;   // "" when the flags came from a text
  std::mutex reload_mutex_;  // one reload after the other
  std::array<Shard, kShards> shards_;
};

Flags::Flags(std::unique_ptr<State> state) : state_(std::move(state)) {}
Flags::~Flags() = default;

std::unique_ptr<Flags> Flags::Load(const std::string& path, std::string* error) {
  const Result<std::string> text = ReadFile(path);
  if (!Report(text.status(), error)) return nullptr;
  const auto loaded = Compile(*text, path);
  if (!Report(loaded.status(), error)) return nullptr;
  return std::unique_ptr<Flags>(new Flags(std::make_unique<State>(path, *loaded)));
}

std::unique_ptr<Flags> Flags::FromText(std::string_view text, std::string* error,
                                       const std::string& name) {
  const auto loaded = Compile(text, name);
  if (!Report(loaded.status(), error)) return nullptr;
  return std::unique_ptr<Flags>(new Flags(std::make_unique<State>("", *loaded)));
}

bool Flags::IsEnabled(std::string_view flag, std::string_view key, std::string_view context) const {
  bool enabled = false;
  state_->Decide(flag, key, context,
                 [&](const decision::FlagDecision& decision) { enabled = decision.enabled; });
  return enabled;
}

bool Flags::Bool(std::string_view flag, bool otherwise, std::string_view key,
                 std::string_view context) const {
  bool result = otherwise;
  state_->Decide(flag, key, context, [&](const decision::FlagDecision& decision) {
    if (decision.value == "true" || decision.value == "false") result = decision.value == "true";
  });
  return result;
}

std::string Flags::String(std::string_view flag, std::string_view otherwise, std::string_view key,
                          std::string_view context) const {
  const auto value = codec::Json::parse(Json(flag, "", key, context), nullptr, false);
  return value.is_string() ? value.get<std::string>() : std::string(otherwise);
}

double Flags::Number(std::string_view flag, double otherwise, std::string_view key,
                     std::string_view context) const {
  const auto value = codec::Json::parse(Json(flag, "", key, context), nullptr, false);
  return value.is_number() ? value.get<double>() : otherwise;
}

std::string Flags::Json(std::string_view flag, std::string_view otherwise, std::string_view key,
                        std::string_view context) const {
  std::string result;
  state_->Decide(flag, key, context,
                 [&](const decision::FlagDecision& decision) { result = decision.value; });
  return result.empty() ? std::string(otherwise) : result;
}

Evaluation Flags::Evaluate(std::string_view flag, std::string_view key,
                           std::string_view context) const {
  Evaluation evaluation;
  evaluation.flag = flag;
  const auto take = [&](const decision::FlagDecision& decision) {
    evaluation.enabled = decision.enabled;
    evaluation.value = decision.value;
    evaluation.variant = decision.variant;
    evaluation.reason = decision::ReasonName(decision.reason);
    evaluation.error = decision::FlagErrorName(decision.error);
    evaluation.detail = decision.detail;
    evaluation.bucket = decision.bucket;
    evaluation.threshold = decision.threshold;
  };
  std::string unreadable = state_->Decide(flag, key, context, take);
  if (!unreadable.empty()) {
    evaluation.reason = decision::ReasonName(decision::Reason::kError);
    evaluation.error = "INVALID_CONTEXT";
    evaluation.detail = std::move(unreadable);
  }
  return evaluation;
}

std::vector<FlagConfig> Flags::AllFlags() const {
  const auto loaded = state_->Current();
  std::map<std::string_view, const decision::Flag*> by_name;
  loaded->rules.flags().ForEach(
      [&](const decision::Flag& flag) { by_name.emplace(flag.name, &flag); });
  std::vector<FlagConfig> all;
  all.reserve(by_name.size());
  for (const auto& [name, flag] : by_name) all.push_back(ConfigOf(loaded->rules, *flag));
  return all;
}

std::optional<FlagConfig> Flags::Config(std::string_view flag) const {
  const auto loaded = state_->Current();
  const decision::Flag* found = loaded->rules.flags().Find(flag);
  if (found == nullptr) return std::nullopt;
  return ConfigOf(loaded->rules, *found);
}

bool Flags::KillSwitch() const { return state_->Current()->rules.emergency.kill_switch; }

Stats Flags::GetStats() const { return state_->GetStats(); }

bool Flags::Reload(std::string* error) { return Report(state_->Reload(), error); }

bool Flags::ReloadFrom(std::string_view text, std::string* error) {
  return Report(state_->ReloadFrom(text), error);
}

void Flags::OnDecision(DecisionCallback callback) { state_->SetCallback(std::move(callback)); }

}  // namespace weir
