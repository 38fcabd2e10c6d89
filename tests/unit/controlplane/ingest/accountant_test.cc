// SPDX-License-Identifier: Apache-2.0
#include "controlplane/ingest/accountant.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace weir::control::ingest {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const Origin kOrigin{"n1", 1000};

wire::Batch BatchOf(uint64_t seq, const Origin& origin = kOrigin) {
  wire::Batch batch;
  batch.node = origin.node;
  batch.incarnation = origin.incarnation;
  batch.seq = seq;
  return batch;
}

std::vector<uint64_t> Numbers(const Accountant::Answer& answer) {
  std::vector<uint64_t> out;
  for (const wire::Batch& batch : answer.apply) out.push_back(batch.seq);
  return out;
}

std::vector<uint64_t> Send(Accountant& accountant, uint64_t seq) {
  return Numbers(*accountant.OnBatch(BatchOf(seq)));
}

TEST(Accountant, AppliesInOrderAndEachOnce) {
  Accountant accountant;
  EXPECT_THAT(Send(accountant, 1), ElementsAre(1));
  EXPECT_THAT(Send(accountant, 2), ElementsAre(2));
  const auto again = accountant.OnBatch(BatchOf(1));
  EXPECT_THAT(again->apply, IsEmpty());
  EXPECT_FALSE(again->ack_again.has_value()) << "it is not stored yet";
  EXPECT_EQ(accountant.counters().duplicates, 1u);
}

TEST(Accountant, HoldsWhatComesEarlyUntilTheGapCloses) {
  Accountant accountant;
  EXPECT_THAT(Send(accountant, 3), IsEmpty());
  EXPECT_THAT(Send(accountant, 2), IsEmpty());
  EXPECT_THAT(Send(accountant, 3), IsEmpty());
  EXPECT_THAT(Send(accountant, 1), ElementsAre(1, 2, 3));
  EXPECT_EQ(accountant.counters().applied, 3u);
}

TEST(Accountant, DropsWhatIsBeyondTheWindow) {
  Accountant accountant;
  EXPECT_THAT(Send(accountant, Accountant::kWindow + 1), IsEmpty());
  EXPECT_EQ(accountant.counters().dropped, 1u);
  EXPECT_THAT(Send(accountant, Accountant::kWindow), IsEmpty());
  EXPECT_EQ(accountant.counters().held, 1u);
  EXPECT_THAT(Send(accountant, 1), ElementsAre(1));
  EXPECT_THAT(Send(accountant, Accountant::kWindow + 1), IsEmpty()) << "now within the window";
  EXPECT_EQ(accountant.counters().held, 2u);
}

TEST(Accountant, RefusesTheNumberZero) {
  Accountant accountant;
  EXPECT_EQ(accountant.OnBatch(BatchOf(0)).status().code(), Code::kInvalidArgument);
}

TEST(Accountant, AcknowledgesAgainWhatIsStored) {
  Accountant accountant;
  for (uint64_t seq = 1; seq <= 3; ++seq) Send(accountant, seq);
  const HighWaters stored = accountant.TakeChanged();
  EXPECT_EQ(stored.at(kOrigin).seq, 3u);
  EXPECT_THAT(accountant.TakeChanged(), IsEmpty());
  Send(accountant, 4);
  accountant.OnCommitted(stored);
  EXPECT_EQ(accountant.CommittedOf(kOrigin), 3u);
  EXPECT_EQ(accountant.OnBatch(BatchOf(2))->ack_again, 3u);
  EXPECT_FALSE(accountant.OnBatch(BatchOf(4))->ack_again.has_value());
}

TEST(Accountant, GoesOnFromWhatWasStoredAfterARestart) {
  Accountant accountant;
  accountant.Restore({{kOrigin, {.seq = 7, .lost = 2, .counted = 5}}});
  EXPECT_EQ(accountant.OnHello(kOrigin, 6).apply.size(), 0u);
  EXPECT_EQ(accountant.OnBatch(BatchOf(6))->ack_again, 7u);
  EXPECT_THAT(Send(accountant, 8), ElementsAre(8));
  EXPECT_EQ(accountant.TakeChanged().at(kOrigin), (HighWater{.seq = 8, .lost = 2, .counted = 6}));
}

TEST(Accountant, RemembersHowFarItWasWhenTheNodeSpokeFiveTimesBefore) {
  Accountant accountant;
  for (uint64_t seq = 1; seq <= Accountant::kTellings + 1; ++seq) {
    Send(accountant, seq);
    accountant.OnTold(kOrigin, {seq, 0, 0}, false);
    EXPECT_EQ(accountant.TakeTold().at(kOrigin).counted_before,
              seq <= Accountant::kTellings ? 0 : 1);
  }
  EXPECT_THAT(accountant.TakeTold(), IsEmpty());
}

