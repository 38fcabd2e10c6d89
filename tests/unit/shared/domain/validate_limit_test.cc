// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shared/domain/validate.h"

namespace weir::domain {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

template <class Spec>
std::vector<std::string> Wrong(Kind kind, const Spec& spec) {
  Resource resource;
  resource.kind = kind;
  resource.name = "fraud_detection";
  resource.spec = spec;
  std::vector<std::string> out;
  for (const Violation& violation : Validate(resource))
    out.push_back(violation.path + ": " + violation.message);
  return out;
}

std::vector<std::string> Wrong(const LimitSpec& spec) { return Wrong(Kind::kLimit, spec); }

TEST(LimitRules, TakeALimitAsPeopleWriteIt) {
  EXPECT_THAT(Wrong(LimitSpec{}), IsEmpty()) << "no limit at all, for acts to be laid over";
  EXPECT_THAT(Wrong({.max_concurrent = 16,
                     .max_queue = 32,
                     .min_concurrent = 4,
                     .most_concurrent = 64,
                     .requests_per_second = 500,
                     .caller_requests_per_second = 50,
                     .caller_concurrent = 8,
                     .replicas = 3}),
              IsEmpty());
}

TEST(LimitRules, NameTheNumberAndItsNeighbour) {
  EXPECT_THAT(Wrong({.max_concurrent = 4, .min_concurrent = 8, .most_concurrent = 2}),
              ElementsAre(HasSubstr("spec.min_concurrent: 8 is above max_concurrent, 4"),
                          HasSubstr("spec.most_concurrent: 2 is below max_concurrent, 4")));
  EXPECT_THAT(Wrong({.max_queue = 8}), ElementsAre(HasSubstr("spec.max_queue: without max_con")));
  EXPECT_THAT(
      Wrong({.min_concurrent = 0, .replicas = 0}),
      ElementsAre(HasSubstr("spec.min_concurrent: is 0"), HasSubstr("spec.replicas: is 0")));
  EXPECT_THAT(Wrong({.max_concurrent = 2'000'000, .requests_per_second = -1}),
              ElementsAre(HasSubstr("spec.max_concurrent: 2000000 is above 1000000"),
                          HasSubstr("spec.requests_per_second: -1 is not a number from 0 on")));
  EXPECT_THAT(Wrong({.target_delay = {0}}), ElementsAre(HasSubstr("spec.target_delay: ")));
}

TEST(LimitRules, OnlyActionsThatLayOverALimitAreActs) {
  EXPECT_THAT(Wrong({.acts = {{.policy = "p", .action = "shed_load", .value = 0.1}}}), IsEmpty());
  EXPECT_THAT(
      Wrong({.acts = {{.policy = "p", .action = "rollback"}}}),
      ElementsAre(HasSubstr("spec.acts[0].action: \"rollback\" lays nothing over a limit")));
}

TEST(LimitRules, ALimitIsNamedAfterItsModel) {
  Resource model;
  model.kind = Kind::kModel;
  model.name = "fraud_detection";
  Resource limit;
  limit.kind = Kind::kLimit;
  limit.name = "fraud-detection";
  limit.spec = LimitSpec{};
  const auto find = [&](Kind kind, const std::string& name) -> const Resource* {
    return kind == Kind::kModel && name == model.name ? &model : nullptr;
  };
  const auto for_each = [&](Kind, const std::function<void(const Resource&)>& f) { f(model); };
  const auto violations = ValidateReferences(limit, find, for_each);
  ASSERT_EQ(violations.size(), 1u);
  EXPECT_EQ(violations[0].path, "metadata.name");
  EXPECT_THAT(violations[0].message, AllOf(HasSubstr("there is no model \"fraud-detection\""),
                                           HasSubstr("did you mean \"fraud_detection\"")));
  limit.name = "fraud_detection";
  EXPECT_THAT(ValidateReferences(limit, find, for_each), IsEmpty());
}

TEST(SilenceRules, ASilenceNamesWhatItSilencesAndEnds) {
  EXPECT_THAT(Wrong(Kind::kSilence, SilenceSpec{.matchers = {{"model", "m"}}, .until = {1}}),
              IsEmpty());
  EXPECT_THAT(
      Wrong(Kind::kSilence, SilenceSpec{.matchers = {{"modl", "m"}}, .starts = {5}, .until = {5}}),
      ElementsAre(AllOf(HasSubstr("spec.matchers.modl: "), HasSubstr("did you mean \"model\"")),
                  HasSubstr("spec.until: is not after its start")));
  EXPECT_THAT(Wrong(Kind::kSilence, SilenceSpec{.until = {1}}),
              ElementsAre(HasSubstr("spec.matchers: is empty: it would silence everything")));
}

}  // namespace
}  // namespace weir::domain
