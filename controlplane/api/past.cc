// SPDX-License-Identifier: Apache-2.0
#include "controlplane/api/past.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <utility>

#include "controlplane/ingest/node_trail.h"
#include "shared/base/clock.h"
#include "shared/codec/resource.h"
#include "shared/domain/entries.h"

namespace weir::control::api {
namespace {

using codec::Json;
using domain::Kind;
using domain::Resource;

constexpr int64_t kMinuteMs = 60'000;
constexpr int64_t kDayMs = 86'400'000;

// A stretch of the span in which one revision was in force and nobody began or ended anything.
struct Stretch {
  Span span;
  uint64_t revision = 0;
  const store::AppliedRow* applied = nullptr;  // with a node
};

// The resources as they stood, moved forward revision by revision.
class Standing {
 public:
  explicit Standing(const std::vector<std::string>& kinds) : kinds_(kinds) {}

  Status Put(const std::string& kind, const std::string& name, const std::string& document) {
    const auto known = domain::ParseKind(kind);
    const bool is_wanted = std::find(kinds_.begin(), kinds_.end(), kind) != kinds_.end();
    if (!known.has_value() || !is_wanted) return OkStatus();
    const domain::ResourceKey key{*known, name};
    if (document.empty()) {
      resources_.erase(key);
      return OkStatus();
    }
    WEIR_ASSIGN_OR_RETURN(const Json json, codec::ParseJson(document));
    WEIR_ASSIGN_OR_RETURN(resources_[key], codec::ResourceFromJson(json));
    return OkStatus();
  }

  // `is_unwatched` says of a rollout whether the node had left its canary then.
  decision::Ruleset Rules(const domain::Labels& labels, uint64_t epoch, uint64_t revision,
                          const std::function<bool(const std::string&)>& is_unwatched) const {
    decision::Ruleset rules(labels);
    rules.epoch = epoch;
    rules.version = revision;
    rules.unwatched_ms = std::numeric_limits<int64_t>::max();  // for those that are
    const domain::ForEach for_each = [this](Kind kind, const auto& visit) {
      for (const auto& [key, resource] : resources_) {
        if (key.kind == kind) visit(resource);
      }
    };
    for (const auto& [key, resource] : resources_) {
      if (key.kind == Kind::kFlag) rules.Set(domain::FlagEntryOf(resource, for_each));
      if (key.kind == Kind::kModel) rules.Set(domain::ModelEntryOf(resource));
      if (key.kind == Kind::kExperiment) rules.Set(domain::ExperimentEntryOf(resource));
      if (key.kind == Kind::kEmergency) {
        const auto& spec = resource.As<domain::EmergencySpec>();
        rules.emergency = {epoch, revision, spec.kill_switch, spec.rollback_to_baseline,
                           spec.freeze};
      }
      if (key.kind != Kind::kRollout) continue;
      if (auto split = domain::SplitEntryOf(resource)) {
        if (!is_unwatched(resource.name)) split->unwatched_after_ms = 0;
        rules.Set(*std::move(split));
      }
    }
    return rules;
  }

