// SPDX-License-Identifier: Apache-2.0
#include "shared/settings/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "shared/base/text.h"

namespace weir::settings {

struct Example {
  std::string listen = "127.0.0.1:1";
  std::string admin_listen;
  uint32_t workers = 2;
  bool require_token = false;
  domain::DurationMs drain_delay{5000};
  std::string enroll_token;
  std::map<std::string, std::string> labels;
  std::vector<std::string> control;
};

template <class V>
void Describe(V& v, Example& f) {
  v(1, "listen", f.listen);
  v(3, "admin_listen", f.admin_listen);
  v(5, "workers", f.workers);
  v(7, "require_token", f.require_token);
  v(9, "drain_delay", f.drain_delay);
  v(11, "enroll_token", f.enroll_token);
  v(13, "labels", f.labels);
  v(15, "control", f.control);
}

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

Program ExampleProgram() {
  return {.name = "weir-example",
          .env_prefix = "WEIR_EXAMPLE",
          .summary = "an example",
          .help = {{"listen", "HOST:PORT", "where to listen"},
                   {"admin_listen", "HOST:PORT", "where admins go"},
                   {"workers", "N", "threads"},
                   {"require_token", "", "nodes need a token"},
                   {"drain_delay", "TIME", "how long"},
                   {"enroll_token", "TOKEN", "a secret", true},
                   {"labels", "KEY=VALUE", "of this node"},
                   {"control", "URL", "where the control plane is"}},
          .examples = {"weir-example --listen :0"}};
}

class SettingsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/weir-settings-XXXXXX";
    directory_ = ::mkdtemp(pattern);
  }
  void TearDown() override {
    for (const std::string& name : variables_) ::unsetenv(name.c_str());
    for (const std::string& file : files_) ::unlink(file.c_str());
    ::rmdir(directory_.c_str());
  }
  void SetVariable(const std::string& name, const std::string& value) {
    ::setenv(name.c_str(), value.c_str(), 1);
    variables_.push_back(name);
  }
  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = directory_ + "/" + name;
    EXPECT_TRUE(WriteFileAtomic(path, content).ok());
    files_.push_back(path);
    return path;
  }
  Result<Outcome> Run(std::vector<std::string> arguments,
                      const std::function<Status(const Example&)>& validate = nullptr) {
    arguments.insert(arguments.begin(), "weir-example");
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    got_ = Example{};
    return Load(got_, static_cast<int>(argv.size()), argv.data(), ExampleProgram(), validate);
  }
  std::string Error(const std::vector<std::string>& arguments) {
    const auto outcome = Run(arguments);
    EXPECT_FALSE(outcome.ok());
    return outcome.ok() ? "" : outcome.status().ToString();
  }

  Example got_;
  std::string directory_;
  std::vector<std::string> variables_, files_;
};

TEST_F(SettingsTest, KeepsDefaultsWhenNothingIsGiven) {
  const auto outcome = Run({});
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  EXPECT_TRUE(outcome->run);
  EXPECT_EQ(got_.listen, "127.0.0.1:1");
  EXPECT_EQ(got_.drain_delay.ms, 5000);
}

TEST_F(SettingsTest, FlagWinsOverVariableOverFileOverDefault) {
  const std::string file =
      Write("c.yaml", "listen: file:1\nadmin_listen: file:2\nworkers: 7\ndrain_delay: 250ms\n");
  SetVariable("WEIR_EXAMPLE_LISTEN", "env:1");
  SetVariable("WEIR_EXAMPLE_ADMIN_LISTEN", "env:2");
  const auto outcome = Run({"--config", file, "--listen=flag:1"});
  ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
  EXPECT_EQ(got_.listen, "flag:1");
  EXPECT_EQ(got_.admin_listen, "env:2");
  EXPECT_EQ(got_.workers, 7u);
  EXPECT_EQ(got_.drain_delay.ms, 250);
}

TEST_F(SettingsTest, FileCanBeNamedByAVariable) {
  SetVariable("WEIR_EXAMPLE_CONFIG", Write("c.yaml", "workers: 3\n"));
  ASSERT_TRUE(Run({}).ok());
  EXPECT_EQ(got_.workers, 3u);
}

TEST_F(SettingsTest, RepeatedFlagsMakeOneMapAndReplaceLowerPlaces) {
  SetVariable("WEIR_EXAMPLE_LABELS", "zone=a,rack=7");
  ASSERT_TRUE(Run({}).ok());
  EXPECT_THAT(got_.labels, ElementsAre(Pair("rack", "7"), Pair("zone", "a")));
  ASSERT_TRUE(Run({"--label", "zone=b", "--label=gpu=yes"}).ok());
  EXPECT_THAT(got_.labels, ElementsAre(Pair("gpu", "yes"), Pair("zone", "b")));
}

TEST_F(SettingsTest, ListsAreCommaSeparatedAndRepeatable) {
  ASSERT_TRUE(Run({"--control", "http://a,http://b", "--control", "http://c"}).ok());
  EXPECT_THAT(got_.control, ElementsAre("http://a", "http://b", "http://c"));
}

TEST_F(SettingsTest, SwitchesNeedNoValue) {
  ASSERT_TRUE(Run({"--require-token", "--workers", "1"}).ok());
  EXPECT_TRUE(got_.require_token);
  ASSERT_TRUE(Run({"--require-token=false"}).ok());
  EXPECT_FALSE(got_.require_token);
}

