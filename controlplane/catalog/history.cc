// SPDX-License-Identifier: Apache-2.0
// What was: history, and the two ways back, which make new revisions. Both speak of what people
// set; the status of a rollout is the system's, and stays as it is. Acts of policies on a limit are
// taken back one by one, and one that has ended never begins again.
#include <fmt/format.h>

#include "controlplane/catalog/acts.h"
#include "controlplane/catalog/state.h"

namespace weir::control::catalog {
namespace {

using domain::Kind;
using domain::Resource;

// How far back the question who set a field goes.
constexpr int kSetByRevisions = 1000;

Result<Json> Parse(const std::string& document) {
  if (document.empty()) return Json();
  Result<Json> json = codec::ParseJson(document);
  if (!json.ok())
    return DataLoss("a document in the history is damaged: " + json.status().ToString());
  return json;
}

Result<HistoryRow> ToHistory(const store::RevisionRow& row) {
  HistoryRow out{.revision = row.revision,
                 .at_wall_ms = row.at_wall_ms,
                 .actor = row.actor,
                 .reason = row.reason,
                 .evidence = Json(),
                 .items = {}};
  WEIR_ASSIGN_OR_RETURN(out.evidence, Parse(row.evidence));
  for (const store::ChangeRow& change : row.changes) {
    const auto kind = domain::ParseKind(change.kind);
    if (!kind) return DataLoss(fmt::format("revision {}: kind {}", row.revision, change.kind));
    WEIR_ASSIGN_OR_RETURN(Json before, Parse(change.before));
    WEIR_ASSIGN_OR_RETURN(Json after, Parse(change.after));
    out.items.push_back({.kind = *kind,
                         .name = change.name,
                         .action = change.action,
                         .before = std::move(before),
                         .after = std::move(after)});
  }
  return out;
}

// How the resource stood, status and all.
Result<Change> Recreate(const Json& document) {
  Change change;
  WEIR_ASSIGN_OR_RETURN(change.resource, codec::ResourceFromJson(document));
  if (auto* limit = std::get_if<domain::LimitSpec>(&change.resource.spec)) limit->acts.clear();
  return change;
}

Change Removal(Kind kind, const std::string& name) {
  Change change;
  change.resource.kind = kind;
  change.resource.name = name;
  change.remove = true;
  return change;
}

}  // namespace

Result<std::string> Catalog::State::SetBy(Kind kind, const std::string& name,
                                          const Path& path) const {
  WEIR_ASSIGN_OR_RETURN(
      const auto rows,
      store.History(
          {.kind = domain::KindName(kind), .name = name, .before = 0, .limit = kSetByRevisions}));
  for (const store::RevisionRow& row : rows) {
    WEIR_ASSIGN_OR_RETURN(const HistoryRow history, ToHistory(row));
    for (const HistoryRow::Item& item : history.items) {
      if (!Same(path, At(PlainOf(item.before), path), At(PlainOf(item.after), path)))
        return row.actor;
    }
  }
  return std::string();
}

Result<std::string> Catalog::State::Standing(Kind kind, const std::string& name, const Path& path,
                                             const Json& value, const std::string& note) const {
  WEIR_ASSIGN_OR_RETURN(const std::string actor, SetBy(kind, name, path));
  std::string why = actor.empty() ? "" : "set by " + actor;
  if (!note.empty()) why += (why.empty() ? "" : "; ") + note;
  return fmt::format("{} = {}{}", PathText(path), ValueText(value),
                     why.empty() ? "" : " (" + why + ")");
}

namespace {

// What was scheduled and has happened does not happen again because its flag goes back.
void DropPast(Resource& resource, int64_t now_wall_ms) {
  auto* flag = std::get_if<domain::FlagSpec>(&resource.spec);
  if (flag == nullptr) return;
  std::erase_if(flag->schedule, [&](const auto& item) { return item.at.ms <= now_wall_ms; });
}

// Takes the acts that a revision laid over a limit out of those that stand in `wanted`. What cannot
// be taken back, as a sentence; "" when all is.
std::string RevertActs(const Json& before, const Json& after, Json& wanted) {
  const Json begun = ActsBut(ActsOf(after), ActsOf(before));
  const Json ended = ActsBut(ActsOf(before), ActsOf(after));
  if (begun.empty())
    return ended.empty() ? "no act was laid over it or ended: all stay as they are"
                         : EndedText(ended);
  const Json standing = ActsOf(wanted);
  Put(wanted, {"spec", "acts"}, ActsBut(standing, begun));
  const Json over = ActsBut(begun, standing);
  return over.empty() ? "" : ActsText(over) + " has ended already";
}

// Reverts one change of a past revision, as far as it still stands as that revision left it.
template <class State>
Status RevertItem(const State& state, const HistoryRow::Item& item, Batch& batch) {
  const Resource* current = state.Find(item.kind, item.name);
  const Json before = PlainOf(item.before);
  const Json after = PlainOf(item.after);
  const std::vector<Path> changed = Differences(before, after);
  if (changed.empty() && !before.is_null() && !after.is_null()) return OkStatus();
  const std::string key = fmt::format("{}/{}", domain::KindName(item.kind), item.name);
  if (item.after.is_null()) {
    if (current != nullptr) return FailedPrecondition(key + " exists again");
    WEIR_ASSIGN_OR_RETURN(Change change, Recreate(item.before));
    batch.request.changes.push_back(std::move(change));
    return OkStatus();
  }
  if (current == nullptr) {
    return item.before.is_null() ? OkStatus() : FailedPrecondition(key + " was deleted since");
  }
  Json wanted = PlainOf(*current);
  std::vector<std::string> kept;
  const auto keep = [&](const Path& path) -> Status {
    WEIR_ASSIGN_OR_RETURN(kept.emplace_back(),
                          state.Standing(item.kind, item.name, path, At(wanted, path)));
    return OkStatus();
  };
  if (item.before.is_null()) {
    for (const Path& path : Differences(after, wanted)) {
      if (!IsActs(item.kind, path)) WEIR_RETURN_IF_ERROR(keep(path));
    }
    // A policy's first act creates its Limit: of what stands that act alone goes.
    if (const Json left = ActsBut(ActsOf(wanted), ActsOf(after)); !left.empty()) {
      kept.push_back(ActsText(left) + " came since");
    }
    if (!ActsOf(after).empty()) {
      Put(wanted, {"spec", "acts"}, ActsBut(ActsOf(wanted), ActsOf(after)));
    }
    if (kept.empty()) {
      batch.request.changes.push_back(Removal(item.kind, item.name));
      return OkStatus();
    }
  } else {
    const Json standing = wanted;
    for (const Path& path : changed) {
      if (IsActs(item.kind, path)) {
        std::string why = RevertActs(before, after, wanted);
        if (!why.empty() && changed.size() == 1 && wanted == standing)
          return FailedPrecondition(key + ": " + why);
        if (!why.empty()) kept.push_back(std::move(why));
      } else if (Same(path, At(standing, path), At(after, path))) {
        Put(wanted, path, At(before, path));
      } else {
        WEIR_RETURN_IF_ERROR(keep(path));
      }
    }
  }
  Change change;
  change.resource = *current;
  WEIR_RETURN_IF_ERROR(SetPlain(wanted, change.resource));
  DropPast(change.resource, state.clock.WallMs());
  batch.request.changes.push_back(std::move(change));
  batch.kept.resize(batch.request.changes.size());
  batch.kept.back() = std::move(kept);
  return OkStatus();
}

}  // namespace

Result<CommitResult> Catalog::Revert(uint64_t revision, const std::string& actor,
                                     const std::string& reason) {
  WEIR_ASSIGN_OR_RETURN(const store::RevisionRow row, state_->store.Revision(revision));
  WEIR_ASSIGN_OR_RETURN(const HistoryRow history, ToHistory(row));
  Batch batch;
  batch.request.actor = actor;
  batch.request.reason = reason;
  for (const HistoryRow::Item& item : history.items) {
    WEIR_RETURN_IF_ERROR(RevertItem(*state_, item, batch));
  }
  if (batch.request.changes.empty()) {
    return FailedPrecondition(
        fmt::format("revision {} changed nothing that could be taken back", revision));
  }
  return state_->Commit(batch);
}

namespace {

// The resource's document before its last change that people would notice; null: there was none.
Result<Json> BeforeLastChange(store::Store& store, Kind kind, const std::string& name) {
  WEIR_ASSIGN_OR_RETURN(
      const auto rows,
      store.History(
          {.kind = domain::KindName(kind), .name = name, .before = 0, .limit = kSetByRevisions}));
  for (const store::RevisionRow& row : rows) {
    WEIR_ASSIGN_OR_RETURN(const HistoryRow history, ToHistory(row));
    for (const HistoryRow::Item& item : history.items) {
      const Json before = PlainOf(item.before);
      const Json after = PlainOf(item.after);
      if (before.is_null() || after.is_null() || !Differences(before, after).empty()) {
        return item.before;
      }
    }
  }
  return FailedPrecondition(
      fmt::format("{}/{} has no earlier state", domain::KindName(kind), name));
}

// What undo makes of a resource that stands: `target`, but of the acts on a limit only those that
// stand. FailedPrecondition where nothing but ended acts would come back.
Result<Json> WantedOf(const Json& standing, Json target, const Resource& current) {
  if (current.kind != Kind::kLimit) return target;
  const Json ended = ActsBut(ActsOf(target), ActsOf(standing));
  Put(target, {"spec", "acts"}, ActsIn(ActsOf(standing), ActsOf(target)));
  if (!ended.empty() && Differences(standing, target).empty())
    return FailedPrecondition(fmt::format("Limit/{}: {}", current.name, EndedText(ended)));
  return target;
}

Result<Json> StoodAt(store::Store& store, Kind kind, const std::string& name, uint64_t revision) {
  if (revision > store.last_revision()) {
    return NotFound(
        fmt::format("there is no revision {}; the head is {}", revision, store.last_revision()));
  }
  WEIR_ASSIGN_OR_RETURN(const auto document,
                        store.ResourceAt(domain::KindName(kind), name, revision));
  return Parse(document.value_or(""));
}

}  // namespace

Result<CommitResult> Catalog::Undo(Kind kind, const std::string& name, uint64_t to_revision,
                                   const std::string& actor, const std::string& reason) {
  Json target;
  if (to_revision == 0) {
    WEIR_ASSIGN_OR_RETURN(target, BeforeLastChange(state_->store, kind, name));
  } else {
    WEIR_ASSIGN_OR_RETURN(target, StoodAt(state_->store, kind, name, to_revision));
  }
  const Resource* current = state_->Find(kind, name);
  Batch batch;
  batch.request.actor = actor;
  batch.request.reason = reason;
  if (target.is_null() && kind != Kind::kEmergency) {
    if (current == nullptr) {
      return NotFound(
          fmt::format("{}/{} does not exist, and did not", domain::KindName(kind), name));
    }
    batch.request.changes.push_back(Removal(kind, name));
  } else if (current == nullptr) {
    WEIR_ASSIGN_OR_RETURN(Change change, Recreate(target));
    batch.request.changes.push_back(std::move(change));
  } else {
    Change change;
    change.resource = *current;
    WEIR_ASSIGN_OR_RETURN(const Json wanted,
                          WantedOf(PlainOf(*current), PlainOf(target), *current));
    WEIR_RETURN_IF_ERROR(SetPlain(wanted, change.resource));
    DropPast(change.resource, state_->clock.WallMs());
    batch.request.changes.push_back(std::move(change));
  }
  return state_->Commit(batch);
}

Result<std::vector<HistoryRow>> Catalog::History(const HistoryQuery& query) const {
  WEIR_ASSIGN_OR_RETURN(
      const auto rows,
      state_->store.History({.kind = query.kind ? domain::KindName(*query.kind) : "",
                             .name = query.name,
                             .before = query.before,
                             .limit = query.limit}));
  std::vector<HistoryRow> out;
  for (const store::RevisionRow& row : rows) {
    WEIR_ASSIGN_OR_RETURN(out.emplace_back(), ToHistory(row));
  }
  return out;
}

}  // namespace weir::control::catalog
