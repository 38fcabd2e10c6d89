// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shared/domain/entries.h"
#include "shared/domain/token.h"
#include "shared/domain/validate.h"

namespace weir::domain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Resource TokenOf(const TokenSpec& spec) {
  Resource resource;
  resource.kind = Kind::kToken;
  resource.name = "ci";
  resource.spec = spec;
  return resource;
}

std::vector<std::string> Wrong(const TokenSpec& spec) {
  std::vector<std::string> out;
  for (const Violation& violation : Validate(TokenOf(spec)))
    out.push_back(violation.path + ": " + violation.message);
  return out;
}

const std::string kHash(64, 'a');

TEST(TokenRules, TakeARoleScopesOrBoth) {
  EXPECT_THAT(Wrong({.hash = kHash, .role = "viewer"}), IsEmpty());
  EXPECT_THAT(Wrong({.hash = kHash, .scopes = {"ofrep", "inference", "node-admin"}}), IsEmpty());
  EXPECT_THAT(Wrong({.hash = kHash, .role = "admin", .scopes = {"ofrep"}}), IsEmpty());
}

TEST(TokenRules, NameWhatIsNotAllowed) {
  EXPECT_THAT(Wrong({.hash = kHash}), ElementsAre(HasSubstr("would open nothing")));
  EXPECT_THAT(Wrong({.hash = "secret", .role = "root", .scopes = {"ofrep", "all", "ofrep"}}),
              ElementsAre(HasSubstr("spec.hash: "), HasSubstr("spec.role: \"root\""),
                          HasSubstr("spec.scopes[1]: \"all\""),
                          HasSubstr("spec.scopes[2]: \"ofrep\" is repeated")));
  EXPECT_EQ(Wrong({.hash = "secret", .role = "admin"})[0].find("secret"), std::string::npos);
}

TEST(TokenRules, NodesGetTokensWithScopesOnly) {
  EXPECT_FALSE(TokenEntryOf(TokenOf({.hash = kHash, .role = "admin"})).has_value());
  const auto entry = TokenEntryOf(TokenOf({.hash = kHash, .scopes = {"ofrep"}, .expires = {7}}));
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->name, "ci");
  EXPECT_EQ(entry->hash, kHash);
  EXPECT_THAT(entry->scopes, ElementsAre("ofrep"));
  EXPECT_EQ(entry->expires_wall_ms, 7);
}

TEST(TokenRules, RolesAreInOrder) {
  EXPECT_LT(RoleRank("viewer"), RoleRank("operator"));
  EXPECT_LT(RoleRank("operator"), RoleRank("admin"));
  EXPECT_LT(RoleRank(""), 0);
  EXPECT_EQ(ShortHash(kHash), "aaaaaaaaaaaa…");
}

}  // namespace
}  // namespace weir::domain