 private:
  const std::vector<std::string>& kinds_;
  std::map<domain::ResourceKey, Resource> resources_;
};

bool Touches(const store::EpisodeRow& episode, const Span& span) {
  return episode.from_wall_ms < span.to_ms &&
         (episode.to_wall_ms == 0 || episode.to_wall_ms > span.from_ms);
}

// Where something begins or ends inside the span.
std::vector<int64_t> Cuts(const Past& past, const Span& span, bool with_episodes) {
  std::vector<int64_t> cuts{span.from_ms};
  for (const store::RevisionRow& revision : past.revisions) cuts.push_back(revision.at_wall_ms);
  for (const store::AppliedRow& applied : past.applied) cuts.push_back(applied.at_wall_ms);
  for (const store::EpisodeRow& episode : past.episodes) {
    if (!with_episodes) break;
    cuts.push_back(episode.from_wall_ms);
    if (episode.to_wall_ms != 0) cuts.push_back(episode.to_wall_ms);
  }
  std::erase_if(cuts, [&](int64_t at) { return at < span.from_ms || at >= span.to_ms; });
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  return cuts;
}

std::vector<Stretch> StretchesOf(const Past& past, const PastQuery& query) {
  std::vector<Stretch> stretches;
  const std::vector<int64_t> cuts = Cuts(past, query.span, !query.node.empty());
  for (size_t i = 0; i < cuts.size(); ++i) {
    Stretch stretch{{cuts[i], i + 1 < cuts.size() ? cuts[i + 1] : query.span.to_ms}, 0, nullptr};
    if (query.node.empty()) {
      stretch.revision = past.base;
      for (const store::RevisionRow& revision : past.revisions) {
        if (revision.at_wall_ms <= cuts[i]) stretch.revision = revision.revision;
      }
    } else {
      for (const store::AppliedRow& applied : past.applied) {
        if (applied.at_wall_ms <= cuts[i]) stretch.applied = &applied;
      }
      if (stretch.applied != nullptr) stretch.revision = stretch.applied->version;
    }
    if (stretch.revision > 0) stretches.push_back(stretch);
  }
  return stretches;
}

Json EpisodeJson(const store::EpisodeRow& episode) {
  Json json = {{"node", episode.node},
               {"kind", episode.kind},
               {"subject", episode.subject},
               {"from", FormatTimeMs(episode.from_wall_ms)},
               {"detail", episode.detail}};
  if (episode.to_wall_ms != 0) json["to"] = FormatTimeMs(episode.to_wall_ms);
  return json;
}

// A canary key on a node that had left the version by its breaker was answered by stable.
void NoteBreakers(Json& answer, const Past& past, const Span& span) {
  for (Json& split : answer["splits"]) {
    if (split.value("arm", "") != "canary") continue;
    const std::string subject =
        fmt::format("model/{}/{}", split.value("model", ""), split.value("version", ""));
    for (const store::EpisodeRow& episode : past.episodes) {
      if (episode.kind == "breaker" && episode.subject == subject && Touches(episode, span))
        split["diverted"] = episode.detail;
    }
  }
}

// The node's labels then; today's when they were not noted.
domain::Labels LabelsOf(const Stretch& stretch, const Past& past) {
  if (stretch.applied == nullptr || stretch.applied->labels.empty()) return past.labels;
  const Result<Json> noted = codec::ParseJson(stretch.applied->labels);
  if (!noted.ok() || !noted->is_object()) return past.labels;
  domain::Labels labels;
  for (const auto& [name, value] : noted->items()) {
    if (value.is_string()) labels[name] = value.get<std::string>();
  }
  return labels;
}

Json AnswerOf(const Stretch& stretch, const Past& past, const PastQuery& query,
              const Standing& standing, explain::Query asked) {
  const bool has_node = !query.node.empty();
  asked.now_wall_ms = stretch.span.from_ms;
  const auto is_unwatched = [&](const std::string& rollout) {
    return has_node && std::any_of(past.episodes.begin(), past.episodes.end(), [&](const auto& e) {
             return e.kind == "unwatched" && e.subject == rollout && Touches(e, stretch.span);
           });
  };
  const uint64_t epoch = stretch.applied == nullptr ? 1 : stretch.applied->epoch;
  const decision::Ruleset rules =
      standing.Rules(LabelsOf(stretch, past), epoch, stretch.revision, is_unwatched);
  Json answer = explain::Explain(rules, asked);
  answer.erase("key");
  answer.erase("snapshot");
  answer["revision"] = stretch.revision;
  if (stretch.applied != nullptr) {
    answer["epoch"] = stretch.applied->epoch;
    answer["applied_at"] = FormatTimeMs(stretch.applied->at_wall_ms);
    if (!stretch.applied->refused.empty()) answer["refused"] = stretch.applied->refused;
  }
  if (rules.IsEmergency() || rules.emergency.freeze) {
    answer["emergency"] = {{"kill_switch", rules.emergency.kill_switch},
                           {"rollback_to_baseline", rules.emergency.baseline},
                           {"freeze", rules.emergency.freeze}};
  }
  if (has_node) NoteBreakers(answer, past, stretch.span);
  for (const store::EpisodeRow& episode : past.episodes) {
    if (Touches(episode, stretch.span)) answer["episodes"].push_back(EpisodeJson(episode));
  }
  return answer;
}

// The last revision at or below the stretch's that is among those gathered says who and why.
void NoteAuthor(Json& answer, const Past& past, uint64_t revision) {
  for (const store::RevisionRow& row : past.revisions) {
    if (row.revision != revision) continue;
    answer["actor"] = row.actor;
    answer["reason"] = row.reason;
  }
}

}  // namespace

Result<Span> ReadSpan(std::string_view text) {
  const Result<int64_t> from_ms = ParseTimeMs(text);
  if (!from_ms.ok()) {
    return InvalidArgument("at", fmt::format("{}; write 2026-11-20T14:05 (a minute, UTC) or "
                                             "2026-11-20T14:05:30+01:00",
                                             from_ms.status().message()));
  }
  const size_t time = text.find_first_of("Tt ") + 1;
  const std::string_view clock = text.substr(time, text.find_first_of("Zz+-", time) - time);
  if (clock.find('.') != std::string_view::npos) return Span{*from_ms, *from_ms + 1};
  const bool has_seconds = std::count(clock.begin(), clock.end(), ':') == 2;
  return Span{*from_ms, *from_ms + (has_seconds ? 1000 : kMinuteMs)};
}

std::vector<std::string> KindsOf(const explain::Query& asked) {
  std::vector<std::string> kinds = {"Emergency", "Model", "Rollout"};
  const bool is_of_model_alone = !asked.model.empty() && asked.flag.empty();
  if (!is_of_model_alone) kinds.insert(kinds.end(), {"Flag", "Experiment"});
  return kinds;
}

Result<Json> ExplainPast(const Past& past, const PastQuery& query, const explain::Query& asked) {
  Standing standing(query.kinds);
  for (const store::ResourceRow& row : past.resources)
    WEIR_RETURN_IF_ERROR(standing.Put(row.kind, row.name, row.document));
  Json answers = Json::array();
  auto next = past.revisions.begin();
  for (const Stretch& stretch : StretchesOf(past, query)) {
    for (; next != past.revisions.end() && next->revision <= stretch.revision; ++next) {
      for (const store::ChangeRow& change : next->changes)
        WEIR_RETURN_IF_ERROR(standing.Put(change.kind, change.name, change.after));
    }
    Json answer = AnswerOf(stretch, past, query, standing, asked);
    const auto alike = [&](const char* part) {
      return answers.back().value(part, Json()) == answer.value(part, Json());
    };
    if (!answers.empty() && alike("flags") && alike("splits") && alike("experiments") &&
        alike("emergency") && alike("episodes")) {
      answers.back()["to"] = FormatTimeMs(stretch.span.to_ms);
      continue;
    }
    NoteAuthor(answer, past, stretch.revision);
    answer["from"] = FormatTimeMs(stretch.span.from_ms);
    answer["to"] = FormatTimeMs(stretch.span.to_ms);
    answers.push_back(std::move(answer));
  }
  Json json = {
      {"key", asked.key},
      {"at", {{"from", FormatTimeMs(query.span.from_ms)}, {"to", FormatTimeMs(query.span.to_ms)}}},
      {"retention_days", ingest::NodeTrail::kKeepMs / kDayMs}};
  if (!query.node.empty()) json["node"] = query.node;
  if (answers.empty()) {
    json["notes"] = {query.node.empty()
                         ? "nothing had been applied to this control plane by then"
                         : fmt::format("no version is known that {} had applied by then (kept "
                                       "for {} days)",
                                       query.node, ingest::NodeTrail::kKeepMs / kDayMs)};
  }
  json["answers"] = std::move(answers);
  return json;
}

}  // namespace weir::control::api
