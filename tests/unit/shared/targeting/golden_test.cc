// SPDX-License-Identifier: Apache-2.0
// Golden vectors, do not change: tests/golden/targeting.tsv, which json-logic-js and flagd's own
// JavaScript evaluator computed (tests/golden/make_targeting.mjs).
#include <gtest/gtest.h>

#include <map>

#include "shared/base/text.h"
#include "tests/unit/shared/targeting/rules.h"

namespace weir::targeting {
namespace {

constexpr int64_t kNowMs = 1'775'000'000'123;  // as in the file's head

TEST(TargetingGolden, AnswersAsTheReferenceEvaluators) {
  const auto file = ReadFile(WEIR_SOURCE_DIR "/tests/golden/targeting.tsv");
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  std::map<std::string, int> checked;
  for (const std::string& line : Split(*file, '\n')) {
    if (line.empty() || line[0] == '#') continue;
    const std::vector<std::string> fields = Split(line, '\t');
    ASSERT_EQ(fields.size(), 5u) << line;
    const std::string result = Answer(fields[2], fields[3], {fields[1], "", kNowMs});
    ASSERT_FALSE(result.starts_with("refused") || result.starts_with("bad context"))
        << result << "\n"
        << line;
    // As numbers compare, not as they are written.
    const auto got = nlohmann::json::parse(result, nullptr, false);
    EXPECT_EQ(got, nlohmann::json::parse(fields[4])) << result << " for " << line;
    ++checked[fields[0]];
  }
  EXPECT_GE(checked["json-logic-js"], 900);
  EXPECT_GE(checked["flagd-core"], 500);
}

}  // namespace
}  // namespace weir::targeting
