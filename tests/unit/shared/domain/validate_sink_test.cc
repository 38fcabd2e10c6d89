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
                     .min_severity = "high",
                     .secret_file = "key",
                     .timeout = {0}}),
              ElementsAre(HasSubstr("spec.format: \"xml\""), HasSubstr("spec.min_severity: "),
                          HasSubstr("spec.events[1]: \"rolout\""),
                          HasSubstr("spec.events[2]: \"rollout\" is repeated"),
                          HasSubstr("spec.secret_file: \"key\""), HasSubstr("spec.timeout: ")));
}

}  // namespace
}  // namespace weir::domain
