// SPDX-License-Identifier: Apache-2.0
#include "shared/http/target.h"

#include <gtest/gtest.h>

namespace weir::http {
namespace {

TEST(Target, IsSplitIntoServerAndPath) {
  const auto whole = ParseTarget("https://hooks.example.org:8443/services/T0/B0?x=1&y=%20#top");
  ASSERT_TRUE(whole.ok()) << whole.status().ToString();
  EXPECT_EQ(whole->base, "https://hooks.example.org:8443");
  EXPECT_EQ(whole->path, "/services/T0/B0?x=1&y=%20");
  EXPECT_EQ(ParseTarget("http://h")->path, "/");
  EXPECT_EQ(ParseTarget("http://h?q=1")->base, "http://h");
  EXPECT_EQ(ParseTarget("http://h?q=1")->path, "/?q=1");
  EXPECT_EQ(ParseTarget("http://[::1]:80/a")->base, "http://[::1]:80");
}

TEST(Target, RefusesWhatIsNoneAndKeepsTheRestSecret) {
  for (const char* bad :
       {"", "hooks.example.org/secret", "ftp://h/secret", "http:///secret", "http://:80/secret",
        "http://user:secret@h/", "http://h/se cret", "http://h/\r\nsecret"}) {
    const auto target = ParseTarget(bad);
    ASSERT_FALSE(target.ok()) << bad;
    EXPECT_EQ(target.status().message().find("secret"), std::string::npos) << bad;
  }
}

}  // namespace
}  // namespace weir::http
