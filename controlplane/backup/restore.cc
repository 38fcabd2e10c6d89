// SPDX-License-Identifier: Apache-2.0
#include "controlplane/backup/restore.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <vector>

#include "controlplane/store/schema.h"
#include "controlplane/store/store.h"
#include "shared/base/text.h"

namespace weir::control::backup {
namespace {

namespace fs = std::filesystem;
using codec::Json;

constexpr char kLock[] = "weir.lock";
constexpr char kDatabase[] = "weir.db";

Status Failed(const char* what, const std::string& path) {
  const Code code =
      errno == ENOSPC || errno == EDQUOT ? Code::kResourceExhausted : Code::kUnavailable;
  return {code, fmt::format("cannot {} {}: {}", what, path, strerror(errno))};
}

// The directory's lock, as weir-control takes it.
class DirectoryLock {
 public:
  ~DirectoryLock() {
    if (fd_ >= 0) ::close(fd_);
  }
  Status Take(const std::string& data_dir) {
    const std::string path = data_dir + "/" + kLock;
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd_ < 0) return Failed("open", path);
    if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return OkStatus();
    const Result<std::string> pid = ReadFile(path);
    return FailedPrecondition(fmt::format("a running weir-control{} uses {}: stop it first",
                                          pid.ok() && !pid->empty() ? " (pid " + *pid + ")" : "",
                                          data_dir));
  }

 private:
  int fd_ = -1;
};

// A file that is written once.
class OutFile {
 public:
  explicit OutFile(std::string path) : path_(std::move(path)) {}
  ~OutFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  OutFile(const OutFile&) = delete;
  OutFile& operator=(const OutFile&) = delete;
  Status Open() {
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd_ < 0 ? Failed("create", path_) : OkStatus();
  }
  Status Write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t wrote = ::write(fd_, bytes.data(), bytes.size());
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return Failed("write", path_);
      bytes.remove_prefix(static_cast<size_t>(wrote));
    }
    return OkStatus();
  }
  Status Sync() { return ::fsync(fd_) == 0 ? OkStatus() : Failed("write", path_); }

 private:
  const std::string path_;
  int fd_ = -1;
};

Status CheckManifest(const std::string& file, const Json& manifest) {
  bool has_database = false;
  for (const Json& part : manifest["parts"]) {
    const std::string name = part.value("name", "");
    has_database = has_database || name == kDatabase;
    if (name.starts_with("blobs/") && name.substr(6) != part.value("sha256", ""))
      return DataLoss(fmt::format("{}: {} is not what it is named after", file, name));
  }
  if (!has_database) return DataLoss(file + " holds no database");
  const int64_t schema = manifest.value("schema", int64_t{0});
  if (schema <= store::Store::KnownSchema()) return OkStatus();
  return FailedPrecondition(fmt::format(
      "{} was made by weir {} with schema version {}; this program knows versions up to {}: use a "
      "newer weir",
      file, manifest.value("program", "?"), schema, store::Store::KnownSchema()));
}

// The parts as files under `dir`, each on disk.
Result<Json> Unpack(const std::string& file, const std::string& dir, const Progress& progress) {
  WEIR_RETURN_IF_ERROR(MakeDirectories(dir + "/blobs"));
  std::vector<std::shared_ptr<OutFile>> files;
  WEIR_ASSIGN_OR_RETURN(
      Json manifest,
      ReadArchive(
          file,
          [&](const Part& part) -> Result<Take> {
            if (!files.empty()) WEIR_RETURN_IF_ERROR(files.back()->Sync());
            files.assign({std::make_shared<OutFile>(dir + "/" + part.name)});
            WEIR_RETURN_IF_ERROR(files.back()->Open());
            return Take([out = files.back()](std::string_view bytes) { return out->Write(bytes); });
          },
          progress));
  if (!files.empty()) WEIR_RETURN_IF_ERROR(files.back()->Sync());
  WEIR_RETURN_IF_ERROR(CheckManifest(file, manifest));
  return manifest;
}

// Opens what was unpacked as a control plane would, and follows its audit.
Status CheckDatabase(const std::string& dir, const Json& manifest, const std::string& file,
                     const Clock& clock, const std::string& actor) {
  auto opened = store::Store::Open(dir, clock);
  if (!opened.ok())
    return {opened.status().code(), fmt::format("{}: {}", file, opened.status().message())};
  store::Store& store = **opened;
  WEIR_ASSIGN_OR_RETURN(const store::AuditCheck check, store.CheckAudit());
  if (!check.problem.empty()) return DataLoss(fmt::format("{}: {}", file, check.problem));
  if (check.head.rows != manifest["audit"].value("rows", int64_t{-1}))
    return DataLoss(
        fmt::format("{}: its audit has {} rows, not those of the manifest", file, check.head.rows));
  if (actor.empty()) return OkStatus();
  return store.AddAudit(
      actor, "restore",
      fmt::format("{} of {}: revision {}, epoch {}", file, manifest.value("created_at", "?"),
                  manifest.value("revision", uint64_t{0}), manifest.value("epoch", uint64_t{0})));
}

