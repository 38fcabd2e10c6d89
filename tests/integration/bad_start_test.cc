// SPDX-License-Identifier: Apache-2.0
// What cannot start says why in one line and exits with 2.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "shared/base/text.h"
#include "tests/integration/harness/cluster.h"

namespace weir::integration {
namespace {

class BadStart : public ClusterTest {
 protected:
  std::vector<std::string> ControlWith(const std::vector<std::string>& more) {
    std::vector<std::string> arguments = control.Arguments();
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  std::vector<std::string> NodeWith(const std::vector<std::string>& more) {
    std::vector<std::string> arguments =
        Node(dir.path(), {.control = "http://127.0.0.1:1", .cached = false, .more = more})
            .Arguments();
    return arguments;
  }
  // Exits with 2, and its only line holds `word`.
  static void ExpectRefusal(const Output& output, const std::string& word) {
    EXPECT_EQ(output.exit_code, 2) << output.Text();
    EXPECT_EQ(output.ErrLines().size(), 1u) << output.Text();
    EXPECT_NE(output.err.find(word), std::string::npos) << word << " in\n" << output.Text();
  }
  std::string Database() const { return control.data_dir() + "/weir.db"; }
  // A control plane has run here and was stopped; its database.
  std::string UsedDatabase() {
    EXPECT_TRUE(control.Start().ok());
    for (int i = 0; i < 50; ++i) {
      EXPECT_TRUE(api()
                      .Put(fmt::format("/v1/flags/flag-{}", i),
                           {{"apiVersion", "weir/v1"},
                            {"kind", "Flag"},
                            {"metadata", {{"name", fmt::format("flag-{}", i)}}},
                            {"spec", {{"rollout_percentage", 10}}}})
                      .ok());
    }
    EXPECT_EQ(control.Stop(), 0);
    const Result<std::string> bytes = ReadFile(Database());
    return bytes.ok() ? *bytes : "";
  }
};

// A flag given twice takes the last value? Not relied on: the address is replaced.
std::vector<std::string> Replace(std::vector<std::string> arguments, const std::string& flag,
                                 const std::string& value) {
  const auto found = std::find(arguments.begin(), arguments.end(), flag);
  EXPECT_TRUE(found != arguments.end());
  *std::next(found) = value;
  return arguments;
}

TEST_F(BadStart, PortInUse) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(1));
  const std::string other = dir.path() + "/other";
  auto second = Replace(control.Arguments(), "--data-dir", other);
  for (const char* flag : {"--cfg-listen", "--session-listen", "--telemetry-listen"}) {
    second = Replace(second, flag, "127.0.0.1:0");
  }
  ExpectRefusal(RunProgram(second), control.api().address());
  // The same for a channel.
  auto third = Replace(control.Arguments(), "--data-dir", other);
  third = Replace(third, "--listen", "127.0.0.1:0");
  ExpectRefusal(RunProgram(third), "cfg_listen");
  ExpectRefusal(RunProgram(Replace(node(0).Arguments(), "--cache-dir", other)), node(0).address());
  EXPECT_TRUE(IsReady(node(0)));
}

TEST_F(BadStart, DirectoryThatCannotBeWritten) {
  // Below a file: refused to root as well.
  ASSERT_TRUE(WriteFileAtomic(dir.path() + "/file", "").ok());
  const std::string file = dir.path() + "/file";
  const std::string nowhere = file + "/sub";
  ExpectRefusal(RunProgram(Replace(control.Arguments(), "--data-dir", nowhere)), file);
  ExpectRefusal(RunProgram(NodeWith({"--cache-dir", nowhere})), file);
  ExpectRefusal(RunProgram(ControlWith({"--pid-file", nowhere})), nowhere);
}

TEST_F(BadStart, DamagedDatabaseIsNamed) {
  const std::string good = UsedDatabase();
  ASSERT_GT(good.size(), 16'384u);
  const auto with = [&](size_t at, const std::string& bytes) {
    std::string damaged = good;
    damaged.replace(at, bytes.size(), bytes);
    return damaged;
  };
  const std::string damages[] = {
      std::string("this is no database at all, but a text that somebody put here\n"),
      with(0, std::string(100, '\xff')),      // the header
      with(4096, std::string(8192, '\x5a')),  // pages
      good.substr(0, good.size() / 2),        // cut off
  };
  for (const std::string& damaged : damages) {
    ASSERT_TRUE(WriteFileAtomic(Database(), damaged, 0600).ok());
    ExpectRefusal(RunProgram(control.Arguments()), Database());
    EXPECT_EQ(ReadFile(Database()).value(), damaged) << "the evidence was changed";
  }
  ASSERT_TRUE(WriteFileAtomic(Database(), good, 0600).ok());
  ASSERT_TRUE(control.Start().ok());
  EXPECT_EQ(api().Get("/v1/flags").json["items"].size(), 50u);
}

TEST_F(BadStart, DatabaseOfANewerProgramIsLeftAlone) {
  std::string bytes = UsedDatabase();
  ASSERT_GT(bytes.size(), 100u);
  // PRAGMA user_version = 9999: four bytes, big-endian, at 60 (the SQLite file format).
  bytes.replace(60, 4, std::string("\x00\x00\x27\x0f", 4));
  ASSERT_TRUE(WriteFileAtomic(Database(), bytes, 0600).ok());
  const Output output = RunProgram(control.Arguments());
  ExpectRefusal(output, Database());
  EXPECT_NE(output.err.find("9999"), std::string::npos) << output.Text();
  EXPECT_EQ(ReadFile(Database()).value(), bytes);
}

TEST_F(BadStart, SecondControlPlaneOnOneDirectory) {
  ASSERT_NO_FATAL_FAILURE(StartCluster(0));
  auto second = control.Arguments();
  for (const char* flag : {"--listen", "--cfg-listen", "--session-listen", "--telemetry-listen"}) {
    second = Replace(second, flag, "127.0.0.1:0");
  }
  ExpectRefusal(RunProgram(second), control.data_dir());
  EXPECT_EQ(api().Get("/ready").status, 200);
}

TEST_F(BadStart, UnknownOrWrongSettingsNameThePlaceAndTheNearest) {
  ExpectRefusal(RunProgram({Program("weir-control"), "--data-dri", "x"}), "--data-dir");
  ExpectRefusal(RunProgram({Program("weir-node"), "--contrl", "x"}), "--control");
  ExpectRefusal(RunProgram(NodeWith({"--label", "no-equals-sign"})), "--label");
  ExpectRefusal(RunProgram(NodeWith({"--workers", "many"})), "--workers");
  ExpectRefusal(RunProgram(Replace(control.Arguments(), "--listen", "nonsense")), "listen");
  ExpectRefusal(RunProgram(control.Arguments(), {{"WEIR_CONTROL_LOG_FORMAT", "xml"}}),
                "LOG_FORMAT");
  const std::string file = dir.path() + "/control.yaml";
  ASSERT_TRUE(WriteFileAtomic(file, "log_level: info\ndata_dri: /tmp\n").ok());
  const Output output = RunProgram(ControlWith({"--config", file}));
  ExpectRefusal(output, file + ":2");
  EXPECT_NE(output.err.find("data_dir"), std::string::npos) << output.Text();
}

TEST_F(BadStart, CheckSaysYesOrNoAndStartsNothing) {
  EXPECT_EQ(RunProgram(ControlWith({"--check"})).exit_code, 0);
  EXPECT_EQ(RunProgram(NodeWith({"--check"})).exit_code, 0);
  EXPECT_EQ(RunProgram(ControlWith({"--check", "--log-format", "xml"})).exit_code, 2);
  EXPECT_FALSE(ReadFile(Database()).ok());
  for (const char* program : {"weir-control", "weir-node", "weir"}) {
    EXPECT_EQ(RunProgram({Program(program), "--help"}).exit_code, 0);
    EXPECT_EQ(RunProgram({Program(program), "--version"}).exit_code, 0);
  }
}

}  // namespace
}  // namespace weir::integration
