// SPDX-License-Identifier: Apache-2.0
// weir upgrade check.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <charconv>
#include <cstdio>
#include <filesystem>

#include "controlplane/cli/operator_commands.h"
#include "controlplane/cli/session.h"
#include "controlplane/store/store.h"
#include "shared/base/build_info.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "shared/wire/frame.h"

namespace weir::control::cli {
namespace {

using codec::Json;

constexpr int64_t kBackupIsOldMs = 86'400'000;
constexpr uint64_t kPendingIsMany = 8;  // batches that a node waits for: it is cut off, or behind

struct Advice {
  const char* verdict;  // ok | note | BAD
  std::string what;
  std::string remedy{};
};

// major, minor, patch; zeros for what is no number.
std::array<int, 3> Numbers(const std::string& version) {
  std::array<int, 3> numbers{};
  const char* at = version.data();
  const char* end = at + version.size();
  for (int& number : numbers) {
    const auto read = std::from_chars(at, end, number);
    at = read.ptr == end ? end : read.ptr + 1;
  }
  return numbers;
}

// One minor apart, either way, is what is tested.
bool AreNeighbours(const std::string& a, const std::string& b) {
  const auto left = Numbers(a);
  const auto right = Numbers(b);
  return left[0] == right[0] && std::abs(left[1] - right[1]) <= 1;
}

Advice CheckSchema(int64_t version) {
  const int64_t known = store::Store::KnownSchema();
  if (version > known) {
    return {"BAD",
            fmt::format("the database has schema {}, version {} knows up to {}: it would not start",
                        version, BuildVersion(), known),
            "a newer version, or a backup from before"};
  }
  if (version == known)
    return {"ok", fmt::format("the database's schema {} is this version's", version)};
  return {
      "note",
      fmt::format("the database's schema {} becomes {} at the first start, after a copy to "
                  "weir.db.v{}.<time>.bak; the version before opens only that copy, or a backup",
                  version, known, version),
      "weir backup FILE"};
}

void CheckVersions(const Json& facts, std::vector<Advice>& findings) {
  const std::string running = Text(facts["build"]);
  const std::string mine = BuildVersion();
  if (!AreNeighbours(running, mine)) {
    findings.push_back(
        {"BAD", fmt::format("the control plane is {}: more than one minor from {}", running, mine),
         "upgrade by one minor at a time"});
  } else if (Numbers(running) == Numbers(mine)) {
    findings.push_back({"ok", fmt::format("the control plane is {} already", running)});
  } else {
    findings.push_back(
        {"note",
         fmt::format("the control plane is {}: upgrade it first, nodes after it", running)});
  }
  const std::string wire = fmt::format("{}.{}", wire::kMajor, wire::kMinor);
  const std::string theirs = Text(facts["wire"]);
  const bool is_major_same = Numbers(theirs)[0] == Numbers(wire)[0];
  findings.push_back({is_major_same ? "ok" : "BAD",
                      fmt::format("wire {} there, {} here{}", theirs, wire,
                                  is_major_same ? "" : ": nodes of one refuse the other")});
  for (const Json& node : facts["nodes"]) {
    const std::string program = Text(node["program"]);
    if (node.value("state", "") == "gone" || Numbers(program) == Numbers(mine)) continue;
    const bool is_near = AreNeighbours(program, mine);
    const bool is_told = node.value("can_cordon", false);
    const std::string id = Text(node["id"]);
    const std::string remedy =
        is_told ? fmt::format(
                      "weir node drain {} --wait, then stop it, upgrade it, start it, and "
                      "weir node uncordon {}",
                      id, id)
                : fmt::format(
                      "take {} out of its balancer by hand, or stop it with --drain-delay: "
                      "{} cannot be told to drain",
                      id, program);
    findings.push_back(
        {is_near ? "note" : "BAD",
         fmt::format("node {} is {}{}", id, program,
                     is_near ? "" : fmt::format(": more than one minor from {}", mine)),
         remedy});
  }
}

void CheckState(const Json& facts, std::vector<Advice>& findings) {
  for (const Json& rollout : facts["rollouts"]) {
    findings.push_back({"BAD",
                        fmt::format("rollout {} is {}: it would be judged across the restarts",
                                    Text(rollout["name"]), Text(rollout["state"])),
                        "weir rollout pause " + Text(rollout["name"]) + ", or wait for its end"});
  }
  size_t live = 0;
  for (const Json& node : facts["nodes"]) {
    const std::string state = node.value("state", "");
    live += state == "gone" ? 0 : 1;
    if (state != "ready" && state != "gone" && state != "draining") {
      findings.push_back({"BAD", fmt::format("node {} is {}", Text(node["id"]), state),
                          "weir node show " + Text(node["id"])});
    }
    const uint64_t pending = node.value("pending_batches", uint64_t{0});
    if (state != "gone" && pending > kPendingIsMany) {
      findings.push_back({"BAD",
                          fmt::format("node {} has {} batches of telemetry that are not stored",
                                      Text(node["id"]), pending),
                          "weir telemetry audit"});
    }
  }
  if (live == 1)
    findings.push_back({"note", "there is one node: while it restarts, nobody serves"});
}

void CheckRoom(const Json& facts, std::vector<Advice>& findings) {
  const Json& backup = facts["backup"];
  if (!backup.contains("age_ms")) {
    findings.push_back({"BAD", "no backup is known", "weir backup FILE"});
  } else {
    const int64_t age_ms = backup["age_ms"].get<int64_t>();
    findings.push_back(
        {age_ms > kBackupIsOldMs ? "BAD" : "ok",
         fmt::format("the last backup is {} old", FormatDurationMs(age_ms / 1000 * 1000)),
         age_ms > kBackupIsOldMs ? "weir backup FILE" : ""});
  }
  const Json& disk = facts["disk"];
  const uint64_t free = disk.value("free_bytes", uint64_t{0});
  const uint64_t needed = 2 * disk.value("database_bytes", uint64_t{0}) + (64 << 20);
  findings.push_back({free >= needed ? "ok" : "BAD",
                      fmt::format("{} MB are free in {}; a migration may need {}", free >> 20,
                                  Text(disk["dir"]), needed >> 20),
                      free >= needed ? "" : "make room first"});
}

void Print(Session& session, const std::vector<Advice>& findings) {
  bool is_safe = true;
  Json items = Json::array();
  for (const Advice& finding : findings) {
    const bool is_bad = std::string_view(finding.verdict) == "BAD";
    is_safe = is_safe && !is_bad;
    items.push_back({{"verdict", is_bad ? "bad" : finding.verdict},
                     {"what", finding.what},
                     {"remedy", finding.remedy}});
  }
  if (!is_safe) session.No();
  if (session.PrintData({{"version", BuildVersion()}, {"safe", is_safe}, {"items", items}})) return;
  for (const Advice& finding : findings) {
    std::printf("%-4s  %s\n", finding.verdict, finding.what.c_str());
    if (!finding.remedy.empty()) std::printf("      try: %s\n", finding.remedy.c_str());
  }
  std::printf(is_safe ? "\nversion %s can be put in now: the control plane first, then the nodes, "
                        "one by one\n"
                      : "\nnot now: version %s waits for what is BAD above\n",
              BuildVersion());
}

void CheckRunning(Session& session) {
  const Result<Json> facts = session.api().Get("/v1/upgrade");
  if (!facts.ok()) return session.Fail(facts.status());
  std::vector<Advice> findings;
  CheckVersions(*facts, findings);
  findings.push_back(CheckSchema((*facts)["schema"].value("version", int64_t{0})));
  CheckState(*facts, findings);
  CheckRoom(*facts, findings);
  Print(session, findings);
}

// What this version would do with a directory that no control plane uses now.
void CheckDirectory(Session& session, const std::string& data_dir) {
  const std::string file = data_dir + "/weir.db";
  const auto store = store::Store::OpenReadOnly(file, Clock::System());
  // One of a newer schema is not opened: the message says both versions.
  if (!store.ok()) return session.FailAs(kExitNo, store.status().ToString());
  const auto schema = (*store)->Schema();
  if (!schema.ok()) return session.FailAs(kExitNo, schema.status().ToString());
  std::vector<Advice> findings{CheckSchema(*schema)};
  const auto check = (*store)->CheckAudit();
  if (!check.ok()) return session.FailAs(kExitNo, check.status().ToString());
  findings.push_back({check->problem.empty() ? "ok" : "BAD",
                      check->problem.empty()
                          ? fmt::format("the audit is intact: {} rows", check->head.rows)
                          : "the audit is broken: " + check->problem,
                      check->problem.empty() ? "" : "weir audit verify --data-dir " + data_dir});
  std::error_code error;
  const auto space = std::filesystem::space(data_dir, error);
  const uint64_t needed = 2 * std::filesystem::file_size(file, error) + (64 << 20);
  findings.push_back({!error && space.available >= needed ? "ok" : "BAD",
                      fmt::format("{} MB are free in {}; a migration may need {}",
                                  space.available >> 20, data_dir, needed >> 20)});
  Print(session, findings);
}

}  // namespace

void AddUpgradeCommands(CLI::App& app, Session& session) {
  auto data_dir = std::make_shared<std::string>();
  CLI::App* upgrade = app.add_subcommand("upgrade", "Another version of the programs");
  upgrade->require_subcommand(1);
  CLI::App* check = upgrade->add_subcommand(
      "check",
      "Whether this program's version can be put in now, and in what order; exit 1 if not");
  check->add_option("--data-dir", *data_dir, "Look at a directory instead, offline");
  check->callback([&session, data_dir] {
    if (data_dir->empty()) return CheckRunning(session);
    CheckDirectory(session, *data_dir);
  });
}

}  // namespace weir::control::cli
