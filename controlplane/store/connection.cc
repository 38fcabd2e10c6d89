// SPDX-License-Identifier: Apache-2.0
#include "controlplane/store/connection.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "controlplane/store/schema.h"
#include "shared/base/text.h"

namespace weir::control::store {
namespace {

constexpr int kBusyTimeoutMs = 1000;
constexpr int kBackupPages = 1024;  // between two words on the progress

const std::string kNoHash(crypto_hash_sha256_BYTES, '\0');

}  // namespace

// Query
// ------------------------------------------------------------------------------------------------

Query::~Query() { statement_.tryReset(); }

Query& Query::Bind(const std::string& text) {
  statement_.bind(++bound_, text);
  return *this;
}

Query& Query::Bind(int64_t number) {
  statement_.bind(++bound_, number);
  return *this;
}

Query& Query::Bind(double number) {
  statement_.bind(++bound_, number);
  return *this;
}

Query& Query::BindBlob(std::string_view bytes) {
  statement_.bind(++bound_, bytes.data(), static_cast<int>(bytes.size()));
  return *this;
}

// Opening
// ------------------------------------------------------------------------------------------------

Store::Connection::Connection(std::string data_dir, std::string path, const Clock& clock)
    : data_dir_(std::move(data_dir)), path_(std::move(path)), clock_(clock) {}

Store::Connection::~Connection() {
  statements_.clear();
  database_.reset();
  if (lock_fd_ >= 0) ::close(lock_fd_);
}

Result<std::unique_ptr<Store::Connection>> Store::Connection::Open(const std::string& data_dir,
                                                                   const Clock& clock) {
  WEIR_RETURN_IF_ERROR(MakeDirectories(data_dir));
  std::unique_ptr<Connection> self(new Connection(data_dir, data_dir + "/weir.db", clock));
  WEIR_RETURN_IF_ERROR(self->LockDirectory());
  if (const std::string unfinished = data_dir + "/" + kRestoreDir;
      ::access(unfinished.c_str(), F_OK) == 0) {
    return FailedPrecondition(
        fmt::format("a restore into {} was not finished ({} is there): run "
                    "weir restore again, with --force",
                    data_dir, unfinished));
  }
  WEIR_RETURN_IF_ERROR(self->OpenFile());
  const auto in_file = [&](Status (Connection::*step)()) {
    return self->Read([&] { return (self.get()->*step)(); });
  };
  WEIR_RETURN_IF_ERROR(in_file(&Connection::CheckIdentity));
  WEIR_RETURN_IF_ERROR(in_file(&Connection::CheckIntegrity));
  WEIR_RETURN_IF_ERROR(in_file(&Connection::Migrate));
  WEIR_RETURN_IF_ERROR(in_file(&Connection::LoadLastRevision));
  return self;
}

Result<std::unique_ptr<Store::Connection>> Store::Connection::OpenReadOnly(const std::string& file,
                                                                           const Clock& clock) {
  if (::access(file.c_str(), F_OK) != 0) return NotFound(fmt::format("there is no {}", file));
  const size_t slash = file.rfind('/');
  std::unique_ptr<Connection> self(
      new Connection(slash == std::string::npos ? "." : file.substr(0, slash), file, clock));
  WEIR_RETURN_IF_ERROR(self->Read([&] {
    self->database_ =
        std::make_unique<SQLite::Database>(file, SQLite::OPEN_READONLY, kBusyTimeoutMs);
    return OkStatus();
  }));
  WEIR_RETURN_IF_ERROR(self->Read([&] { return self->CheckIdentity(); }));
  WEIR_RETURN_IF_ERROR(self->Read([&] { return self->LoadLastRevision(); }));
  return self;
}

Status Store::Connection::LoadLastRevision() {
  last_revision_ = static_cast<uint64_t>(Pragma("SELECT ifnull(max(number), 0) FROM revisions"));
  return OkStatus();
}

Status Store::Connection::LockDirectory() {
  const std::string path = data_dir_ + "/weir.lock";
  lock_fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_fd_ < 0) return Unavailable(fmt::format("cannot open {}: {}", path, strerror(errno)));
  if (::flock(lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    const Result<std::string> pid = ReadFile(path);
    return FailedPrecondition(fmt::format("another control plane{} uses the data directory {}",
                                          pid.ok() && !pid->empty() ? " (pid " + *pid + ")" : "",
                                          data_dir_));
  }
  // Only a hint for the message above; the lock is what counts.
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(lock_fd_, 0) != 0 || ::pwrite(lock_fd_, pid.data(), pid.size(), 0) < 0) {
    return {errno == ENOSPC ? Code::kResourceExhausted : Code::kUnavailable,
            fmt::format("cannot write {}: {}", path, strerror(errno))};
  }
  return OkStatus();
}

