// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/steps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::control::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Steps, RiseAndBecomePhases) {
  EXPECT_THAT(*ParseSteps("1,10,50,100"), ElementsAre(1, 10, 50, 100));
  EXPECT_THAT(*ParseSteps("0.5%, 2.25"), ElementsAre(0.5, 2.25));
  const codec::Json phases = StepPhases({1, 100}, 600'000, 500);
  ASSERT_EQ(phases.size(), 2u);
  EXPECT_EQ(
      phases[1],
      (codec::Json{
          {"name", "step-2"}, {"percentage", 100.0}, {"duration", "10m"}, {"min_requests", 500}}));
  EXPECT_FALSE(StepPhases({1}, 1000, 0)[0].contains("min_requests"));
}

TEST(Steps, WhatIsNoStepIsNamed) {
  for (const auto& [text, message] :
       {std::pair("1,ten", "\"ten\" is not a percentage"),
        std::pair("10,5", "5 is not above the 10 before it"),
        std::pair("10,110", "110 is not in 0..100"), std::pair("1,,2", "\"\" is not a percentage"),
        std::pair("", "is empty"), std::pair("0.0001", "more than three decimals")}) {
    EXPECT_THAT(ParseSteps(text).status().ToString(), HasSubstr(message)) << text;
  }
}

}  // namespace
}  // namespace weir::control::cli
