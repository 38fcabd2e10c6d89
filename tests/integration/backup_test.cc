// SPDX-License-Identifier: Apache-2.0
// A backup of a running control plane, put back: nodes follow it, also to an older state, and the
// audit tells a restore from a database that somebody put in its place.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/integration/harness/cli.h"

namespace weir::integration {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Backup : public CliTest {
 protected:
  void SetFlag(double percentage) {
    const Answer answer = api().Put(
        "/v1/flags/ttft",
        {{"apiVersion", "weir/v1"},
         {"kind", "Flag"},
         {"metadata", {{"name", "ttft"}}},
         {"spec", {{"enabled", true}, {"rollout_percentage", percentage}, {"hash_seed", "s"}}}});
    ASSERT_TRUE(answer.ok()) << answer;
  }
  // Every node has what the control plane has, and beacons told it the audit's head.
  testing::AssertionResult EveryoneFollows() {
    const Json status = api().Get("/v1/status").json;
    for (const auto& node : nodes) {
      const Json row = NodeRow(node->id());
      const bool follows =
          row.is_object() && status.is_object() && row["snapshot"]["epoch"] == status["epoch"] &&
          row["snapshot"]["version"] == status["version"] && row.contains("audit_heard") &&
          row["audit_heard"].back()["epoch"] == status["epoch"];
      if (!follows) return testing::AssertionFailure() << row.dump() << "\n" << status.dump();
    }
    return testing::AssertionSuccess();
  }
  void RestartControl() {
    const Status started = control.Start();
    ASSERT_TRUE(started.ok()) << started.ToString();
    ASSERT_TRUE(WaitFor("nodes follow", [&] { return EveryoneFollows(); }));
  }
};

TEST_F(Backup, AnOlderOneTakesOverAndNodesFollow) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(2));
  ASSERT_NO_FATAL_FAILURE(Push({"1.0.0"}));
  ASSERT_NO_FATAL_FAILURE(SetFlag(10));
  const std::string file = dir.path() + "/weir.tar";
  const Output made = Weir({"backup", file, "--reason", "before the change"});
  ASSERT_EQ(made.exit_code, 0) << made.Text();
  EXPECT_THAT(made.out, HasSubstr("1 model files"));
  struct stat found {};
  ASSERT_EQ(::stat(file.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600u);
  EXPECT_EQ(Weir({"backup", file}).exit_code, 1) << "it is there already";
  EXPECT_EQ(Weir({"backup", "verify", file}).exit_code, 0);

  ASSERT_NO_FATAL_FAILURE(SetFlag(50));
  ASSERT_NO_FATAL_FAILURE(Push({"1.1.0"}));
  ASSERT_TRUE(WaitFor("nodes follow", [&] { return EveryoneFollows(); }));
  const uint64_t before = NodeRow("n1")["snapshot"]["version"];

  const std::vector<std::string> restore = {"restore", file, "--data-dir", control.data_dir(),
                                            "--force"};
  const Output in_use = Weir(restore);
  EXPECT_EQ(in_use.exit_code, 1);
  EXPECT_THAT(in_use.err, HasSubstr("running weir-control"));
  ASSERT_EQ(control.Stop(), 0);
  const Output restored = Weir(restore);
  ASSERT_EQ(restored.exit_code, 0) << restored.Text();
  ASSERT_NO_FATAL_FAILURE(RestartControl());

  EXPECT_LT(NodeRow("n1")["snapshot"]["version"].get<uint64_t>(), before);
  EXPECT_EQ(api().Get("/v1/flags/ttft").json["spec"]["rollout_percentage"], 10);
  for (const auto& node : nodes) {
    EXPECT_EQ(Infer(node->api(), Requests()[0], "u", "1.0.0").status, 200);
    EXPECT_TRUE(WaitFor("1.1.0 is gone", [&] {
      return Infer(node->api(), Requests()[0], "u", "1.1.0").status == 404;
    }));
  }
  // What nodes heard of the rows that are gone is explained by the restore's own row.
  const Output audit = Weir({"audit", "verify"});
  EXPECT_EQ(audit.exit_code, 0) << audit.Text();
  EXPECT_THAT(audit.out, HasSubstr("explained"));
  EXPECT_TRUE(WaitFor("the books agree", [&] {
    return Weir({"telemetry", "audit"}).exit_code == 0;
  }));
  // And it goes on: another change reaches them.
  ASSERT_NO_FATAL_FAILURE(SetFlag(20));
  EXPECT_TRUE(WaitFor("nodes follow", [&] { return EveryoneFollows(); }));
}

TEST_F(Backup, ADatabaseThatWasPutInItsPlaceIsNoticed) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  ASSERT_NO_FATAL_FAILURE(SetFlag(10));
  const std::string head = WeirJson({"audit", "verify"})["head"];
  ASSERT_EQ(control.Stop(), 0);
  fs::copy(control.data_dir() + "/weir.db", dir.path() + "/old.db");
  ASSERT_NO_FATAL_FAILURE(RestartControl());
  ASSERT_NO_FATAL_FAILURE(SetFlag(50));
  const uint64_t rows = WeirJson({"audit", "verify", "--expect-head", head})["rows"];
  ASSERT_TRUE(WaitFor("the node heard of it",
                      [&] { return NodeRow("n1")["audit_heard"].back()["rows"] == rows; }));
  ASSERT_EQ(control.Stop(), 0);
  fs::copy(dir.path() + "/old.db", control.data_dir() + "/weir.db",
           fs::copy_options::overwrite_existing);
  EXPECT_EQ(Weir({"audit", "verify", "--data-dir", control.data_dir()}).exit_code, 0)
      << "by itself it is whole";
  ASSERT_NO_FATAL_FAILURE(RestartControl());
  const Output verdict = Weir({"audit", "verify"});
  EXPECT_EQ(verdict.exit_code, 1) << verdict.Text();
  EXPECT_THAT(verdict.out, HasSubstr("DIFFERS: there are only"));
}

TEST_F(Backup, AutomaticOnesAreMadeListedAndTheirFailureShown) {
  const std::string to = dir.path() + "/backups";
  control.more = {"--backup-dir", to, "--backup-every", "1s", "--backup-keep", "2"};
  ASSERT_NO_FATAL_FAILURE(StartCluster(0));
  ASSERT_TRUE(WaitFor("three were made", [&] {
    return api().Get("/metrics").text.find("weir_backups_total{result=\"made\"} 3\n") !=
           std::string::npos;
  }));
  const Json list = WeirJson({"backup", "list"});
  EXPECT_EQ(list["items"].size(), 2u) << list;
  EXPECT_THAT(api().Get("/metrics").text, HasSubstr("weir_backup_age_seconds "));
  const std::string file = to + "/" + list["items"][0]["file"].get<std::string>();
  EXPECT_EQ(Weir({"audit", "verify", "--backup", file}).exit_code, 0);

  fs::remove_all(to);
  Write("backups", "no directory");
  ASSERT_TRUE(WaitFor("the failure is shown", [&] {
    return Weir({"status"}).out.find("the automatic backup fails") != std::string::npos;
  }));
}

}  // namespace
}  // namespace weir::integration
