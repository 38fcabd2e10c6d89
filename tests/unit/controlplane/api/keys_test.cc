// SPDX-License-Identifier: Apache-2.0
// What operators do about keys, over HTTP.
#include "tests/unit/controlplane/api/api_fixture.h"

namespace weir::control::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using ApiKeys = ApiTest;

TEST_F(ApiKeys, RevokesANodeThatIsKnown) {
  const Reply done = Post("/v1/nodes/n1/revoke", {{"reason", "stolen"}});
  ASSERT_EQ(done.status, 200) << done.body;
  EXPECT_EQ(done.json, (Json{{"node", "n1"}, {"revoked", true}}));
  EXPECT_EQ(Post("/v1/nodes/n9/revoke", Json::object()).status, 404);
  EXPECT_EQ(Post("/v1/nodes/n1/revoke", {{"reson", "x"}}).json["field"], "reson");
  EXPECT_EQ(Post("/v1/nodes/n1/revoke", {{"reason", std::string(1001, 'x')}}).status, 400);
  OnCore([&] { EXPECT_THAT(key_calls_, ElementsAre(HasSubstr("revoke n1 by"))); });
}

TEST_F(ApiKeys, RotatesTheServersKeyAndDoesNotEndTheFirstWhileItIsUsed) {
  EXPECT_EQ(Get("/v1/keys").json["fingerprint"], "finger");
  EXPECT_EQ(Post("/v1/keys/rotate", {{"reason", "yearly"}}).status, 200);
  const Reply refused = Post("/v1/keys/finish", Json::object());
  EXPECT_EQ(refused.status, 409);
  EXPECT_THAT(refused.body, HasSubstr("1 live node uses the first key"));
  EXPECT_EQ(Post("/v1/keys/finish", {{"force", true}}).json["fingerprint"], "finger2");
}

TEST_F(ApiKeys, BootstrapTellsTheNextPlaceWhileThereIsOne) {
  EXPECT_FALSE(Get("/v1/bootstrap").json.contains("next"));
  OnCore([&] { bootstrap_.next = Place{"key2", "finger2", "c", "s", "t"}; });
  const Json next = Get("/v1/bootstrap").json["next"];
  EXPECT_EQ(next["server_key"], "key2");
  EXPECT_EQ(next["channels"]["session"], "s");
}

}  // namespace
}  // namespace weir::control::api
