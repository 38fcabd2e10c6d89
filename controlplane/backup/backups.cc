// SPDX-License-Identifier: Apache-2.0
#include "controlplane/backup/backups.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "controlplane/backup/make_backup.h"
#include "shared/base/log.h"
#include "shared/base/text.h"

namespace weir::control::backup {
namespace {

namespace fs = std::filesystem;
using codec::Json;

constexpr int64_t kRetryMs = 600'000;
constexpr int64_t kStopMs = 2000;
constexpr size_t kIdBytes = 16;
constexpr char kSpool[] = "/backup.spool";
constexpr char kScheduler[] = "schedule";

std::string SpoolFile(const std::string& data_dir, const std::string& id) {
  return data_dir + kSpool + "/" + id + ".tar";
}

bool IsId(const std::string& id) {
  return id.size() == 2 * kIdBytes && id.find_first_not_of("0123456789abcdef") == id.npos;
}

}  // namespace

// Written by the pool's thread until it posts its end: only the numbers are read meanwhile.
struct Backups::Job {
  std::string path;
  std::string actor;
  int64_t begun_wall_ms = 0;
  std::atomic<uint64_t> done{0};
  std::atomic<uint64_t> total{0};

  // Core's.
  bool is_over = false;
  int64_t over_ms = 0;  // monotonic
  Status status{};
  Made made{};
};

Backups::Backups(BackupsOptions options, Hooks hooks, Executor& core, const Clock& clock)
    : options_(std::move(options)), hooks_(std::move(hooks)), clock_(clock), pool_(1, core) {
  std::error_code error;
  fs::remove_all(options_.data_dir + kSpool, error);  // of the process before
  int64_t newest_ms = 0;
  for (const NamedBackup& backup : Automatic()) newest_ms = std::max(newest_ms, backup.at_wall_ms);
  made_wall_ms_ = newest_ms;
  const int64_t wait_ms = newest_ms == 0 ? 0 : newest_ms + options_.every_ms - clock_.WallMs();
  due_ms_ = clock_.MonotonicMs() + std::clamp<int64_t>(wait_ms, 0, options_.every_ms);
}

Backups::~Backups() {
  is_stopped_->store(true);
  pool_.Stop(kStopMs);
}

std::shared_ptr<Backups::Job> Backups::Run(const std::string& path, const std::string& actor) {
  auto job = std::make_shared<Job>();
  job->path = path;
  job->actor = actor;
  job->begun_wall_ms = clock_.WallMs();
  pool_.Run([this, job, data_dir = options_.data_dir, &clock = clock_,
             is_stopped = is_stopped_]() -> WorkPool::Done {
    const MakeOptions options{data_dir, job->path, [job](uint64_t done, uint64_t total) {
                                job->done = done;
                                job->total = total;
                              }};
    auto made = std::make_shared<Result<Made>>(MakeBackup(options, clock));
    return [this, job, made, is_stopped] {
      if (is_stopped->load()) return;
      job->is_over = true;
      job->over_ms = clock_.MonotonicMs();
      job->status = made->status();
      if (made->ok()) job->made = **made;
      OnDone(job);
    };
  });
  return job;
}

void Backups::OnDone(const std::shared_ptr<Job>& job) {
  const std::string file = fs::path(job->path).filename().string();
  if (job->status.ok()) {
    ++counters_.made;
    made_wall_ms_ = job->begun_wall_ms;
    Log("backup").info("a backup for {}: {} bytes at revision {}", job->actor, job->made.bytes,
                       job->made.manifest.value("revision", uint64_t{0}));
    hooks_.tell({{"result", "made"},
                 {"actor", job->actor},
                 {"file", file},
                 {"bytes", job->made.bytes},
                 {"revision", job->made.manifest["revision"]}});
  } else {
    ++counters_.failed;
    Log("backup").error("no backup for {}: {}", job->actor, job->status.ToString());
    hooks_.tell({{"result", "failed"},
                 {"actor", job->actor},
                 {"file", file},
                 {"error", job->status.message()}});
  }
  if (job == automatic_) OnAutomatic(*std::exchange(automatic_, nullptr));
}

void Backups::Tick() {
  DropUnfetched();
  const bool is_due = !options_.dir.empty() && clock_.MonotonicMs() >= due_ms_;
  if (is_due && automatic_ == nullptr) BeginAutomatic();
}

void Backups::BeginAutomatic() {
  due_ms_ = clock_.MonotonicMs() + options_.every_ms;
  const std::string path = options_.dir + "/" + BackupName(clock_.WallMs(), hooks_.revision());
  Status status = MakeDirectories(options_.dir);
  if (status.ok()) status = hooks_.audit(kScheduler, "backup", "to " + path);
  if (status.ok()) {
    automatic_ = Run(path, kScheduler);
    return;
  }
  Job failed;
  failed.status = status;
  ++counters_.failed;
  hooks_.tell({{"result", "failed"}, {"actor", kScheduler}, {"error", status.message()}});
  OnAutomatic(failed);
}

void Backups::OnAutomatic(const Job& job) {
  if (!job.status.ok()) {
    due_ms_ = clock_.MonotonicMs() + std::min(options_.every_ms, kRetryMs);
    const int64_t since_ms = trouble_ ? trouble_->since_wall_ms : clock_.WallMs();
    trouble_ = {"the automatic backup fails", job.status.message(), since_ms};
    return;
  }
  trouble_.reset();
  for (const std::string& file : Expired(Automatic(), options_.retention, clock_.WallMs())) {
    const std::string path = options_.dir + "/" + file;
    if (::unlink(path.c_str()) == 0) {
      Log("backup").info("{} is older than what is kept", path);
    } else {
      trouble_ = {"an old backup cannot be removed", fmt::format("{}: {}", path, strerror(errno)),
                  clock_.WallMs()};
    }
  }
}

std::vector<NamedBackup> Backups::Automatic() const {
  std::vector<NamedBackup> backups;
  if (options_.dir.empty()) return backups;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(options_.dir, error)) {
    if (auto backup = ParseBackupName(entry.path().filename().string()))
      backups.push_back(*std::move(backup));
  }
  return backups;
}

