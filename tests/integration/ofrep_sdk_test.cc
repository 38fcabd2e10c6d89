// SPDX-License-Identifier: Apache-2.0
// OpenFeature's own SDKs and providers from npm against a real node: ofrep_sdk/check.mjs holds the
// checks. Skipped, and says why, where neither npm nor its registry is in reach.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/integration/harness/cli.h"

namespace weir::integration {
namespace {

constexpr char kSources[] = WEIR_SOURCE_DIR "/tests/integration/ofrep_sdk/";
constexpr char kInstalled[] = WEIR_BIN_DIR "/../tests/ofrep_sdk/";

Output Shell(const std::string& command) { return RunProgram({"/bin/sh", "-c", command}); }

// npm's words when nobody answers, as opposed to a package that is wrong.
bool IsOutOfReach(const std::string& text) {
  for (const char* code : {"ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT",
                           "ENETUNREACH", "EHOSTUNREACH", "ERR_SOCKET_TIMEOUT", "ENOTCACHED"}) {
    if (text.find(code) != std::string::npos) return true;
  }
  return false;
}

class OfrepSdk : public CliTest {
 protected:
  // Exactly the packages of package-lock.json; "" when they are there, else why they are not.
  std::string Install() {
    namespace fs = std::filesystem;
    if (Shell("command -v node && command -v npm").exit_code != 0) {
      return "there is no node or no npm (ops/deps --sdk installs them)";
    }
    fs::create_directories(kInstalled);
    for (const char* file : {"package.json", "package-lock.json", "check.mjs"}) {
      fs::copy_file(std::string(kSources) + file, std::string(kInstalled) + file,
                    fs::copy_options::overwrite_existing);
    }
    const Output installed = Shell(std::string("cd '") + kInstalled +
                                   "' && npm ci --no-audit --no-fund --ignore-scripts "
                                   "--prefer-offline --fetch-retries=1 --fetch-timeout=30000");
    if (installed.exit_code == 0) return "";
    EXPECT_TRUE(IsOutOfReach(installed.Text())) << installed.Text();
    return "npm's registry is out of reach: " + installed.Text();
  }
};

TEST_F(OfrepSdk, ServerAndWebProvidersSeeWhatTheNodeDecides) {
  const std::string missing = Install();
  if (HasFailure()) return;
  if (!missing.empty()) GTEST_SKIP() << "NOT TESTED with OpenFeature's SDKs: " << missing;
  ASSERT_NO_FATAL_FAILURE(StartCluster(0));
  for (const char* file : {"flags.json", "rollouts.yaml"}) {
    const Output applied = Weir({"apply", "-f", std::string(kSources) + file});
    ASSERT_EQ(applied.exit_code, 0) << applied.Text();
  }
  AddNode({.id = "n1", .control = "", .more = {}});
  const Output checked = Shell(std::string("exec node '") + kInstalled + "check.mjs' http://" +
                               node(0).address() + " " + control.url());
  EXPECT_EQ(checked.exit_code, 0) << checked.Text();
  EXPECT_NE(checked.out.find("all checks passed"), std::string::npos) << checked.Text();
  std::cout << checked.out;
}

}  // namespace
}  // namespace weir::integration
