// SPDX-License-Identifier: Apache-2.0
// weir backup FILE, backup list, backup verify, restore.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

#include "controlplane/backup/restore.h"
#include "controlplane/cli/operator_commands.h"
#include "controlplane/cli/session.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"

namespace weir::control::cli {
namespace {

using codec::Json;

constexpr uint64_t kPieceBytes = 4 << 20;
constexpr int64_t kPollMs = 50;

std::string Megabytes(uint64_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

// A line on stderr that is written over where that is a terminal, and silent where it is not.
class CountLine {
 public:
  explicit CountLine(const char* what) : what_(what) {}
  ~CountLine() {
    if (is_shown_) std::fprintf(stderr, "\r\x1b[K");
  }
  void Show(uint64_t done, uint64_t total) {
    const int64_t now_ms = Clock::System().MonotonicMs();
    if (!is_terminal_ || now_ms < next_ms_) return;
    next_ms_ = now_ms + 100;
    is_shown_ = true;
    std::fprintf(stderr, "\r\x1b[K%s: %s of %s", what_, Megabytes(done).c_str(),
                 Megabytes(total).c_str());
  }

 private:
  const char* const what_;
  const bool is_terminal_ = ::isatty(STDERR_FILENO) != 0;
  bool is_shown_ = false;
  int64_t next_ms_ = 0;
};

std::string Describe(const Json& manifest) {
  size_t blobs = 0;
  uint64_t bytes = 0;
  for (const Json& part : manifest.value("parts", Json::array())) {
    blobs += part.value("name", "").starts_with("blobs/") ? 1 : 0;
    bytes += part.value("bytes", uint64_t{0});
  }
  const Json audit = manifest.value("audit", Json::object());
  return fmt::format(
      "of {} on {}: weir {}, revision {}, epoch {}, schema {}, {} model files, {}\n"
      "audit: {} rows, head {}",
      Text(manifest.value("created_at", Json())), Text(manifest.value("host", Json())),
      Text(manifest.value("program", Json())), Text(manifest.value("revision", Json())),
      Text(manifest.value("epoch", Json())), Text(manifest.value("schema", Json())), blobs,
      Megabytes(bytes), Text(audit.value("rows", Json())), Text(audit.value("head", Json())));
}

// Until the control plane has made it, or says why it cannot.
Result<Json> WaitUntilMade(Session& session, Json job) {
  const std::string target = "/v1/backup/" + job.value("id", "");
  const int64_t deadline_ms = Clock::System().MonotonicMs() + session.timeout_ms();
  CountLine line("the control plane makes it");
  while (job.value("state", "") == "running") {
    if (session.is_timeout_given && Clock::System().MonotonicMs() > deadline_ms) {
      return Status(Code::kUnavailable,
                    fmt::format("the backup was not made within {}", session.timeout));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(kPollMs));
    WEIR_ASSIGN_OR_RETURN(job, session.api().Get(target));
    line.Show(job.value("done_bytes", uint64_t{0}), job.value("total_bytes", uint64_t{0}));
  }
  if (job.value("state", "") != "ready")
    return Unavailable("the control plane made no backup: " + job.value("error", "?"));
  return job;
}

Status FileError(const std::string& path) {
  return Unavailable(fmt::format("cannot write {}: {}", path, std::strerror(errno)));
}

Status Fetch(Session& session, const Json& job, int fd, const std::string& path) {
  const uint64_t total = job.value("bytes", uint64_t{0});
  CountLine line("fetching");
  for (uint64_t offset = 0; offset < total;) {
    std::string piece;
    WEIR_RETURN_IF_ERROR(session.api().Stream(fmt::format("/v1/backup/{}/data?offset={}&bytes={}",
                                                          job.value("id", ""), offset, kPieceBytes),
                                              {}, [&piece](std::string_view bytes) {
                                                piece += bytes;
                                                return true;
                                              }));
    if (piece.empty()) return DataLoss("the control plane's file ends too early");
    for (size_t done = 0; done < piece.size();) {
      const ssize_t wrote = ::write(fd, piece.data() + done, piece.size() - done);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return FileError(path);
      done += static_cast<size_t>(wrote);
    }
    offset += piece.size();
    line.Show(offset, total);
  }
  return ::fsync(fd) == 0 ? OkStatus() : FileError(path);
}

// The file appears under its name once it is whole and was read back.
Result<Json> FetchInto(Session& session, const Json& job, const std::string& file) {
  const std::string part = file + ".part";
  ::unlink(part.c_str());
  const int fd = ::open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return FileError(part);
  Status status = Fetch(session, job, fd, part);
  ::close(fd);
  Result<Json> manifest = Json();
  if (!status.ok()) {
    manifest = status;
  } else {
    CountLine line("checking");
    manifest = backup::ReadArchive(part, {},
                                   [&](uint64_t done, uint64_t total) { line.Show(done, total); });
  }
  if (manifest.ok() && ::rename(part.c_str(), file.c_str()) != 0) manifest = FileError(file);
  if (!manifest.ok()) ::unlink(part.c_str());
  return manifest;
}

void MakeBackup(Session& session, const std::string& file, const std::string& reason, bool force) {
  if (file.empty()) return session.FailAs(kExitUsage, "weir backup needs a FILE, list or verify");
  if (!force && ::access(file.c_str(), F_OK) == 0)
    return session.FailAs(kExitNo, file + " is there already; --force replaces it");
  const Result<Json> begun = session.api().Send("POST", "/v1/backup", {{"reason", reason}});
  if (!begun.ok()) return session.Fail(begun.status());
  const Result<Json> job = WaitUntilMade(session, *begun);
  if (!job.ok()) return session.Fail(job.status());
  const Result<Json> manifest = FetchInto(session, *job, file);
  const Result<Json> dropped =
      session.api().Send("DELETE", "/v1/backup/" + job->value("id", ""), Json());
  if (!manifest.ok()) return session.FailAs(kExitNo, manifest.status().ToString());
  if (!dropped.ok()) std::fprintf(stderr, "warning: %s\n", dropped.status().ToString().c_str());
  if (session.PrintData(*manifest)) return;
  std::printf("%s\n%s\n", file.c_str(), Describe(*manifest).c_str());
  std::fprintf(stderr, "it holds the control plane's keys: keep it as you keep them\n");
}

void ListBackups(Session& session) {
  const Result<Json> answer = session.api().Get("/v1/backups");
  if (!answer.ok()) return session.Fail(answer.status());
  if (session.PrintData(*answer)) return;
  const Json& list = *answer;
  if (list.value("dir", "").empty()) {
    std::fprintf(stderr, "none are made automatically: weir-control --backup-dir DIR\n");
  } else {
    std::fprintf(
        stderr, "in %s, every %s; %s kept%s; the next at %s\n", Text(list["dir"]).c_str(),
        Text(list["every"]).c_str(),
        list.value("keep", 0) == 0 ? "all" : Text(list["keep"]).c_str(),
        list.value("keep_for", "0s") == "0s" ? "" : (" for " + Text(list["keep_for"])).c_str(),
        Text(list["next_at"]).c_str());
  }
  if (list.contains("last_error"))
    std::fprintf(stderr, "the last one failed: %s\n", Text(list["last_error"]).c_str());
  std::vector<std::vector<std::string>> rows;
  for (const Json& item : list["items"]) {
    rows.push_back({Text(item["file"]), Text(item["created_at"]),
                    Megabytes(item.value("bytes", uint64_t{0})), Text(item["revision"])});
  }
  PrintTable({"FILE", "CREATED", "SIZE", "REVISION"}, rows);
}

void Verify(Session& session, const std::string& file) {
  const std::string scratch = file + ".verify." + RandomHex(4);
  Result<Json> manifest = [&] {
    CountLine line("checking");
    return backup::VerifyBackup(file, scratch, Clock::System(),
                                [&](uint64_t done, uint64_t total) { line.Show(done, total); });
  }();
  if (!manifest.ok()) return session.FailAs(kExitNo, manifest.status().ToString());
  if (session.PrintData(*manifest)) return;
  std::printf("%s is whole\n%s\n", file.c_str(), Describe(*manifest).c_str());
}

void RestoreFrom(Session& session, const std::string& file, const std::string& data_dir,
                 bool force) {
  backup::RestoreOptions options;
  options.file = file;
  options.data_dir = data_dir;
  options.force = force;
  options.actor = UserAtHost();
  Result<backup::Restored> restored = [&] {
    CountLine line("restoring");
    options.progress = [&](uint64_t done, uint64_t total) { line.Show(done, total); };
    return backup::Restore(options, Clock::System());
  }();
  if (!restored.ok()) return session.FailAs(kExitNo, restored.status().ToString());
  if (restored->clock_is_behind) {
    std::fprintf(stderr,
                 "warning: this machine's clock is behind the backup's epoch; nodes that heard a "
                 "later one refuse this control plane until the clock is set\n");
  }
  if (session.PrintData({{"data_dir", data_dir},
                         {"replaced", restored->replaced},
                         {"manifest", restored->manifest}}))
    return;
  std::printf("restored into %s\n%s\n", data_dir.c_str(), Describe(restored->manifest).c_str());
  if (!restored->replaced.empty())
    std::printf("what was there is in %s\n", restored->replaced.c_str());
  std::printf("next: weir-control --data-dir %s; it leads as a new epoch, and nodes follow it\n",
              data_dir.c_str());
}

}  // namespace

void AddBackupCommands(CLI::App& app, Session& session) {
  struct Options {
    std::string file, verified, reason, data_dir;
    bool force = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* backup = app.add_subcommand(
      "backup", "The control plane's database, keys and models in one file, while it runs");
  backup->add_option("file", options->file, "Where it is written; or list, or verify");
  backup->add_option("--reason", options->reason, "Why; shown in the audit");
  backup->add_flag("--force", options->force, "Replace the file");
  backup->footer(
      "Examples:\n  weir backup weir.tar\n  weir backup verify weir.tar\n  weir backup list");
  CLI::App* list = backup->add_subcommand("list", "Those that are made automatically");
  list->callback([&session] { ListBackups(session); });
  CLI::App* verify = backup->add_subcommand("verify", "Check a file as a restore would; offline");
  verify->add_option("file", options->verified, "Which")->required();
  verify->callback([&session, options] { Verify(session, options->verified); });
  backup->callback([&session, options, backup] {
    if (!backup->get_subcommands().empty()) return;
    MakeBackup(session, options->file, options->reason, options->force);
  });

  CLI::App* restore = app.add_subcommand(
      "restore",
      "Put a backup into a data directory, from which weir-control then starts; offline");
  restore->add_option("file", options->file, "The backup")->required();
  restore->add_option("--data-dir", options->data_dir, "An empty directory, or a new one")
      ->required();
  restore->add_flag("--force", options->force, "Put aside what is in it");
  restore->callback([&session, options] {
    RestoreFrom(session, options->file, options->data_dir, options->force);
  });
}

}  // namespace weir::control::cli
