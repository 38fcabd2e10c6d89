// SPDX-License-Identifier: Apache-2.0
#include "controlplane/backup/audit_verdict.h"

#include <gmock/gmock.h>

#include "tests/unit/controlplane/backup/state.h"
#include "tests/unit/controlplane/store/sql.h"

namespace weir::control::backup {
namespace {

using codec::Json;
using ::testing::HasSubstr;

class AuditVerdictTest : public StateTest {
 protected:
  // As a node hears it now.
  HeardByNode Heard(uint64_t epoch) {
    const store::AuditHead head = *store_->GetAuditHead();
    return {"n1", {epoch, static_cast<uint64_t>(head.rows), {head.hash}}};
  }
  Json Ask(const AuditQuestion& question) {
    const auto verdict = AuditVerdict(*store_, question);
    EXPECT_TRUE(verdict.ok()) << verdict.status().ToString();
    return verdict.ok() ? *verdict : Json();
  }
};

TEST_F(AuditVerdictTest, WhatNodesHeardStaysInTheChain) {
  const HeardByNode heard = Heard(7);
  Commit(2);
  const Json verdict = Ask({.expected_head = "", .heard = {heard}, .epoch = 7});
  EXPECT_TRUE(IsIntact(verdict)) << verdict;
  EXPECT_EQ(verdict["rows"], 5);
  EXPECT_EQ(verdict["nodes"][0]["verdict"], "same");
}

TEST_F(AuditVerdictTest, AnOlderDatabaseInItsPlaceIsNoticed) {
  HeardByNode heard = Heard(7);
  heard.heard.rows = 9;  // of the one that is gone
  const Json verdict = Ask({.expected_head = "", .heard = {heard}, .epoch = 8});
  EXPECT_FALSE(IsIntact(verdict));
  EXPECT_EQ(verdict["nodes"][0]["verdict"], "differs");
  EXPECT_THAT(verdict["nodes"][0]["why"].get<std::string>(), HasSubstr("only 3 rows"));
}

TEST_F(AuditVerdictTest, AnotherHistoryOfTheSameLengthIsNoticed) {
  HeardByNode heard = Heard(7);
  heard.heard.head.value[0] ^= 1;
  EXPECT_EQ(Ask({.expected_head = "", .heard = {heard}, .epoch = 8})["nodes"][0]["verdict"],
            "differs");
}

TEST_F(AuditVerdictTest, ARestoreExplainsWhatWasHeardBefore) {
  HeardByNode heard = Heard(7);
  heard.heard.rows = 9;
  ASSERT_TRUE(store_->AddAudit("alice", "restore", "weir.tar").ok());
  const Json verdict = Ask({.expected_head = "", .heard = {heard}, .epoch = 8});
  EXPECT_TRUE(IsIntact(verdict));
  EXPECT_EQ(verdict["nodes"][0]["verdict"], "explained");
  EXPECT_THAT(verdict["nodes"][0]["why"].get<std::string>(), HasSubstr("by alice"));
  EXPECT_FALSE(IsIntact(Ask({.expected_head = "", .heard = {heard}, .epoch = 7})))
      << "not what was heard since";
  heard.heard.rows = 2;
  EXPECT_FALSE(IsIntact(Ask({.expected_head = "", .heard = {heard}, .epoch = 8})))
      << "nor what is older than the backup";
}

TEST_F(AuditVerdictTest, AHeadThatWasWrittenDownIsFound) {
  const std::string head = Ask({})["head"];
  Commit(1);
  EXPECT_EQ(Ask({.expected_head = head})["expected_row"], 3);
  const Json verdict = Ask({.expected_head = std::string(64, 'a')});
  EXPECT_TRUE(verdict["expected_row"].is_null());
  EXPECT_FALSE(IsIntact(verdict));
  EXPECT_EQ(AuditVerdict(*store_, {.expected_head = "xyz"}).status().code(),
            Code::kInvalidArgument);
}

TEST_F(AuditVerdictTest, ABrokenChainNamesItsRow) {
  store::RunSql(data_dir() + "/weir.db", "UPDATE audit SET detail = 'x' WHERE seq = 2");
  const Json verdict = Ask({});
  EXPECT_FALSE(IsIntact(verdict));
  EXPECT_EQ(verdict["broken_row"], 2);
  EXPECT_EQ(verdict["rows"], 1) << "so far it holds";
}

}  // namespace
}  // namespace weir::control::backup
