// SPDX-License-Identifier: Apache-2.0
// POST /v1/explain: why a key gets what it gets, or what many keys get. Core finds the snapshot;
// the HTTP worker decides, in slices, so that neither keeps others waiting.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "controlplane/api/core.h"
#include "controlplane/api/problem.h"
#include "shared/base/text.h"
#include "shared/decision/decide.h"
#include "shared/explain/explain.h"
#include "shared/targeting/targeting.h"

namespace weir::control::api {
namespace {

using codec::Json;
using domain::Kind;

constexpr uint64_t kMaxKeys = 1'000'000;
constexpr int64_t kSliceMs = 20;
constexpr uint64_t kKeysPerLook = 256;  // between two looks at the clock

struct ExplainBody {
  std::string key;
  std::string model;
  std::string flag;
  Json context;  // an object; null without
  std::optional<uint64_t> count;
  std::string at;    // a moment of the past
  std::string node;  // what this one had in force then
};
template <class V>
void Describe(V& v, ExplainBody& f) {
  v(2, "key", f.key, codec::Required());
  v(4, "model", f.model);
  v(6, "flag", f.flag);
  v(8, "context", f.context);
  v(10, "count", f.count);
  v(12, "at", f.at);
  v(14, "node", f.node);
}

// What the keys <key>1 … <key>N get of one flag. On one worker.
class KeyCount {
 public:
  KeyCount(std::shared_ptr<const Compiled> snapshot, ExplainBody asked, const Clock& clock)
      : snapshot_(std::move(snapshot)),
        asked_(std::move(asked)),
        clock_(clock),
        now_wall_ms_(clock.WallMs()) {}

  // InvalidArgument for a context that rules cannot read.
  Status ReadContext() {
    if (asked_.context.is_null()) return OkStatus();
    auto context = targeting::ParseValue(asked_.context.dump(), arena_);
    if (!context.ok()) return InvalidArgument("context", context.status().message());
    context_ = *context;
    return OkStatus();
  }

  std::optional<Answer> operator()() {
    const int64_t end_ms = clock_.MonotonicMs() + kSliceMs;
    while (done_ < *asked_.count) {
      Decide(std::min(*asked_.count - done_, kKeysPerLook));
      if (clock_.MonotonicMs() >= end_ms && done_ < *asked_.count) return std::nullopt;
    }
    return JsonResponse(
        {{"flag", asked_.flag},
         {"keys", done_},
         {"outcomes", outcomes_},
         {"percentage", 100.0 * static_cast<double>(enabled_) / static_cast<double>(done_)}});
  }

 private:
  void Decide(uint64_t keys) {
    for (const uint64_t end = done_ + keys; done_ < end;) {
      const std::string key = asked_.key + std::to_string(++done_);
      const auto decision = decision::DecideFlag(
          snapshot_->rules, asked_.flag,
          {.key = key, .random = random_(), .now_wall_ms = now_wall_ms_, .context = context_});
      const auto found = outcomes_.find(decision.variant);
      if (found == outcomes_.end()) {
        outcomes_.emplace(decision.variant, 1);
      } else {
        ++found->second;
      }
      enabled_ += decision.enabled ? 1 : 0;
    }
  }

  const std::shared_ptr<const Compiled> snapshot_;
  const ExplainBody asked_;
  const Clock& clock_;
  const int64_t now_wall_ms_;
  std::mt19937_64 random_{RandomU64()};  // for strategy: random
  targeting::Arena arena_;
  targeting::Value context_;
  uint64_t done_ = 0;
  uint64_t enabled_ = 0;
  std::map<std::string, uint64_t, std::less<>> outcomes_;
};

Status Check(const ExplainBody& body) {
  if (body.key.empty()) return InvalidArgument("key", "is empty");
  if (!body.context.is_null() && !body.context.is_object())
    return InvalidArgument("context", "is not an object");
  if (!body.node.empty() && body.at.empty())
    return InvalidArgument("at", "is missing; node says what it had in force at a moment");
  if (!body.at.empty() && body.count.has_value())
    return InvalidArgument("count", "does not go with at");
  if (!body.count.has_value()) return OkStatus();
  if (*body.count < 1 || *body.count > kMaxKeys)
    return InvalidArgument("count", fmt::format("{} is not in 1..{}", *body.count, kMaxKeys));
  if (body.flag.empty()) return InvalidArgument("flag", "is missing; count counts one flag's keys");
  if (!body.model.empty()) return InvalidArgument("model", "does not go with count");
  return OkStatus();
}

explain::Query QueryOf(const ExplainBody& body, int64_t now_wall_ms) {
  return {.key = body.key,
          .model = body.model,
          .flag = body.flag,
          .random = RandomU64(),
          .context = body.context.is_null() ? "" : body.context.dump(),
          .now_wall_ms = now_wall_ms};
}

}  // namespace

Result<Slice> Api::Core::ExplainKey(const Call& call) {
  WEIR_ASSIGN_OR_RETURN(auto body, codec::FromJson<ExplainBody>(call.json));
  WEIR_RETURN_IF_ERROR(Check(body));
  if (!body.at.empty()) {  // of what stands no longer, too: names are not checked
    PastQuery when{.span = {}, .node = body.node, .kinds = {}};
    WEIR_ASSIGN_OR_RETURN(when.span, ReadSpan(body.at));
    if (when.span.from_ms > deps_.clock.WallMs())
      return InvalidArgument("at", "\"" + body.at + "\" is in the future");
    const explain::Query query = QueryOf(body, 0);
    when.kinds = KindsOf(query);
    WEIR_ASSIGN_OR_RETURN(Past past, deps_.past(when));
    return Slice([past = std::move(past), when, query]() -> std::optional<Answer> {
      const Result<Json> answer = ExplainPast(past, when, query);
      return answer.ok() ? Answer(JsonResponse(*answer)) : Answer(answer.status());
    });
  }
  if (!body.model.empty() && deps_.catalog.Find(Kind::kModel, body.model) == nullptr)
    return NoSuchResource(deps_.catalog, Kind::kModel, body.model);
  if (!body.flag.empty() && deps_.catalog.Find(Kind::kFlag, body.flag) == nullptr)
    return NoSuchResource(deps_.catalog, Kind::kFlag, body.flag);
  WEIR_ASSIGN_OR_RETURN(auto snapshot, snapshot_.Get(version_));
  const int64_t now_wall_ms = deps_.clock.WallMs();
  if (body.count.has_value()) {
    auto keys = std::make_shared<KeyCount>(std::move(snapshot), std::move(body), deps_.clock);
    WEIR_RETURN_IF_ERROR(keys->ReadContext());
    return Slice([keys] { return (*keys)(); });
  }
  explain::Query query = QueryOf(body, now_wall_ms);
  return Slice([snapshot, query = std::move(query)]() -> std::optional<Answer> {
    return JsonResponse(explain::Explain(snapshot->rules, query));
  });
}

}  // namespace weir::control::api