Status Store::Connection::OpenFile() {
  const int fd = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Unavailable(fmt::format("cannot open {}: {}", path_, strerror(errno)));
  ::close(fd);
  return Read([&] {
    database_ = std::make_unique<SQLite::Database>(path_, SQLite::OPEN_READWRITE, kBusyTimeoutMs);
    return OkStatus();
  });
}

int64_t Store::Connection::Pragma(const char* sql) { return database_->execAndGet(sql).getInt64(); }

Status Store::Connection::CheckIdentity() {
  const int64_t id = Pragma("PRAGMA application_id");
  const int64_t version = Pragma("PRAGMA user_version");
  const int64_t tables = Pragma("SELECT count(*) FROM sqlite_master");
  if (id != kApplicationId && (id != 0 || version != 0 || tables != 0)) {
    return FailedPrecondition(
        fmt::format("{} is not a database of Weir (application_id {})", path_, id));
  }
  const auto known = static_cast<int64_t>(Migrations().size());
  if (version > known) {
    return FailedPrecondition(
        fmt::format("{} has schema version {}, this program knows versions up to {}: start a newer "
                    "weir-control, or restore a backup",
                    path_, version, known));
  }
  return OkStatus();
}

Status Store::Connection::CheckIntegrity() {
  std::string verdict = database_->execAndGet("PRAGMA quick_check(1)").getString();
  if (verdict == "ok") return OkStatus();
  std::replace(verdict.begin(), verdict.end(), '\n', ' ');  // it is told in one line
  return DataLoss(fmt::format("{} is damaged: {}", path_, verdict));
}

Status Store::Connection::Migrate() {
  // foreign_keys is per connection and cannot change inside a transaction.
  database_->exec("PRAGMA foreign_keys = ON");
  const std::string mode = database_->execAndGet("PRAGMA journal_mode = WAL").getString();
  if (mode != "wal") return Internal(fmt::format("{} cannot use a WAL (mode {})", path_, mode));
  database_->exec("PRAGMA synchronous = FULL");
  const auto migrations = Migrations();
  const auto version = static_cast<size_t>(Pragma("PRAGMA user_version"));
  if (version == migrations.size()) return OkStatus();
  if (version > 0) {
    std::string time = FormatTimeMs(clock_.WallMs());
    std::erase_if(time, [](char c) { return c == '-' || c == ':'; });
    WEIR_RETURN_IF_ERROR(Backup(fmt::format("{}.v{}.{}.bak", path_, version, time)));
  }
  return Write([&] {
    for (size_t step = version; step < migrations.size(); ++step) database_->exec(migrations[step]);
    database_->exec(fmt::format("PRAGMA user_version = {}", migrations.size()));
    database_->exec(fmt::format("PRAGMA application_id = {}", kApplicationId));
    return OkStatus();
  });
}

// Using
// ------------------------------------------------------------------------------------------------

Query Store::Connection::Prepare(const char* sql) {
  const auto [at, fresh] = statements_.try_emplace(sql, *database_, sql);
  return Query(at->second);
}