TEST(Accountant, CountsEachLifeOfANodeApart) {
  Accountant accountant;
  const Origin second{"n1", 2000};
  EXPECT_THAT(Send(accountant, 1), ElementsAre(1));
  EXPECT_THAT(Numbers(*accountant.OnBatch(BatchOf(1, second))), ElementsAre(1));
  EXPECT_THAT(Send(accountant, 2), ElementsAre(2)) << "late batches of the first life still count";
}

TEST(Accountant, TakesAJumpAsDeclaredLoss) {
  Accountant accountant;
  Send(accountant, 1);
  EXPECT_THAT(Send(accountant, 4), IsEmpty());
  EXPECT_THAT(Send(accountant, 9), IsEmpty());
  // 2 and 3 will never come; 4 waits here and is saved; 5..7 are lost too.
  EXPECT_THAT(Numbers(accountant.OnHello(kOrigin, 8)), ElementsAre(4));
  EXPECT_EQ(accountant.TakeChanged().at(kOrigin), (HighWater{.seq = 7, .lost = 5, .counted = 2}));
  EXPECT_THAT(Send(accountant, 3), IsEmpty()) << "lost is lost: it must not count later";
  EXPECT_THAT(Send(accountant, 8), ElementsAre(8, 9));
}

TEST(Accountant, LosesNothingWhenHelloDeclaresNothing) {
  Accountant accountant;
  for (uint64_t seq = 1; seq <= 3; ++seq) Send(accountant, seq);
  EXPECT_THAT(accountant.OnHello(kOrigin, 0).apply, IsEmpty());
  EXPECT_THAT(accountant.OnHello(kOrigin, 1).apply, IsEmpty());
  EXPECT_THAT(accountant.OnHello(kOrigin, 4).apply, IsEmpty());
  EXPECT_EQ(accountant.counters().lost, 0u);
  EXPECT_THAT(Send(accountant, 4), ElementsAre(4));
}

TEST(Accountant, RemembersABoundedNumberOfLivesAndNeverCountsForgottenOnesAgain) {
  Accountant accountant;
  for (uint64_t life = 1; life <= Accountant::kIncarnationsKept + 2; ++life) {
    EXPECT_THAT(Numbers(*accountant.OnBatch(BatchOf(1, {"n1", life}))), ElementsAre(1));
  }
  EXPECT_THAT(Numbers(*accountant.OnBatch(BatchOf(1, {"n1", 1}))), IsEmpty());
  EXPECT_EQ(accountant.counters().dropped, 1u);
}

// A node with at most 32 batches in flight, a network that loses, repeats, delays and reorders, and
// control planes that crash between what they applied and what they stored.
TEST(Accountant, CountsExactlyOnceWhateverTheNetworkDoes) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    Accountant accountant;
    HighWaters store;
    std::map<uint64_t, int> stored_counts, memory_counts;
    std::vector<uint64_t> network;
    uint64_t next = 1, acked = 0;
    constexpr uint64_t kTotal = 300;
    const auto apply = [&](const Accountant::Answer& answer) {
      for (const wire::Batch& batch : answer.apply) ++memory_counts[batch.seq];
      if (answer.ack_again) acked = std::max(acked, *answer.ack_again);
    };
    for (int step = 0; step < 100'000 && acked < kTotal; ++step) {
      const uint32_t dice = random() % 100;
      if (dice < 30 && next <= kTotal && next <= acked + 32) {
        network.push_back(next++);
      } else if (dice < 45 && next > acked + 1) {  // resend
        network.push_back(acked + 1 + random() % (next - acked - 1));
      } else if (dice < 90 && !network.empty()) {
        const size_t at = random() % network.size();
        const uint64_t seq = network[at];
        if (random() % 4 != 0) apply(*accountant.OnBatch(BatchOf(seq)));  // else lost
        if (random() % 4 != 0) network.erase(network.begin() + static_cast<long>(at));
      } else if (dice < 98) {  // group commit
        for (const auto& [origin, high_water] : accountant.TakeChanged()) {
          store[origin] = high_water;
        }
        stored_counts = memory_counts;
        accountant.OnCommitted(store);
        acked = accountant.CommittedOf(kOrigin);
      } else {  // crash
        accountant = Accountant();
        accountant.Restore(store);
        memory_counts = stored_counts;
        apply(accountant.OnHello(kOrigin, acked + 1));
      }
    }
    ASSERT_EQ(acked, kTotal) << "seed " << seed;
    ASSERT_EQ(stored_counts.size(), kTotal) << "seed " << seed;
    for (const auto& [seq, count] : stored_counts) ASSERT_EQ(count, 1) << seq << " seed " << seed;
    ASSERT_EQ(accountant.counters().lost, 0u) << "seed " << seed;
  }
}

}  // namespace
}  // namespace weir::control::ingest
