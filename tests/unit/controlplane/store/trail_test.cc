// SPDX-License-Identifier: Apache-2.0
// What was in force when.
#include <gtest/gtest.h>

#include "controlplane/store/store.h"
#include "tests/fakes/temp_dir.h"

namespace weir::control::store {
namespace {

class StoreTrail : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = Store::Open(dir_.path(), clock_);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    store_ = *std::move(opened);
  }
  uint64_t Commit(int64_t at_wall_ms, std::vector<ChangeRow> changes) {
    return *store_->CommitRevision({.at_wall_ms = at_wall_ms,
                                    .actor = "a",
                                    .reason = "",
                                    .evidence = "",
                                    .changes = std::move(changes),
                                    .sources = {}});
  }
  void Write(std::vector<AppliedRow> applied, std::vector<EpisodeRow> episodes = {},
             std::vector<std::pair<std::string, int64_t>> restarts = {}) {
    TelemetryRecord record;
    record.applied = std::move(applied);
    record.episodes = std::move(episodes);
    record.restarts = std::move(restarts);
    ASSERT_TRUE(store_->CommitTelemetry(record).ok());
  }
  std::vector<uint64_t> Versions(const std::string& node, int64_t from, int64_t to) {
    std::vector<uint64_t> versions;
    for (const AppliedRow& row : *store_->ReadApplied(node, from, to))
      versions.push_back(row.version);
    return versions;
  }

  fakes::TempDir dir_;
  ManualClock clock_;
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTrail, EveryResourceAsItStood) {
  Commit(100, {{"Flag", "a", "created", "", "{a1}"}, {"Flag", "b", "created", "", "{b1}"}});
  Commit(200, {{"Flag", "a", "updated", "{a1}", "{a2}"}});
  Commit(300, {{"Flag", "b", "deleted", "{b1}", ""}});
  EXPECT_EQ(*store_->RevisionAt(99), 0u);
  EXPECT_EQ(*store_->RevisionAt(100), 1u);
  EXPECT_EQ(*store_->RevisionAt(299), 2u);
  EXPECT_EQ(*store_->RevisionAt(5000), 3u);
  EXPECT_TRUE(store_->ResourcesAt(0, {"Flag"})->empty());
  const auto second = *store_->ResourcesAt(2, {"Model", "Flag"});
  ASSERT_EQ(second.size(), 2u);
  EXPECT_EQ(second[0].document, "{a2}");
  EXPECT_EQ(second[0].revision, 2u);
  EXPECT_EQ(second[1].document, "{b1}");
  ASSERT_EQ(store_->ResourcesAt(3, {"Flag"})->size(), 1u);
  EXPECT_TRUE(store_->ResourcesAt(3, {"Model"})->empty());
}

TEST_F(StoreTrail, ANodesVersionsWithTheOneBefore) {
  Write({{"n1", 100, 7, 1, ""}, {"n1", 200, 7, 2, "flag x", "{}"}, {"n1", 300, 7, 3, ""}});
  Write({{"n2", 150, 7, 1, ""}});
  EXPECT_EQ(Versions("n1", 250, 260), std::vector<uint64_t>{2}) << "in force since before";
  EXPECT_EQ(Versions("n1", 250, 301), (std::vector<uint64_t>{2, 3}));
  EXPECT_EQ(Versions("n1", 50, 101), std::vector<uint64_t>{1});
  EXPECT_TRUE(Versions("n1", 50, 100).empty());
  EXPECT_EQ(Versions("", 250, 260), (std::vector<uint64_t>{2, 1})) << "of every node";
  EXPECT_EQ(store_->ReadApplied("n1", 250, 260)->at(0).refused, "flag x");
  EXPECT_EQ(store_->ReadApplied("n1", 250, 260)->at(0).labels, "{}");
  ASSERT_TRUE(store_->PruneTrail(250).ok());
  EXPECT_EQ(Versions("n1", 220, 230), std::vector<uint64_t>{2}) << "still needed";
  EXPECT_TRUE(Versions("n1", 120, 130).empty());
}

TEST_F(StoreTrail, EpisodesEndWithTheProcessThatHadThem) {
  Write({}, {{"n1", "breaker", "model/m/2", 100, 0, "open"}});
  EXPECT_EQ(store_->ReadEpisodes("n1", 500, 600)->size(), 1u) << "going on";
  EXPECT_TRUE(store_->ReadEpisodes("n1", 50, 100)->empty());
  Write({}, {{"n1", "breaker", "model/m/2", 700, 0, "open again"}}, {{"n1", 650}});
  const auto rows = *store_->ReadEpisodes("", 0, 1000);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].to_wall_ms, 650) << "when the node started anew";
  EXPECT_EQ(rows[1].to_wall_ms, 0);
  Write({}, {{"n1", "breaker", "model/m/2", 700, 800, "closed"}});
  EXPECT_EQ(store_->ReadEpisodes("n1", 0, 1000)->at(1).detail, "closed");
  Write({}, {{"gone", "breaker", "model/m/2", 690, 0, "open"}});
  Write({}, {{"n2", "breaker", "model/m/2", 710, 0, "open"}});
  ASSERT_TRUE(store_->PruneTrail(700).ok());
  EXPECT_EQ(store_->ReadEpisodes("n1", 0, 1000)->size(), 1u);
  EXPECT_TRUE(store_->ReadEpisodes("gone", 0, 1000)->empty()) << "it never came back";
  EXPECT_EQ(store_->ReadEpisodes("n2", 0, 1000)->size(), 1u);
}

}  // namespace
}  // namespace weir::control::store
