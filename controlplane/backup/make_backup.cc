// SPDX-License-Identifier: Apache-2.0
#include "controlplane/backup/make_backup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "controlplane/store/store.h"
#include "shared/base/build_info.h"
#include "shared/base/text.h"
#include "shared/wire/frame.h"

namespace weir::control::backup {
namespace {

namespace fs = std::filesystem;
using codec::Json;

constexpr uint64_t kMaxOtherFile = 1 << 20;  // keys are small
constexpr uint64_t kSpareBytes = 1 << 20;
constexpr char kLiveDatabase[] = "weir.db";

struct Source {
  std::string name;  // in the archive
  std::string file;
  uint64_t bytes = 0;
};

// What lies beside the database and belongs to this process alone, or is a copy already.
bool IsPassing(const std::string& name) {
  return name.starts_with(kLiveDatabase) || name == "weir.lock" || name.ends_with(".tmp") ||
         name.ends_with(".bak") || name.ends_with(".pid");
}

void AddFiles(const std::string& dir, const std::string& prefix, uint64_t max_bytes,
              std::vector<Source>& sources) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(dir, error)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_regular_file(error) || (prefix.empty() && IsPassing(name))) continue;
    const auto bytes = static_cast<uint64_t>(entry.file_size(error));
    if (error || bytes > max_bytes || !IsPartName(prefix + name)) continue;
    sources.push_back({prefix + name, entry.path().string(), bytes});
  }
}

uint64_t SizeOf(const std::string& file) {
  std::error_code error;
  const uint64_t bytes = fs::file_size(file, error);
  return error ? 0 : bytes;
}

Status CheckRoom(const std::string& dir, uint64_t bytes) {
  struct statvfs disk {};
  if (::statvfs(dir.c_str(), &disk) != 0) {
    return Unavailable(
        fmt::format("cannot write to {}: {}", dir, std::generic_category().message(errno)));
  }
  const uint64_t free = uint64_t{disk.f_bavail} * disk.f_frsize;
  if (free >= bytes + kSpareBytes) return OkStatus();
  return {Code::kResourceExhausted,
          fmt::format("a backup needs about {} MB in {}, and {} MB are free", (bytes >> 20) + 1,
                      dir, free >> 20)};
}

std::string HostName() {
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  return host;
}

Result<Json> DescribeDatabase(const std::string& file, const Clock& clock) {
  WEIR_ASSIGN_OR_RETURN(const auto copy, store::Store::OpenReadOnly(file, clock));
  WEIR_ASSIGN_OR_RETURN(const int64_t schema, copy->Schema());
  WEIR_ASSIGN_OR_RETURN(const uint64_t epoch, copy->Epoch());
  WEIR_ASSIGN_OR_RETURN(const store::AuditHead head, copy->GetAuditHead());
  const std::string hash =
      ToHex({reinterpret_cast<const uint8_t*>(head.hash.data()), head.hash.size()});
  return Json{{"program", BuildVersion()},
              {"created_at", FormatTimeMs(clock.WallMs())},
              {"host", HostName()},
              {"schema", schema},
              {"wire", fmt::format("{}.{}", wire::kMajor, wire::kMinor)},
              {"revision", copy->last_revision()},
              {"epoch", epoch},
              {"audit", {{"rows", head.rows}, {"head", hash}}}};
}

void SyncNames(const std::string& dir) {
  const int fd = ::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

// Removes a file when it goes.
struct Passing {
  std::string path;
  ~Passing() { ::unlink(path.c_str()); }
};

}  // namespace

Result<Made> MakeBackup(const MakeOptions& options, const Clock& clock) {
  const std::string parent = fs::path(options.path).parent_path().string();
  const std::string dir = parent.empty() ? "." : parent;
  if (::access(options.path.c_str(), F_OK) == 0)
    return Status(Code::kAlreadyExists, options.path + " is there already");
  std::vector<Source> sources;
  AddFiles(options.data_dir, "", kMaxOtherFile, sources);
  AddFiles(options.data_dir + "/blobs", "blobs/", UINT64_MAX, sources);
  const std::string live = options.data_dir + "/" + kLiveDatabase;
  // The copy and its place in the archive; what the log holds may be in both.
  const uint64_t database_bytes = SizeOf(live) + SizeOf(live + "-wal");
  uint64_t total = 2 * database_bytes;
  for (const Source& source : sources) total += source.bytes;
  WEIR_RETURN_IF_ERROR(CheckRoom(dir, total));
  sources.clear();

  const Passing copy{options.path + ".db"};
  ::unlink(copy.path.c_str());  // of a process that was killed
  {
    WEIR_ASSIGN_OR_RETURN(const auto database, store::Store::OpenReadOnly(live, clock));
    WEIR_RETURN_IF_ERROR(database->Backup(copy.path, [&](uint64_t done, uint64_t) {
      if (options.progress) options.progress(done, total);
    }));
  }
  WEIR_ASSIGN_OR_RETURN(Json manifest, DescribeDatabase(copy.path, clock));
  // After the copy: every model that it names is there, and none ever goes.
  AddFiles(options.data_dir, "", kMaxOtherFile, sources);
  AddFiles(options.data_dir + "/blobs", "blobs/", UINT64_MAX, sources);
  const uint64_t copied = SizeOf(copy.path);
  sources.insert(sources.begin(), {kLiveDatabase, copy.path, copied});
  const std::string part = options.path + ".part";
  ::unlink(part.c_str());
  WEIR_ASSIGN_OR_RETURN(auto archive, ArchiveWriter::Create(part));
  uint64_t done = copied;
  for (const Source& source : sources) {
    WEIR_RETURN_IF_ERROR(archive->Add(source.name, source.file, [&](uint64_t bytes) {
      done += bytes;
      if (options.progress) options.progress(done, std::max(total, done));
    }));
  }
  WEIR_RETURN_IF_ERROR(archive->Finish(manifest));
  if (::rename(part.c_str(), options.path.c_str()) != 0) {
    const Status failed = Unavailable(fmt::format("cannot rename {} to {}: {}", part, options.path,
                                                  std::generic_category().message(errno)));
    ::unlink(part.c_str());
    return failed;
  }
  SyncNames(dir);
  return Made{std::move(manifest), SizeOf(options.path)};
}

}  // namespace weir::control::backup
