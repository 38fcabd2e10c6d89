// SPDX-License-Identifier: Apache-2.0
// Golden vectors, do not change: the table of DECISIONS, and tests/golden/buckets.tsv, which
// tests/golden/make_buckets.py computes with Python's hashlib.
#include "shared/decision/bucket.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "shared/base/text.h"
#include "shared/decision/md5.h"

namespace weir::decision {
namespace {

TEST(Bucket, MatchesTheDecisionsTable) {
  struct Row {
    const char* key;
    const char* seed;
    uint32_t prefix;
    uint32_t coarse;
    uint32_t fine;
  };
  const Row rows[] = {
      {"request-123", "ttft-pipeline-2025-01-08", 0xc63980f3, 31, 31573},
      {"request-456", "ttft-pipeline-2025-01-08", 0xf98e4b2a, 38, 38521},
      {"user-2", "ttft-pipeline-2025-01-08", 0x6e744e0d, 17, 17159},
      {"user-123", "canary-2025-01-08", 0xe7031384, 0, 385},
      {"user_123", "fraud_detection", 0x49d096b1, 33, 33068},
  };
  for (const Row& row : rows) {
    const uint32_t prefix = HashPrefix(row.key, row.seed);
    EXPECT_EQ(prefix, row.prefix) << row.key;
    EXPECT_EQ(CoarseBucket(prefix), row.coarse) << row.key;
    EXPECT_EQ(FineBucket(prefix), row.fine) << row.key;
  }
}

TEST(Bucket, ExperimentGroupsOfDecisions) {
  EXPECT_EQ(ExperimentBucket("user-1", "exp-2025", 100), 72u);
  EXPECT_EQ(ExperimentBucket("user-3", "s", 1000), 178u);
}

TEST(Bucket, MatchesHashlibOnEveryGoldenRow) {
  const auto file = ReadFile(WEIR_SOURCE_DIR "/tests/golden/buckets.tsv");
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  int rows = 0;
  for (const std::string& line : Split(*file, '\n')) {
    if (line.empty() || line[0] == '#') continue;
    const std::vector<std::string> f = Split(line, '\t');
    ASSERT_EQ(f.size(), 8u) << line;
    const uint32_t prefix = HashPrefix(f[0], f[1]);
    EXPECT_EQ(prefix, std::stoul(f[2], nullptr, 16)) << line;
    EXPECT_EQ(CoarseBucket(prefix), std::stoul(f[3])) << line;
    EXPECT_EQ(FineBucket(prefix), std::stoul(f[4])) << line;
    EXPECT_EQ(ExperimentBucket(f[0], f[1], 100), std::stoull(f[5])) << line;
    EXPECT_EQ(ExperimentBucket(f[0], f[1], 1000), std::stoull(f[6])) << line;
    EXPECT_EQ(ExperimentBucket(f[0], f[1], 7), std::stoull(f[7])) << line;
    ++rows;
  }
  EXPECT_EQ(rows, 504);
}

// RFC 1321, appendix A.5.
TEST(Md5, ReproducesTheRfcSuite) {
  const auto hex = [](std::string_view text) {
    Md5 md5;
    md5.Update(text);
    const auto digest = md5.Finish();
    return ToHex(digest);
  };
  EXPECT_EQ(hex(""), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(hex("abc"), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(hex("message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
  EXPECT_EQ(hex("12345678901234567890123456789012345678901234567890123456789012345678901234567890"),
            "57edf4a22be3c955ac49da2e2107b67a");
}

// RFC 1321 pads up to 55 bytes to one block; the shortcut for those must not show.
TEST(Bucket, OneBlockAndSeveralAreTheSameMd5) {
  for (size_t key_size = 0; key_size <= 130; ++key_size) {
    for (const std::string& seed : {std::string(), std::string("s"), std::string(20, 't')}) {
      const std::string key(key_size, static_cast<char>('a' + key_size % 26));
      Md5 md5;
      md5.Update(key + ":" + seed);
      EXPECT_EQ(HashPrefix(key, seed), md5.FinishPrefix()) << key_size << " + " << seed.size();
    }
  }
}

TEST(Bucket, FineAgreesWithCoarseAtWholePercentages) {
  for (int i = 0; i < 2000; ++i) {
    const uint32_t prefix = HashPrefix("key-" + std::to_string(i), "seed");
    for (uint32_t percent = 0; percent <= 100; percent += 5) {
      EXPECT_EQ(FineBucket(prefix) < percent * 1000, CoarseBucket(prefix) < percent);
    }
  }
}

}  // namespace
}  // namespace weir::decision
