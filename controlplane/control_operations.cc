// SPDX-License-Identifier: Apache-2.0
// What operators do with the control plane itself: backups, drains, audits, upgrades.
#include <fmt/format.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "controlplane/backup/audit_verdict.h"
#include "controlplane/control.h"
#include "shared/base/build_info.h"
#include "shared/base/text.h"
#include "shared/wire/frame.h"

namespace weir::control {

using codec::Json;

void Control::MakeBackups() {
  backup::Backups::Hooks hooks;
  hooks.revision = [this] { return engine_->catalog().revision(); };
  hooks.audit = [this](const std::string& actor, const std::string& action,
                       const std::string& detail) {
    return engine_->store().AddAudit(actor, action, detail);
  };
  hooks.tell = [this](Json event) { events_->Add("backup", std::move(event)); };
  backups_ = std::make_unique<backup::Backups>(
      backup::BackupsOptions{settings_.data_dir,
                             settings_.backup_dir,
                             settings_.backup_every.ms,
                             {settings_.backup_keep, settings_.backup_keep_for.ms}},
      std::move(hooks), core_, clock_);
}

Status Control::LoadCordons() {
  WEIR_ASSIGN_OR_RETURN(const auto rows, engine_->store().Cordons());
  for (const store::CordonRow& row : rows) cordons_[row.node] = row;
  return OkStatus();
}

api::Operations Control::MakeOperations() {
  return {
      .begin_backup = [this](const std::string& actor,
                             const std::string& reason) { return backups_->Begin(actor, reason); },
      .show_backup = [this](const std::string& id) { return backups_->Show(id); },
      .drop_backup = [this](const std::string& id) { return backups_->Drop(id); },
      .read_backup =
          [dir = settings_.data_dir](const std::string& id, uint64_t offset, uint64_t bytes) {
            return backup::Backups::ReadPiece(dir, id, offset, bytes);
          },
      .list_backups = [this] { return backups_->List(); },
      .telemetry_audit =
          [this](const std::string& node) {
            return engine_->ledger().deliveries().View(node, [this](const std::string& id,
                                                                    uint64_t incarnation) {
              const publish::NodeStatus* status = engine_->nodes()->Find(id);
              return status != nullptr && status->IsLive() && status->incarnation == incarnation;
            });
          },
      .check_audit = [this](const std::string& expected) { return AuditCheck(expected); },
      .cordon = [this](const std::string& node, bool cordoned, const std::string& actor,
                       const std::string& reason) { return Cordon(node, cordoned, actor, reason); },
      .cordon_of = [this](const std::string& node) { return CordonOf(node); },
      .upgrade = [this] { return UpgradeFacts(); }};
}

Result<Json> Control::Cordon(const std::string& node, bool cordoned, const std::string& actor,
                             const std::string& reason) {
  const publish::NodeStatus* status = engine_->nodes()->Find(node);
  const bool is_live = status != nullptr && status->IsLive();
  if (cordoned) {
    // One that is away, or has not come back after a restart of ours, has a key here.
    WEIR_ASSIGN_OR_RETURN(const auto keys, engine_->store().NodeKeys());
    std::vector<std::string> ids;
    for (const store::NodeKeyRow& key : keys) ids.push_back(key.node);
    if (std::find(ids.begin(), ids.end(), node) == ids.end())
      return NotFound(fmt::format("there is no node \"{}\"{}", node, DidYouMean(node, ids)));
    if (is_live && (status->features & wire::kCanCordon) == 0) {
      return FailedPrecondition(fmt::format(
          "node {} runs weir-node {}, which cannot be told to drain: upgrade it, or stop it with "
          "SIGTERM and --drain-delay",
          node, status->program));
    }
    const store::CordonRow row{node, clock_.WallMs(), actor, reason};
    WEIR_RETURN_IF_ERROR(engine_->store().Cordon(row));
    cordons_[node] = row;
  } else {
    WEIR_RETURN_IF_ERROR(engine_->store().Uncordon(node, actor, reason));
    cordons_.erase(node);
  }
  bus_->SetCordon(node, cordoned, reason);
  Json event = {{"node", node}, {"cordoned", cordoned}, {"by", actor}, {"reason", reason}};
  events_->Add("cordon", event);
  event["told"] = is_live;
  event["since"] = FormatTimeMs(clock_.WallMs());
  return event;
}

Json Control::CordonOf(const std::string& node) const {
  const auto found = cordons_.find(node);
  if (found == cordons_.end()) return nullptr;
  return {{"by", found->second.actor},
          {"reason", found->second.reason},
          {"since", FormatTimeMs(found->second.since_wall_ms)}};
}

std::function<Result<Json>()> Control::AuditCheck(const std::string& expected_head) const {
  backup::AuditQuestion question{expected_head, {}, engine_->epoch()};
  for (const auto& node : engine_->nodes()->nodes) {
    if (!node->IsLive()) continue;
    for (const wire::HeardHead& heard : node->heard) question.heard.push_back({node->id, heard});
  }
  return [question = std::move(question), file = settings_.data_dir + "/weir.db",
          &clock = clock_]() -> Result<Json> {
    WEIR_ASSIGN_OR_RETURN(const auto store, store::Store::OpenReadOnly(file, clock));
    return backup::AuditVerdict(*store, question);
  };
}

Result<Json> Control::UpgradeFacts() const {
  WEIR_ASSIGN_OR_RETURN(const int64_t schema, engine_->store().Schema());
  struct statvfs disk {};
  if (::statvfs(settings_.data_dir.c_str(), &disk) != 0)
    return Unavailable("cannot look at the disk of " + settings_.data_dir);
  std::error_code error;
  const uint64_t database = std::filesystem::file_size(settings_.data_dir + "/weir.db", error);
  Json nodes = Json::array();
  for (const auto& node : engine_->nodes()->nodes) {
    nodes.push_back({{"id", node->id},
                     {"state", publish::NodeStateName(node->state)},
                     {"program", node->program},
                     {"can_cordon", (node->features & wire::kCanCordon) != 0},
                     {"pending_batches", node->pending_batches}});
  }
  Json rollouts = Json::array();
  engine_->catalog().ForEach(domain::Kind::kRollout, [&](const domain::Resource& rollout) {
    if (rollout.status.has_value() && domain::IsActive(*rollout.status))
      rollouts.push_back({{"name", rollout.name}, {"state", rollout.status->state}});
  });
  Json backup = {{"dir", settings_.backup_dir}};
  if (backups_->age_ms() >= 0) backup["age_ms"] = backups_->age_ms();
  return Json{{"build", BuildVersion()},
              {"schema", {{"version", schema}, {"known", store::Store::KnownSchema()}}},
              {"wire", fmt::format("{}.{}", wire::kMajor, wire::kMinor)},
              {"epoch", engine_->epoch()},
              {"disk",
               {{"dir", settings_.data_dir},
                {"free_bytes", uint64_t{disk.f_bavail} * disk.f_frsize},
                {"total_bytes", uint64_t{disk.f_blocks} * disk.f_frsize},
                {"database_bytes", error ? 0 : database}}},
              {"backup", std::move(backup)},
              {"nodes", std::move(nodes)},
              {"rollouts", std::move(rollouts)}};
}

// What was done since the last beacon goes into the next.
void Control::PublishAuditHead() {
  const auto head = engine_->store().GetAuditHead();
  if (!head.ok() || *head == audit_head_) return;
  audit_head_ = *head;
  bus_->SetAuditHead(static_cast<uint64_t>(audit_head_.rows), audit_head_.hash);
}

std::string Control::BackupMetrics() const {
  const auto& counters = backups_->counters();
  std::string text = fmt::format(
      "# TYPE weir_backups_total counter\nweir_backups_total{{result=\"made\"}} {}\n"
      "weir_backups_total{{result=\"failed\"}} {}\n",
      counters.made, counters.failed);
  if (backups_->age_ms() >= 0) {
    text += fmt::format("# TYPE weir_backup_age_seconds gauge\nweir_backup_age_seconds {}\n",
                        static_cast<double>(backups_->age_ms()) / 1000);
  }
  text +=
      fmt::format("# TYPE weir_nodes_cordoned gauge\nweir_nodes_cordoned {}\n", cordons_.size());
  return text;
}

}  // namespace weir::control