std::vector<std::string> ContentOf(const std::string& dir) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(dir, error)) {
    const std::string name = entry.path().filename().string();
    if (name != kLock && name != store::kRestoreDir) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Status Move(const std::string& name, const std::string& from, const std::string& to) {
  return ::rename((from + "/" + name).c_str(), (to + "/" + name).c_str()) == 0
             ? OkStatus()
             : Failed("move", from + "/" + name);
}

void SyncDirectory(const std::string& dir) {
  const int fd = ::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

// The database last: without it weir-control would start with an empty one, but for the directory
// that stands in its way until everything is in its place.
Status PutInPlace(const std::string& from, const std::string& data_dir) {
  std::vector<std::string> names = ContentOf(from);
  std::stable_partition(names.begin(), names.end(),
                        [](const std::string& name) { return name != kDatabase; });
  for (const std::string& name : names) WEIR_RETURN_IF_ERROR(Move(name, from, data_dir));
  SyncDirectory(data_dir);
  std::error_code error;
  fs::remove_all(from, error);
  SyncDirectory(data_dir);
  return error ? Unavailable(fmt::format("cannot remove {}: {}", from, error.message()))
               : OkStatus();
}

Result<std::string> PutAside(const std::string& data_dir, const Clock& clock) {
  const std::vector<std::string> names = ContentOf(data_dir);
  if (names.empty()) return std::string();
  std::string time = FormatTimeMs(clock.WallMs());
  std::erase_if(time, [](char c) { return c == '-' || c == ':'; });
  const std::string aside = data_dir + "/replaced." + time;
  WEIR_RETURN_IF_ERROR(MakeDirectories(aside));
  for (const std::string& name : names) {
    if (!name.starts_with("replaced.")) WEIR_RETURN_IF_ERROR(Move(name, data_dir, aside));
  }
  return aside;
}

}  // namespace

Result<Restored> Restore(const RestoreOptions& options, const Clock& clock) {
  WEIR_RETURN_IF_ERROR(ReadManifest(options.file).status());  // nothing is made for no backup
  WEIR_RETURN_IF_ERROR(MakeDirectories(options.data_dir));
  DirectoryLock lock;
  WEIR_RETURN_IF_ERROR(lock.Take(options.data_dir));
  if (const auto names = ContentOf(options.data_dir); !names.empty() && !options.force) {
    return FailedPrecondition(fmt::format(
        "{} is not empty ({}{}): --force puts what is there aside", options.data_dir, names.front(),
        names.size() > 1 ? fmt::format(" and {} more", names.size() - 1) : ""));
  }
  const std::string part = options.data_dir + "/" + store::kRestoreDir;
  std::error_code error;
  const bool was_killed_before = fs::exists(part, error);
  fs::remove_all(part, error);
  Restored restored;
  const Status status = [&]() -> Status {
    WEIR_ASSIGN_OR_RETURN(restored.manifest, Unpack(options.file, part, options.progress));
    return CheckDatabase(part, restored.manifest, options.file, clock, options.actor);
  }();
  if (!status.ok()) {
    fs::remove_all(part, error);
    // What keeps weir-control from starting on what that one left.
    if (was_killed_before) fs::create_directory(part, error);
    return status;
  }
  fs::remove(part + "/" + kLock, error);
  WEIR_ASSIGN_OR_RETURN(restored.replaced, PutAside(options.data_dir, clock));
  WEIR_RETURN_IF_ERROR(PutInPlace(part, options.data_dir));
  restored.clock_is_behind =
      static_cast<uint64_t>(clock.WallMs() / 1000) <= restored.manifest.value("epoch", uint64_t{0});
  return restored;
}

Result<Json> VerifyBackup(const std::string& file, const std::string& scratch_dir,
                          const Clock& clock, const Progress& progress) {
  std::error_code error;
  const Result<Json> manifest = [&]() -> Result<Json> {
    WEIR_ASSIGN_OR_RETURN(Json unpacked, Unpack(file, scratch_dir, progress));
    WEIR_RETURN_IF_ERROR(CheckDatabase(scratch_dir, unpacked, file, clock, ""));
    return unpacked;
  }();
  fs::remove_all(scratch_dir, error);
  return manifest;
}

}  // namespace weir::control::backup
