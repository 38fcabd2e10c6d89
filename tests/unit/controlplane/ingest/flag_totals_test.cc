// SPDX-License-Identifier: Apache-2.0
#include "controlplane/ingest/flag_totals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/ingest/ledger.h"
#include "tests/fakes/temp_dir.h"

namespace weir::control::ingest {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

class Flags {
 public:
  void PutRollout(const std::string& name) { Put(name, domain::FlagSpec{}); }
  void PutVariants(const std::string& name, std::map<std::string, domain::JsonText> variants,
                   const std::string& off_variant) {
    domain::FlagSpec spec;
    spec.variants = std::move(variants);
    spec.off_variant = off_variant;
    Put(name, spec);
  }
  void Remove(const std::string& name) { flags_.erase(name); }
  FlagTotals::FindFlag Find() const {
    return [this](const std::string& name) -> const domain::Resource* {
      const auto found = flags_.find(name);
      return found == flags_.end() ? nullptr : &found->second;
    };
  }

 private:
  void Put(const std::string& name, domain::FlagSpec spec) {
    domain::Resource& flag = flags_[name];
    flag.kind = domain::Kind::kFlag;
    flag.name = name;
    flag.updated_at.ms = 1'000;
    flag.spec = std::move(spec);
  }
  std::map<std::string, domain::Resource> flags_;
};

TEST(FlagTotals, CountSinceTheFlagLastChangedAndForEver) {
  Flags flags;
  flags.PutRollout("a");
  FlagTotals totals(flags.Find());
  EXPECT_EQ(totals.Find("a"), nullptr);
  totals.Add({{"a", {{"on", 3}, {"off", 7}}}}, 2'000);
  EXPECT_EQ(totals.Find("a")->since_wall_ms, 1'000);
  EXPECT_EQ(totals.Find("a")->Total(), 10u);
  totals.OnChanged("a", 3, 5'000);
  totals.OnChanged("unknown", 3, 5'000);
  EXPECT_EQ(totals.Find("unknown"), nullptr);
  EXPECT_EQ(totals.Find("a")->Total(), 0u);
  totals.Add({{"a", {{"on", 1}}}}, 4'999);  // sent late
  totals.Add({{"a", {{"on", 2}}}}, 5'000);
  const FlagTotal& total = *totals.Find("a");
  EXPECT_EQ(total.since_wall_ms, 5'000);
  EXPECT_THAT(total.outcomes, ElementsAre(Pair("on", 2u)));
  EXPECT_EQ(total.enabled, 6u);
  EXPECT_EQ(total.disabled, 7u);
}

TEST(FlagTotals, WhatAnOlderSnapshotDecidedIsNotOfThePeriod) {
  Flags flags;
  flags.PutRollout("a");
  FlagTotals totals(flags.Find());
  totals.OnChanged("a", 12, 5'000);
  totals.Add({{"a", {{"off", 104}}}}, 6'000, 11);  // in one batch with the next
  totals.Add({{"a", {{"on", 7}}}}, 6'000, 12);
  totals.Add({{"a", {{"on", 2}}}}, 4'000, 15);  // whatever its clock says
  EXPECT_THAT(totals.Find("a")->outcomes, ElementsAre(Pair("on", 9u)));
  EXPECT_EQ(totals.Find("a")->disabled, 104u) << "counted for ever";
  EXPECT_EQ(totals.Find("a")->enabled, 9u);
  totals.Add({{"a", {{"off", 1}}}}, 4'999);  // of a node that does not say
  totals.Add({{"a", {{"off", 1}}}}, 5'000);
  EXPECT_THAT(totals.Find("a")->outcomes, ElementsAre(Pair("off", 1u), Pair("on", 9u)));
  // The revision is stored; a row from before it was goes by time.
  const auto rows = totals.TakeDirty();
  ASSERT_EQ(rows.size(), 1u);
  FlagTotals restored(flags.Find());
  ASSERT_TRUE(restored.Restore(rows[0], 9'000).ok());
  restored.Add({{"a", {{"off", 5}}}}, 9'000, 11);
  EXPECT_THAT(restored.Find("a")->outcomes, ElementsAre(Pair("off", 1u), Pair("on", 9u)));
  FlagTotals old(flags.Find());
  ASSERT_TRUE(old.Restore({"flag/a", R"({"since": 5000, "outcomes": {"on": 9}})"}, 9'000).ok());
  old.Add({{"a", {{"on", 1}}}}, 9'000, 11);
  EXPECT_EQ(old.Find("a")->Total(), 10u);
}

TEST(FlagTotals, AVariantIsEnabledUnlessItIsOffOrFalse) {
  Flags flags;
  flags.PutVariants("v", {{"yes", {"true"}}, {"no", {"false"}}}, "");
  flags.PutVariants("w", {{"old", {"\"v1\""}}, {"new", {"\"v2\""}}}, "old");
  FlagTotals totals(flags.Find());
  totals.Add({{"v", {{"yes", 1}, {"no", 10}, {"", 100}}}}, 2'000);
  totals.Add({{"w", {{"old", 1}, {"new", 10}}}}, 2'000);
  EXPECT_EQ(totals.Find("v")->enabled, 1u);
  EXPECT_EQ(totals.Find("v")->disabled, 110u);
  EXPECT_EQ(totals.Find("w")->enabled, 10u);
  EXPECT_EQ(totals.dropped(), 0u);
}

TEST(FlagTotals, KeepNothingThatTheCatalogDoesNotHave) {
  Flags flags;
  flags.PutRollout("a");
  flags.PutVariants("v", {{"yes", {"true"}}}, "");
  FlagTotals totals(flags.Find());
  for (int i = 0; i < 1000; ++i) {
    totals.Add({{"invented" + std::to_string(i), {{"on", 1}}},
                {"a", {{"yes", 1}}},
                {"v", {{"on", 1}, {"invented" + std::to_string(i), 1}}}},
               2'000);
  }
  EXPECT_EQ(totals.dropped(), 4000u);
  EXPECT_EQ(totals.Find("a"), nullptr);
  EXPECT_EQ(totals.Find("v"), nullptr);
  EXPECT_THAT(totals.TakeDirty(), IsEmpty());
}

class LedgerOfFlags : public ::testing::Test {
 protected:
  void SetUp() override {
    auto store = store::Store::Open(dir_.path(), clock_);
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    store_ = *std::move(store);
    flags_.PutRollout("a");
    flags_.PutRollout("b");
  }
  TelemetryTick Tick(uint64_t seq, FlagCounts counts) const {
    TelemetryTick tick;
    tick.flags[{clock_.MonotonicMs(), 0}] = std::move(counts);
    tick.high_waters[{"n1", 1}] = {seq, 0};
    return tick;
  }

  fakes::TempDir dir_;
  ManualClock clock_;
  Flags flags_;
  std::unique_ptr<store::Store> store_;
};

TEST_F(LedgerOfFlags, WhatIsAcknowledgedIsThereAfterARestartAndNothingElse) {
  {
    Ledger ledger(*store_, clock_, flags_.Find());
    ASSERT_TRUE(ledger.Load().ok());
    ledger.Add(Tick(1, {{"a", {{"off", 1}}}}));
    ledger.flags().OnChanged("a", 2, clock_.WallMs());
    ledger.Add(Tick(1, {{"a", {{"on", 3}}}, {"b", {{"off", 5}}}}));
    const auto stored = ledger.Commit({{"rollouts", "{}"}});
    ASSERT_TRUE(stored.ok());
    EXPECT_EQ(stored->at({"n1", 1}).seq, 1u);
    ledger.Add(Tick(2, {{"a", {{"on", 100}}}}));  // not committed: the node sends it again
  }
  Ledger ledger(*store_, clock_, flags_.Find());
  const auto committed = ledger.Load();
  ASSERT_TRUE(committed.ok());
  EXPECT_EQ(committed->at({"n1", 1}).seq, 1u);
  EXPECT_THAT(ledger.flags().Find("a")->outcomes, ElementsAre(Pair("on", 3u)));
  EXPECT_EQ(ledger.flags().Find("a")->since_wall_ms, clock_.WallMs());
  EXPECT_EQ(ledger.flags().Find("b")->disabled, 5u);
  ledger.Add(Tick(2, {{"a", {{"on", 100}}}}));
  EXPECT_EQ(ledger.flags().Find("a")->enabled, 103u);
}

TEST_F(LedgerOfFlags, AChangeThatACrashKeptFromTheTotalsBeginsANewPeriod) {
  std::string answers_by = "10 %";
  const auto digest = [&](const std::string& flag) { return flag == "a" ? answers_by : ""; };
  {
    Ledger ledger(*store_, clock_, flags_.Find(), digest);
    ASSERT_TRUE(ledger.Load().ok());
    ledger.Add(Tick(1, {{"a", {{"on", 3}}}, {"b", {{"off", 5}}}}));
    ASSERT_TRUE(ledger.Commit({{"rollouts", "{}"}}).ok());
  }
  answers_by = "20 %";
  clock_.AdvanceMs(5'000);
  for (int start = 0; start < 2; ++start) {
    Ledger ledger(*store_, clock_, flags_.Find(), digest);
    ASSERT_TRUE(ledger.Load().ok());
    const FlagTotal& total = *ledger.flags().Find("a");
    EXPECT_THAT(total.outcomes, IsEmpty()) << "those were of 10 %";
    EXPECT_EQ(total.enabled, 3u) << "counted for ever";
    EXPECT_EQ(total.since_wall_ms, clock_.WallMs() - start * 1'000) << "said once";
    EXPECT_EQ(ledger.flags().Find("b")->Total(), 5u);
    ASSERT_TRUE(ledger.Commit({{"rollouts", "{}"}}).ok());
    clock_.AdvanceMs(1'000);
  }
}

TEST_F(LedgerOfFlags, WritesOnlyWhatChangedAndForgetsWhatIsGone) {
  Ledger ledger(*store_, clock_, flags_.Find());
  ASSERT_TRUE(ledger.Load().ok());
  ledger.Add(Tick(1, {{"a", {{"on", 3}}}, {"b", {{"off", 5}}}}));
  ASSERT_TRUE(ledger.Commit({{"rollouts", "{}"}}).ok());
  EXPECT_THAT(ledger.flags().TakeDirty(), IsEmpty());
  ledger.Add(Tick(2, {{"b", {{"off", 5}}}}));
  const auto dirty = ledger.flags().TakeDirty();
  ASSERT_EQ(dirty.size(), 1u);
  EXPECT_EQ(dirty[0].name, "flag/b");
  ledger.flags().MarkDirty(dirty);
  flags_.Remove("b");
  ledger.flags().OnChanged("b", 2, clock_.WallMs());
  ASSERT_TRUE(ledger.Commit({{"rollouts", "{}"}}).ok());
  EXPECT_EQ(store_->LoadStates("flag/")->count("flag/b"), 0u);
  EXPECT_EQ(store_->LoadStates("flag/")->count("flag/a"), 1u);
  // The flag was deleted, and the process died before the totals were committed.
  flags_.Remove("a");
  Ledger next(*store_, clock_, flags_.Find());
  ASSERT_TRUE(next.Load().ok());
  ASSERT_TRUE(next.Commit({{"rollouts", "{}"}}).ok());
  EXPECT_THAT(*store_->LoadStates("flag/"), IsEmpty());
}

}  // namespace
}  // namespace weir::control::ingest