Result<Json> Backups::Begin(const std::string& actor, const std::string& reason) {
  if (asked_.size() >= kMaxWaiting) {
    return FailedPrecondition(
        fmt::format("{} backups were asked for and not fetched yet", asked_.size()));
  }
  WEIR_RETURN_IF_ERROR(MakeDirectories(options_.data_dir + kSpool));
  WEIR_RETURN_IF_ERROR(
      hooks_.audit(actor, "backup", "to be fetched" + (reason.empty() ? "" : ": " + reason)));
  const std::string id = RandomHex(kIdBytes);
  const auto job = asked_[id] = Run(SpoolFile(options_.data_dir, id), actor);
  return View(id, *job);
}

Json Backups::View(const std::string& id, const Job& job) {
  Json view = {{"id", id},
               {"state", !job.is_over      ? "running"
                         : job.status.ok() ? "ready"
                                           : "failed"},
               {"done_bytes", job.done.load()},
               {"total_bytes", job.total.load()}};
  if (!job.is_over) return view;
  if (!job.status.ok()) {
    view["error"] = job.status.message();
  } else {
    view["bytes"] = job.made.bytes;
    view["manifest"] = job.made.manifest;
  }
  return view;
}

Result<Json> Backups::Show(const std::string& id) const {
  const auto found = asked_.find(id);
  if (found == asked_.end()) return NotFound(fmt::format("there is no backup \"{}\"", id));
  return View(id, *found->second);
}

Status Backups::Drop(const std::string& id) {
  const auto found = asked_.find(id);
  if (found == asked_.end()) return NotFound(fmt::format("there is no backup \"{}\"", id));
  if (!found->second->is_over) return FailedPrecondition("the backup is being made");
  ::unlink(found->second->path.c_str());
  asked_.erase(found);
  return OkStatus();
}

void Backups::DropUnfetched() {
  for (auto at = asked_.begin(); at != asked_.end();) {
    const Job& job = *at->second;
    if (!job.is_over || clock_.MonotonicMs() - job.over_ms < kFetchMs) {
      ++at;
      continue;
    }
    ::unlink(job.path.c_str());
    at = asked_.erase(at);
  }
}

Result<std::string> Backups::ReadPiece(const std::string& data_dir, const std::string& id,
                                       uint64_t offset, uint64_t bytes) {
  if (bytes == 0 || bytes > kMaxPiece)
    return InvalidArgument("bytes", fmt::format("{} is not in 1..{}", bytes, kMaxPiece));
  const std::string path = IsId(id) ? SpoolFile(data_dir, id) : "";
  const int fd = path.empty() ? -1 : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return NotFound(fmt::format("there is no backup \"{}\" to fetch", id));
  std::string piece(bytes, '\0');
  size_t done = 0;
  Status status;
  while (done < bytes) {
    const ssize_t read =
        ::pread(fd, piece.data() + done, bytes - done, static_cast<off_t>(offset + done));
    if (read < 0 && errno == EINTR) continue;
    if (read < 0) status = Unavailable(fmt::format("cannot read {}: {}", path, strerror(errno)));
    if (read <= 0) break;
    done += static_cast<size_t>(read);
  }
  ::close(fd);
  WEIR_RETURN_IF_ERROR(status);
  piece.resize(done);
  return piece;
}

Json Backups::List() const {
  std::vector<NamedBackup> backups = Automatic();
  std::sort(backups.begin(), backups.end(),
            [](const NamedBackup& a, const NamedBackup& b) { return a.file > b.file; });
  Json items = Json::array();
  for (const NamedBackup& backup : backups) {
    std::error_code error;
    const uint64_t bytes = fs::file_size(options_.dir + "/" + backup.file, error);
    items.push_back({{"file", backup.file},
                     {"created_at", FormatTimeMs(backup.at_wall_ms)},
                     {"bytes", error ? 0 : bytes},
                     {"revision", backup.revision}});
  }
  Json view = {{"dir", options_.dir}, {"items", std::move(items)}};
  if (age_ms() >= 0) view["age"] = FormatDurationMs(age_ms() / 1000 * 1000);
  if (trouble_.has_value()) view["last_error"] = trouble_->why;
  if (options_.dir.empty()) return view;
  const int64_t wait_ms = std::max<int64_t>(0, due_ms_ - clock_.MonotonicMs());
  view["every"] = FormatDurationMs(options_.every_ms);
  view["keep"] = options_.retention.keep;
  view["keep_for"] = FormatDurationMs(options_.retention.keep_for_ms);
  view["next_at"] = FormatTimeMs(clock_.WallMs() + wait_ms);
  return view;
}

int64_t Backups::age_ms() const {
  return made_wall_ms_ == 0 ? -1 : std::max<int64_t>(0, clock_.WallMs() - made_wall_ms_);
}

std::optional<Backups::Trouble> Backups::trouble() const {
  if (trouble_.has_value() || options_.dir.empty()) return trouble_;
  if (automatic_ == nullptr || clock_.WallMs() - automatic_->begun_wall_ms < options_.every_ms)
    return std::nullopt;
  return Trouble{"the automatic backup takes longer than the time between two", automatic_->path,
                 automatic_->begun_wall_ms};
}

}  // namespace weir::control::backup