Status Store::Connection::StatusOf(const std::exception& error) const {
  const auto* sqlite = dynamic_cast<const SQLite::Exception*>(&error);
  if (sqlite == nullptr) return Internal(fmt::format("{}: {}", path_, error.what()));
  const int os_error = database_ == nullptr ? 0 : sqlite3_system_errno(database_->getHandle());
  const std::string text = fmt::format("{}: {}", path_, sqlite->what());
  switch (sqlite->getErrorCode() & 0xff) {
    case SQLITE_FULL:
      return {Code::kResourceExhausted, text};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Unavailable(text);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return DataLoss(fmt::format("{} is damaged: {}", path_, sqlite->what()));
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM: {
      const bool full = os_error == ENOSPC || os_error == EDQUOT || os_error == EFBIG;
      return {full ? Code::kResourceExhausted : Code::kUnavailable,
              os_error == 0 ? text : fmt::format("{} ({})", text, strerror(os_error))};
    }
    default:
      return Internal(text);
  }
}

void Store::Connection::Audit(int64_t at_wall_ms, const std::string& actor,
                              const std::string& action, const std::string& detail) {
  int64_t seq = 1;
  std::string previous = kNoHash;
  {
    Query last = Prepare("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1");
    if (last.Step()) {
      seq = last.Number(0) + 1;
      previous = last.Text(1);
    }
  }
  Prepare("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)")
      .Bind(seq)
      .Bind(at_wall_ms)
      .Bind(actor)
      .Bind(action)
      .Bind(detail)
      .BindBlob(AuditHash(previous, seq, at_wall_ms, actor, action, detail))
      .Run();
}

Status Store::Connection::Backup(const std::string& path, const Progress& progress) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) {
    const Code code = errno == EEXIST   ? Code::kAlreadyExists
                      : errno == ENOSPC ? Code::kResourceExhausted
                                        : Code::kUnavailable;
    return {code, fmt::format("cannot create the backup {}: {}", path, strerror(errno))};
  }
  ::close(fd);
  Status copied = ReadAtOnce([&] {
    SQLite::Database copy(path, SQLite::OPEN_READWRITE);
    const auto page = static_cast<uint64_t>(Pragma("PRAGMA page_size"));
    {
      SQLite::Backup backup(copy, *database_);
      while (backup.executeStep(kBackupPages) != SQLITE_DONE) {
        const auto total = static_cast<uint64_t>(backup.getTotalPageCount());
        const auto left = static_cast<uint64_t>(backup.getRemainingPageCount());
        if (progress) progress((total - left) * page, total * page);
      }
    }
    copy.execAndGet("PRAGMA journal_mode = DELETE");  // whole without files beside it
    return OkStatus();
  });
  if (copied.ok()) return copied;
  ::unlink(path.c_str());
  return {copied.code(), fmt::format("cannot write the backup {}: {}", path, copied.message())};
}

// Hashes
// ------------------------------------------------------------------------------------------------

FieldHash::FieldHash() { crypto_hash_sha256_init(&sha_); }

FieldHash& FieldHash::Add(std::string_view field) {
  const uint64_t size = field.size();
  uint8_t length[8];
  for (int i = 0; i < 8; ++i) length[i] = static_cast<uint8_t>(size >> (56 - 8 * i));
  crypto_hash_sha256_update(&sha_, length, sizeof length);
  crypto_hash_sha256_update(&sha_, reinterpret_cast<const uint8_t*>(field.data()), field.size());
  return *this;
}

std::string FieldHash::Raw() {
  std::string raw(crypto_hash_sha256_BYTES, '\0');
  crypto_hash_sha256_final(&sha_, reinterpret_cast<uint8_t*>(raw.data()));
  return raw;
}

std::string AuditHash(const std::string& previous, int64_t seq, int64_t at_wall_ms,
                      const std::string& actor, const std::string& action,
                      const std::string& detail) {
  return FieldHash()
      .Add(previous)
      .Add(seq)
      .Add(at_wall_ms)
      .Add(actor)
      .Add(action)
      .Add(detail)
      .Raw();
}

}  // namespace weir::control::store
