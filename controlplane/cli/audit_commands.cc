// SPDX-License-Identifier: Apache-2.0
// weir audit verify, telemetry audit.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "controlplane/backup/archive.h"
#include "controlplane/backup/audit_verdict.h"
#include "controlplane/cli/operator_commands.h"
#include "controlplane/cli/session.h"
#include "controlplane/store/store.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"

namespace weir::control::cli {
namespace {

using codec::Json;

// Telemetry
// ------------------------------------------------------------------------------------------------

void AuditTelemetry(Session& session, const std::string& node) {
  const Result<Json> answer = session.api().Get(
      "/v1/telemetry/audit" + (node.empty() ? "" : "?node=" + http::PercentEncode(node)));
  if (!answer.ok()) return session.Fail(answer.status());
  const bool agrees = answer->value("agrees", false);
  if (!agrees) session.No();
  if (session.PrintData(*answer)) return;
  std::vector<std::vector<std::string>> rows;
  for (const Json& row : (*answer)["items"]) {
    const bool is_told = row.value("state", "") != "silent";
    const auto told = [&](const char* field) { return is_told ? Text(row[field]) : "-"; };
    rows.push_back({Text(row["node"]), Text(row["started_at"]), Text(row["state"]), told("sent"),
                    Text(row["counted"]), Text(row["declared_lost"]), told("pending"),
                    told("merged"),
                    row.value("agrees", false) ? "yes" : "NO: " + Text(row["why"])});
  }
  PrintTable({"NODE", "STARTED", "STATE", "SENT", "COUNTED", "LOST", "PENDING", "MERGED", "AGREE"},
             rows);
  if (!rows.empty()) {
    std::fprintf(stderr, agrees ? "sent = counted + declared lost + pending, on every row\n"
                                : "the books do not agree\n");
  }
}

// The audit's chain
// ------------------------------------------------------------------------------------------------

// The answer of GET /v1/audit/verify, for a file and nobody's memory of it.
Result<Json> CheckFile(const std::string& file, const std::string& expected) {
  WEIR_ASSIGN_OR_RETURN(const auto store, store::Store::OpenReadOnly(file, Clock::System()));
  return backup::AuditVerdict(*store, {.expected_head = expected});
}

// The database of a backup, unpacked beside it for as long as it is looked at.
Result<Json> CheckBackup(const std::string& file, const std::string& expected) {
  const std::string scratch = file + ".audit." + RandomHex(4);
  std::FILE* out = nullptr;
  const Result<Json> manifest =
      backup::ReadArchive(file, [&](const backup::Part& part) -> Result<backup::Take> {
        if (part.name != "weir.db") return backup::Take();
        out = std::fopen(scratch.c_str(), "wxe");
        if (out == nullptr) return Unavailable("cannot create " + scratch);
        return backup::Take([&](std::string_view bytes) {
          return std::fwrite(bytes.data(), 1, bytes.size(), out) == bytes.size()
                     ? OkStatus()
                     : Unavailable("cannot write " + scratch);
        });
      });
  if (out != nullptr) std::fclose(out);
  Result<Json> view = manifest.ok() ? CheckFile(scratch, expected) : manifest;
  ::unlink(scratch.c_str());
  return view;
}

void PrintVerdict(const Json& view, const std::string& expected) {
  if (view.value("intact", false)) {
    std::printf("the audit is intact: %s rows\nhead %s\n", Text(view["rows"]).c_str(),
                Text(view["head"]).c_str());
  } else {
    std::printf("THE AUDIT IS BROKEN: %s\nintact up to row %s, head %s\n",
                Text(view.value("problem", Json())).c_str(), Text(view["rows"]).c_str(),
                Text(view["head"]).c_str());
  }
  if (view.contains("expected_row")) {
    std::printf("%s\n", view["expected_row"].is_null()
                            ? ("THE EXPECTED HEAD " + expected + " IS NOT IN THE CHAIN").c_str()
                            : ("the expected head is row " + Text(view["expected_row"])).c_str());
  }
  std::vector<std::vector<std::string>> rows;
  for (const Json& node : view.value("nodes", Json::array())) {
    const std::string verdict = node.value("verdict", "");
    rows.push_back({Text(node["node"]), Text(node["epoch"]), Text(node["rows"]),
                    Text(node["head"]).substr(0, 16),
                    verdict == "differs"     ? "DIFFERS: " + Text(node["why"])
                    : verdict == "explained" ? "explained: " + Text(node["why"])
                                             : verdict});
  }
  if (rows.empty()) return;
  std::printf("\nwhat nodes heard\n");
  PrintTable({"NODE", "EPOCH", "ROWS", "HEAD", "HERE"}, rows);
}

struct VerifyOptions {
  std::string expected, data_dir, backup;
};

void VerifyAudit(Session& session, const VerifyOptions& options) {
  const bool is_offline = !options.data_dir.empty() || !options.backup.empty();
  const Result<Json> view =
      !options.data_dir.empty() ? CheckFile(options.data_dir + "/weir.db", options.expected)
      : !options.backup.empty()
          ? CheckBackup(options.backup, options.expected)
          : session.api().Get("/v1/audit/verify" +
                              (options.expected.empty() ? "" : "?expect_head=" + options.expected));
  if (!view.ok()) {
    if (is_offline) return session.FailAs(kExitNo, view.status().ToString());
    return session.Fail(view.status());
  }
  if (!backup::IsIntact(*view)) session.No();
  if (!session.PrintData(*view)) PrintVerdict(*view, options.expected);
}

}  // namespace

void AddAuditCommands(CLI::App& app, Session& session) {
  auto node = std::make_shared<std::string>();
  CLI::App* telemetry = app.add_subcommand("telemetry", "What nodes report, and whether it came");
  telemetry->require_subcommand(1);
  CLI::App* books = telemetry->add_subcommand(
      "audit",
      "Per start of a node: batches sent, counted, declared lost, pending; exit 1 when the books "
      "do not agree");
  books->add_option("--node", *node, "Only this one");
  books->callback([&session, node] { AuditTelemetry(session, *node); });

  auto options = std::make_shared<VerifyOptions>();
  CLI::App* audit = app.add_subcommand("audit", "The trail of everything that was done");
  audit->require_subcommand(1);
  CLI::App* verify = audit->add_subcommand("verify",
                                           "Recompute the trail's chain of hashes, and compare it "
                                           "with what live nodes heard of it; exit "
                                           "1 when it was changed");
  verify
      ->add_option("--expect-head", options->expected,
                   "A head that was written down: it must be "
                   "in the chain")
      ->check([](const std::string& text) {
        const bool is_hash =
            text.size() == 64 && text.find_first_not_of("0123456789abcdef") == text.npos;
        return is_hash ? "" : "is not 64 lower-case hex digits";
      });
  CLI::Option* dir =
      verify->add_option("--data-dir", options->data_dir, "Of this directory instead");
  verify->add_option("--backup", options->backup, "Of this backup instead")->excludes(dir);
  verify->footer(
      "Examples:\n  weir audit verify\n  weir audit verify --data-dir /var/lib/weir\n"
      "  weir audit verify --backup weir.tar --expect-head HASH");
  verify->callback([&session, options] { VerifyAudit(session, *options); });
}

}  // namespace weir::control::cli
