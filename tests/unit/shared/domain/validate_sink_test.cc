// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shared/domain/sink.h"
#include "shared/domain/validate.h"

namespace weir::domain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> Wrong(const SinkSpec& spec) {
  Resource resource;
  resource.kind = Kind::kSink;
  resource.name = "hook";
  resource.spec = spec;
  std::vector<std::string> out;
  for (const Violation& violation : Validate(resource))
    out.push_back(violation.path + ": " + violation.message);
  return out;
}

TEST(SinkRules, TakeASinkAsPeopleWriteIt) {
  EXPECT_THAT(Wrong({.url = "http://127.0.0.1:9000/hook?x=1"}), IsEmpty());
  EXPECT_THAT(Wrong({.url = "https://hooks.example.org",
                     .format = "slack",
                     .events = NotifyTypes(),
                     .min_severity = "critical",
                     .secret_file = "/etc/weir/hook.key"}),
              IsEmpty());
}

TEST(SinkRules, TheAddressIsNeverRepeated) {
  for (const char* url : {"", "example.org/secret", "ftp://h/secret", "https:///secret",
                          "http://:80/secret", "https://me:secret@h/x", "https://h/se cret"}) {
    const std::vector<std::string> wrong = Wrong({.url = url});
    EXPECT_THAT(wrong, ElementsAre(HasSubstr("spec.url: "))) << url;
    for (const std::string& message : wrong) EXPECT_EQ(message.find("secret"), std::string::npos);
  }
}

TEST(SinkRules, NameWhatIsNotAllowed) {
  EXPECT_THAT(Wrong({.url = "http://h",
                     .format = "xml",
                     .events = {"rollout", "rolout", "rollout"},
                     .min_severity = "urgent",
                     .secret_file = "key",
                     .timeout = {0}}),
              ElementsAre(HasSubstr("spec.format: \"xml\""), HasSubstr("spec.min_severity: "),
                          HasSubstr("spec.events[1]: \"rolout\""),
                          HasSubstr("spec.events[2]: \"rollout\" is repeated"),
                          HasSubstr("spec.secret_file: \"key\""), HasSubstr("spec.timeout: ")));
}

TEST(SinkRules, EachFormatSaysWhereToAndNothingElse) {
  EXPECT_THAT(Wrong({.format = "log"}), IsEmpty());
  EXPECT_THAT(Wrong({.format = "exec", .command = {"/opt/page", "now"}}), IsEmpty());
  EXPECT_THAT(Wrong({.url = "http://am:9093", .format = "alertmanager"}), IsEmpty());
  EXPECT_THAT(Wrong({.url = "https://h", .format = "pagerduty", .secret_file = "/etc/key"}),
              IsEmpty());
  EXPECT_THAT(Wrong({.url = "http://h", .format = "log"}), ElementsAre(HasSubstr("spec.url: ")));
  EXPECT_THAT(Wrong({.format = "exec"}), ElementsAre(HasSubstr("spec.command: ")));
  EXPECT_THAT(Wrong({.format = "exec", .command = {"page"}}),
              ElementsAre(HasSubstr("spec.command: begins with the absolute path")));
  EXPECT_THAT(Wrong({.url = "http://h", .command = {"/opt/page"}}),
              ElementsAre(HasSubstr("spec.command: is for the format exec")));
  EXPECT_THAT(Wrong({.format = "alertmanager"}), ElementsAre(HasSubstr("spec.url: ")));
  EXPECT_THAT(Wrong({.url = "https://h", .format = "pagerduty"}),
              ElementsAre(HasSubstr("spec.secret_file: is missing")));
}

TEST(SinkRules, EverydayWordsForSeveritiesAreKnown) {
  Resource sink;
  sink.kind = Kind::kSink;
  sink.name = "hook";
  sink.spec = SinkSpec{.url = "http://h", .min_severity = "medium"};
  FillDefaults(sink, 0);
  EXPECT_EQ(sink.As<SinkSpec>().min_severity, "warning");
  EXPECT_THAT(Validate(sink), IsEmpty());
}

TEST(SinkRules, OfAnAlertmanagerEveryMinuteUnlessItSaysSo) {
  EXPECT_EQ(RepeatEveryMs({.format = "json"}), 0);
  EXPECT_EQ(RepeatEveryMs({.format = "alertmanager"}), 60'000);
  EXPECT_EQ(RepeatEveryMs({.format = "alertmanager", .repeat_every = {5'000}}), 5'000);
}

TEST(SilenceRules, NameWhatIsSilentAndUntilWhen) {
  const auto wrong = [](SilenceSpec spec) {
    Resource silence;
    silence.kind = Kind::kSilence;
    silence.name = "s";
    silence.spec = std::move(spec);
    FillDefaults(silence, 0);
    std::vector<std::string> out;
    for (const Violation& violation : Validate(silence))
      out.push_back(violation.path + ": " + violation.message);
    return out;
  };
  EXPECT_THAT(wrong({.matchers = {{"policy", "p"}, {"severity", "medium"}}, .until = {10}}),
              IsEmpty());
  EXPECT_THAT(wrong({.until = {10}}), ElementsAre(HasSubstr("spec.matchers: is empty")));
  EXPECT_THAT(wrong({.matchers = {{"polici", "p"}}, .until = {10}}),
              ElementsAre(HasSubstr("spec.matchers.polici: ")));
  EXPECT_THAT(wrong({.matchers = {{"severity", "urgent"}}, .until = {10}}),
              ElementsAre(HasSubstr("spec.matchers.severity: \"urgent\"")));
  EXPECT_THAT(wrong({.matchers = {{"slo", "p99"}}, .starts = {10}, .until = {10}}),
              ElementsAre(HasSubstr("spec.until: is not after its start")));
}

}  // namespace
}  // namespace weir::domain
