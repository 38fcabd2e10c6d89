// SPDX-License-Identifier: Apache-2.0
#include "shared/domain/validate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace weir::domain {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Violations(Kind kind, const std::string& name, Spec spec) {
  Resource resource;
  resource.kind = kind;
  resource.name = name;
  resource.spec = std::move(spec);
  FillDefaults(resource, 0);
  std::vector<std::string> out;
  for (const Violation& violation : Validate(resource))
    out.push_back(violation.path + ": " + violation.message);
  return out;
}

std::vector<std::string> OfFlag(const FlagSpec& spec) { return Violations(Kind::kFlag, "a", spec); }

std::vector<std::string> OfPrefix(const std::string& prefix) {
  ObservabilitySpec spec;
  spec.metric_prefix = prefix;
  return Violations(Kind::kObservability, "default", spec);
}

FlagSpec Variants() {
  FlagSpec spec;
  spec.variants = {{"on", {"true"}}, {"off", {"false"}}};
  spec.default_variant = "on";
  return spec;
}

ScheduledChange At(int64_t ms, FlagChange set) { return {{ms}, std::move(set)}; }

TEST(ValidateFlag, AScheduleLeadsToFlagsThatAreValid) {
  FlagSpec spec;
  spec.enabled = false;
  spec.allowlist_only = true;
  spec.schedule = {At(1, {.enabled = false, .rollout_percentage = 5, .default_variant = {}}),
                   At(2, {.enabled = true, .rollout_percentage = {}, .default_variant = {}}),
                   At(3, {.enabled = {}, .rollout_percentage = 50, .default_variant = {}})};
  EXPECT_THAT(OfFlag(spec), ElementsAre(HasSubstr("spec.schedule[1].set: leads to a flag whose "
                                                  "allowlist is empty")));
  spec.allowlist = {"user-1"};
  EXPECT_THAT(OfFlag(spec), IsEmpty());
}

TEST(ValidateFlag, WhatAScheduleSetsIsNamed) {
  FlagSpec spec;
  spec.enabled = true;
  spec.schedule = {At(1, {.enabled = {}, .rollout_percentage = 140, .default_variant = {}}),
                   At(2, {.enabled = {}, .rollout_percentage = {}, .default_variant = "on"})};
  EXPECT_THAT(OfFlag(spec),
              ElementsAre(HasSubstr("spec.schedule[0].set.rollout_percentage: 140 is not in"),
                          HasSubstr("spec.schedule[1].set.default_variant: is for a flag with")));
  spec = Variants();
  spec.schedule = {At(1, {.enabled = {}, .rollout_percentage = 50, .default_variant = {}}),
                   At(2, {.enabled = {}, .rollout_percentage = {}, .default_variant = "of"}),
                   At(3, {.enabled = {}, .rollout_percentage = {}, .default_variant = "off"})};
  EXPECT_THAT(OfFlag(spec),
              ElementsAre(HasSubstr("spec.schedule[0].set.rollout_percentage: is not for a flag"),
                          HasSubstr("spec.schedule[1].set.default_variant: \"of\" is not one")));
}

TEST(ValidateFlag, AFlagThatIsWrongAlreadyIsReportedOnce) {
  FlagSpec spec;
  spec.enabled = true;
  spec.strategy = "dice";
  spec.schedule = {At(1, {.enabled = false, .rollout_percentage = {}, .default_variant = {}})};
  EXPECT_THAT(OfFlag(spec), ElementsAre(HasSubstr("spec.strategy")));
}

TEST(ValidateFlag, NamesOfVariantsCanBeCounted) {
  EXPECT_THAT(OfFlag(Variants()), IsEmpty());
  FlagSpec spec = Variants();
  spec.variants[std::string(256, 'n')] = {"true"};
  EXPECT_THAT(OfFlag(spec), IsEmpty());
  spec.variants[std::string(257, 'n')] = {"true"};
  EXPECT_THAT(OfFlag(spec), ElementsAre(HasSubstr("a name of 257 bytes")));
  spec = Variants();
  spec.variants[""] = {"true"};
  spec.variants["a\nb"] = {"true"};
  EXPECT_THAT(OfFlag(spec),
              ElementsAre(HasSubstr("without a name"), HasSubstr("the name \"a?b\" with control")));
}

TEST(ValidateObservability, ThePrefixDoesNotRepeatOurMetrics) {
  for (const char* prefix : {"", "mlx_serving_feature_flags", "weir_feature_flags", "weird"})
    EXPECT_THAT(OfPrefix(prefix), IsEmpty()) << prefix;
  for (const char* prefix : {"weir", "weir_", "weir_node", "weir_feature_flags_"})
    EXPECT_THAT(OfPrefix(prefix), ElementsAre(HasSubstr("spec.metric_prefix"))) << prefix;
}

}  // namespace
}  // namespace weir::domain
