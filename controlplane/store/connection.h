// SPDX-License-Identifier: Apache-2.0
// The store's one SQLite connection: opening, checking and migrating the file, transactions,
// prepared statements, and the translation of SQLite's errors. Private to the module; exceptions of
// SQLiteCpp end in Read and Write.
#pragma once

#include <SQLiteCpp/Backup.h>
#include <SQLiteCpp/SQLiteCpp.h>
#include <sodium.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/store/store.h"
#include "shared/base/clock.h"
#include "shared/base/status.h"

namespace weir::control::store {

// One use of a prepared statement: bind in order, then step. Resets it when it goes.
class Query {
 public:
  explicit Query(SQLite::Statement& statement) : statement_(statement) {}
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  Query& Bind(const std::string& text);
  Query& Bind(int64_t number);
  Query& Bind(uint64_t number) { return Bind(static_cast<int64_t>(number)); }
  Query& Bind(double number);
  Query& BindBlob(std::string_view bytes);
  // True while there is a row.
  bool Step() { return statement_.executeStep(); }
  // Runs a statement without rows; returns how many rows it changed.
  int Run() { return statement_.exec(); }
  std::string Text(int column) { return statement_.getColumn(column).getString(); }
  int64_t Number(int column) { return statement_.getColumn(column).getInt64(); }
  double Real(int column) { return statement_.getColumn(column).getDouble(); }
  uint64_t Unsigned(int column) { return static_cast<uint64_t>(Number(column)); }

 private:
  SQLite::Statement& statement_;
  int bound_ = 0;
};

class Store::Connection {
 public:
  static Result<std::unique_ptr<Connection>> Open(const std::string& data_dir, const Clock& clock);
  static Result<std::unique_ptr<Connection>> OpenReadOnly(const std::string& file,
                                                          const Clock& clock);
  ~Connection();

  const std::string& data_dir() const { return data_dir_; }
  uint64_t last_revision() const { return last_revision_; }
  void set_last_revision(uint64_t revision) { last_revision_ = revision; }
  const Clock& clock() const { return clock_; }

  // `sql` is a literal: statements are kept by its text.
  Query Prepare(const char* sql);

  // Runs body() → Status; an exception becomes one.
  template <class Body>
  Status Read(const Body& body) {
    try {
      return body();
    } catch (const std::exception& e) {
      return StatusOf(e);
    }
  }
  // The same in a transaction, which a failed Status rolls back.
  template <class Body>
  Status Write(const Body& body) {
    return Read([&]() -> Status {
      SQLite::Transaction transaction(*database_, SQLite::TransactionBehavior::IMMEDIATE);
      WEIR_RETURN_IF_ERROR(body());
      transaction.commit();
      return OkStatus();
    });
  }

  // The same over one moment's state, whatever others write meanwhile.
  template <class Body>
  Status ReadAtOnce(const Body& body) {
    return Read([&]() -> Status {
      SQLite::Transaction transaction(*database_);  // deferred: a read transaction
      return body();
    });
  }

  // Appends to the hash chain; inside a Write.
  void Audit(int64_t at_wall_ms, const std::string& actor, const std::string& action,
             const std::string& detail);

  const std::string& path() const { return path_; }
  int64_t Pragma(const char* sql);
  Status Backup(const std::string& path, const Progress& progress = {});

 private:
  Connection(std::string data_dir, std::string path, const Clock& clock);
  Status LoadLastRevision();
  Status LockDirectory();
  Status OpenFile();
  Status CheckIdentity();
  Status CheckIntegrity();
  Status Migrate();
  Status StatusOf(const std::exception& error) const;

  const std::string data_dir_;
  const std::string path_;
  const Clock& clock_;
  int lock_fd_ = -1;
  std::unique_ptr<SQLite::Database> database_;
  std::map<std::string_view, SQLite::Statement> statements_;  // destroyed before the database
  uint64_t last_revision_ = 0;
};

// SHA-256 over fields, each with its length before it, so that no two lists of fields look alike.
class FieldHash {
 public:
  FieldHash();
  FieldHash& Add(std::string_view field);
  FieldHash& Add(int64_t number) { return Add(std::to_string(number)); }
  std::string Raw();  // 32 bytes; once

 private:
  crypto_hash_sha256_state sha_;
};

// What the audit says about a commit.
std::string CommitDetail(const RevisionRow& row);

// The hash of an audit row, given that of the row before.
std::string AuditHash(const std::string& previous, int64_t seq, int64_t at_wall_ms,
                      const std::string& actor, const std::string& action,
                      const std::string& detail);

}  // namespace weir::control::store