TEST_F(SettingsTest, SecretsAreReadFromFiles) {
  const std::string secret = Write("token", "s3cret\n");
  ASSERT_TRUE(Run({"--enroll-token-file", secret}).ok());
  EXPECT_EQ(got_.enroll_token, "s3cret");
  SetVariable("WEIR_EXAMPLE_ENROLL_TOKEN_FILE", secret);
  ASSERT_TRUE(Run({}).ok());
  EXPECT_EQ(got_.enroll_token, "s3cret");
  const std::string config = Write("c.yaml", "enroll_token_file: " + secret + "\n");
  ::unsetenv("WEIR_EXAMPLE_ENROLL_TOKEN_FILE");
  ASSERT_TRUE(Run({"--config", config}).ok());
  EXPECT_EQ(got_.enroll_token, "s3cret");
  EXPECT_THAT(Error({"--listen-file", secret}), HasSubstr("--listen-file: is not a known flag"));
}

TEST_F(SettingsTest, UnknownNamesAreErrorsThatNameTheNearest) {
  EXPECT_EQ(Error({"--lisen", "x"}),
            "--lisen: is not a known flag (did you mean \"--listen\"?); see --help");
  const std::string file = Write("c.yaml", "workers: 1\n\nadmin_lsten: x:1\n");
  EXPECT_EQ(Error({"--config", file}),
            file + ":3: admin_lsten: is not a known key (did you mean \"admin_listen\"?)");
  EXPECT_THAT(Error({"stray"}), HasSubstr("\"stray\" is not a flag"));
}

TEST_F(SettingsTest, UnknownVariablesAreNot) {
  SetVariable("WEIR_EXAMPLE_PORT", "tcp://10.0.0.1:7080");
  EXPECT_TRUE(Run({}).ok());
}

TEST_F(SettingsTest, WrongValuesNameThePlace) {
  EXPECT_EQ(Error({"--workers", "many"}), "--workers: \"many\" is not a whole number");
  EXPECT_THAT(Error({"--workers", "-1"}), HasSubstr("--workers: -1 is a number"));
  EXPECT_EQ(Error({"--label", "zone"}), "--label: \"zone\" is not of the form key=value");
  EXPECT_EQ(Error({"--workers"}), "--workers: needs a value");
  const std::string file = Write("c.yaml", "# settings\nworkers: many\n");
  EXPECT_THAT(Error({"--config", file}), HasSubstr(file + ":2: workers: \"many\" is text"));
  SetVariable("WEIR_EXAMPLE_DRAIN_DELAY", "soon");
  EXPECT_THAT(Error({}), HasSubstr("WEIR_EXAMPLE_DRAIN_DELAY: "));
}

TEST_F(SettingsTest, BrokenAndMissingFilesAreErrors) {
  EXPECT_THAT(Error({"--config", directory_ + "/none.yaml"}), HasSubstr("none.yaml"));
  const std::string file = Write("c.yaml", "workers: 1\nworkers: 2\n");
  EXPECT_THAT(Error({"--config", file}), HasSubstr("is given twice (first at line 1) (line 2)"));
  const std::string list = Write("d.yaml", "- workers\n");
  EXPECT_THAT(Error({"--config", list}), HasSubstr("a list, but a mapping is expected"));
}

TEST_F(SettingsTest, ValidationIsBlamedOnWhereTheValueCameFrom) {
  const auto validate = [](const Example& e) {
    return e.workers < 100 ? OkStatus() : InvalidArgument("workers", "are too many");
  };
  const auto outcome = Run({"--workers", "100"}, validate);
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.status().ToString(), "--workers: are too many");
}

TEST_F(SettingsTest, HelpVersionAndCheckEndWithZero) {
  for (const char* flag : {"--help", "--version", "--check"}) {
    ::testing::internal::CaptureStdout();
    const auto outcome = Run({flag});
    const std::string printed = ::testing::internal::GetCapturedStdout();
    ASSERT_TRUE(outcome.ok());
    EXPECT_FALSE(outcome->run);
    EXPECT_EQ(outcome->exit_code, 0);
    EXPECT_THAT(printed, HasSubstr("weir-example"));
  }
  EXPECT_THAT(Error({"--check", "--workers", "many"}), HasSubstr("--workers"));
}

TEST_F(SettingsTest, UsageShowsEveryFlagWithItsDefaultButNoSecret) {
  ::testing::internal::CaptureStdout();
  ASSERT_TRUE(Run({"--help"}).ok());
  const std::string printed = ::testing::internal::GetCapturedStdout();
  EXPECT_THAT(printed, HasSubstr("--listen HOST:PORT"));
  EXPECT_THAT(printed, HasSubstr("(default 127.0.0.1:1)"));
  EXPECT_THAT(printed, HasSubstr("(default 5s)"));
  EXPECT_THAT(printed, HasSubstr("--label KEY=VALUE"));
  EXPECT_THAT(printed, HasSubstr("--enroll-token-file FILE"));
  EXPECT_THAT(printed, HasSubstr("weir-example --listen :0"));
}

}  // namespace
}  // namespace weir::settings
