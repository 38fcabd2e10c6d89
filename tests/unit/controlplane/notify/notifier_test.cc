// SPDX-License-Identifier: Apache-2.0
#include "controlplane/notify/notifier.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/fakes/mailbox.h"
#include "tests/fakes/receiver.h"

namespace weir::control::notify {
namespace {

using fakes::Receiver;

class NotifierTest : public testing::Test {
 protected:
  domain::SinkSpec& AddSink(const std::string& name, const std::string& url) {
    domain::Resource sink;
    sink.kind = domain::Kind::kSink;
    sink.name = name;
    sink.spec = domain::SinkSpec{.url = url};
    return sinks_.insert_or_assign(name, sink).first->second.As<domain::SinkSpec>();
  }
  void Happens(int number) {
    notifier_.OnEvent({"7-" + std::to_string(number),
                       "rollout",
                       clock_.WallMs(),
                       {{"rollout", "r"}, {"to", "promoted"}, {"percentage", 100}}});
  }
  static std::vector<std::string> Ids(Receiver& receiver) {
    std::vector<std::string> ids;
    for (const auto& post : receiver.posts()) ids.push_back(post.headers.at("X-Weir-Delivery"));
    return ids;
  }
  // Jumps to where the next attempt is surely due, and lets it end.
  void NextAttempt() {
    clock_.AdvanceMs(100'000);
    notifier_.Tick();
    ASSERT_TRUE(core_.RunAll(1));
  }

  ManualClock clock_;
  fakes::Mailbox core_;
  std::map<std::string, domain::Resource> sinks_;
  Notifier notifier_{{clock_, core_,
                      [this](domain::Kind, const std::string& name) {
                        const auto found = sinks_.find(name);
                        return found == sinks_.end() ? nullptr : &found->second;
                      },
                      [this](domain::Kind, const auto& visit) {
                        for (const auto& [name, sink] : sinks_) visit(sink);
                      }}};
};

TEST_F(NotifierTest, TellsEverySinkOnceAndInOrder) {
  Receiver one;
  Receiver two;
  AddSink("one", one.url());
  AddSink("two", two.url()).events = {"emergency"};
  for (int i = 1; i <= 3; ++i) Happens(i);
  for (int i = 1; i <= 3; ++i) ASSERT_TRUE(core_.RunAll(1));
  EXPECT_EQ(Ids(one), (std::vector<std::string>{"7-1", "7-2", "7-3"}));
  EXPECT_TRUE(two.posts().empty());
  EXPECT_EQ(notifier_.Counts().at("one").delivered, 3u);
  EXPECT_TRUE(notifier_.Troubles().empty());
}

TEST_F(NotifierTest, TriesAgainWithGrowingPauses) {
  Receiver receiver;
  receiver.AnswerWith(503, "busy");
  AddSink("hook", receiver.url());
  Happens(1);
  ASSERT_TRUE(core_.RunAll(1));
  const int64_t pauses_ms[] = {4000, 8000, 16'000, 32'000, 64'000, 64'000, 64'000};
  for (int i = 0; i < 7; ++i) {
    const size_t attempts = receiver.posts().size();
    clock_.AdvanceMs(pauses_ms[i] * 3 / 4 - 1);
    notifier_.Tick();
    EXPECT_EQ(notifier_.StatusOf("hook")["last"]["attempts"], i + 1);
    EXPECT_EQ(receiver.posts().size(), attempts) << "too early";
    clock_.AdvanceMs(pauses_ms[i] / 2 + 1);
    notifier_.Tick();
    ASSERT_TRUE(core_.RunAll(1));
  }
  EXPECT_EQ(Ids(receiver), std::vector<std::string>(8, "7-1"));
  receiver.AnswerWith(200);
  ASSERT_NO_FATAL_FAILURE(NextAttempt());
  EXPECT_EQ(notifier_.Counts().at("hook").delivered, 1u);
  EXPECT_EQ(notifier_.Counts().at("hook").failed, 0u);
  EXPECT_TRUE(notifier_.Troubles().empty());
}

TEST_F(NotifierTest, GivesUpAfterADayAndGoesOnWithTheNext) {
  Receiver receiver;
  receiver.AnswerWith(503, "busy");
  AddSink("hook", receiver.url());
  Happens(1);
  ASSERT_TRUE(core_.RunAll(1));
  clock_.AdvanceMs(kKeepTryingMs - 1);
  Happens(2);  // and so it is tried
  ASSERT_TRUE(core_.RunAll(1));
  EXPECT_EQ(notifier_.Counts().at("hook").failed, 0u);
  clock_.AdvanceMs(1);
  ASSERT_NO_FATAL_FAILURE(NextAttempt());
  EXPECT_EQ(notifier_.Counts().at("hook").failed, 1u);
  ASSERT_TRUE(core_.RunAll(1));
  EXPECT_EQ(Ids(receiver), (std::vector<std::string>{"7-1", "7-1", "7-1", "7-2"}));
}

TEST_F(NotifierTest, WhatCannotBeToldHoldsUpOnlyWhatIsAboutTheSame) {
  Receiver receiver;
  receiver.AnswerWith(500, "it does not like this one");
  AddSink("hook", receiver.url());
  Happens(1);
  Happens(2);
  ASSERT_TRUE(core_.RunAll(1));
  for (int i = 1; i < kAttemptsInTurn; ++i) ASSERT_NO_FATAL_FAILURE(NextAttempt());
  EXPECT_EQ(Ids(receiver), std::vector<std::string>(kAttemptsInTurn, "7-1"));
  notifier_.Tell("hook", {"7-3", "rollout", clock_.WallMs(), {{"rollout", "another"}}});
  receiver.AnswerWith(200);
  ASSERT_NO_FATAL_FAILURE(NextAttempt());
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(core_.RunAll(1));
  std::vector<std::string> ids = Ids(receiver);
  ids.erase(ids.begin(), ids.begin() + kAttemptsInTurn);
  EXPECT_EQ(ids, (std::vector<std::string>{"7-3", "7-1", "7-2"}));
}

TEST_F(NotifierTest, ATroubleSaysWhatAndSinceWhen) {
  Receiver receiver;
  receiver.AnswerWith(500, "broken");
  AddSink("hook", receiver.url() + "/secret");
  Happens(1);
  const int64_t since_ms = clock_.WallMs();
  ASSERT_TRUE(core_.RunAll(1));
  Happens(2);
  ASSERT_NO_FATAL_FAILURE(NextAttempt());
  ASSERT_EQ(notifier_.Troubles().size(), 1u);
  EXPECT_EQ(notifier_.Troubles()[0].sink, "hook");
  EXPECT_EQ(notifier_.Troubles()[0].since_wall_ms, since_ms);
  EXPECT_EQ(notifier_.Troubles()[0].why,
            "attempt 2: status 500: broken; 2 waiting, 0 given up, 0 dropped");
}

TEST_F(NotifierTest, WhatIsRefusedForGoodIsNotTriedAgain) {
  Receiver receiver;
  receiver.AnswerWith(410, "gone");
  AddSink("hook", receiver.url());
  Happens(1);
  Happens(2);
  ASSERT_TRUE(core_.RunAll(1));
  ASSERT_TRUE(core_.RunAll(1));
  EXPECT_EQ(Ids(receiver), (std::vector<std::string>{"7-1", "7-2"}));
  EXPECT_EQ(notifier_.Counts().at("hook").failed, 2u);
  EXPECT_EQ(notifier_.Troubles().size(), 1u);
}

TEST_F(NotifierTest, AChangedSinkIsTriedAtOnce) {
  Receiver wrong;
  wrong.AnswerWith(500);
  Receiver right;
  AddSink("hook", wrong.url());
  Happens(1);
  ASSERT_TRUE(core_.RunAll(1));
  notifier_.Tick();
  EXPECT_EQ(wrong.posts().size(), 1u);
  AddSink("hook", right.url());
  notifier_.Tick();
  ASSERT_TRUE(core_.RunAll(1));
  EXPECT_EQ(Ids(right), std::vector<std::string>{"7-1"});
}

TEST_F(NotifierTest, ASlowSinkHoldsUpNoOther) {
  Receiver slow;
  slow.Hang();
  Receiver fast;
  AddSink("a_slow", slow.url()).timeout.ms = 60'000;
  AddSink("b_fast", fast.url());
  for (int i = 1; i <= 5; ++i) Happens(i);
  for (int i = 1; i <= 5; ++i) ASSERT_TRUE(core_.RunAll(1));
  EXPECT_EQ(fast.posts().size(), 5u);
  EXPECT_EQ(notifier_.StatusOf("a_slow")["waiting"], 5);
  const int64_t before_ms = Clock::System().MonotonicMs();
  notifier_.Stop();
  EXPECT_LT(Clock::System().MonotonicMs() - before_ms, 5000);
  slow.Stop();
}

TEST_F(NotifierTest, AFullQueueLosesTheOldestAndCountsThem) {
  Receiver receiver;
  receiver.AnswerWith(503);
  AddSink("hook", receiver.url());
  for (int i = 1; i <= 300; ++i) Happens(i);
  ASSERT_TRUE(core_.RunAll(1));
  EXPECT_EQ(notifier_.Counts().at("hook").dropped, 300 - kMaxWaiting);
  receiver.AnswerWith(200);
  ASSERT_NO_FATAL_FAILURE(NextAttempt());
  ASSERT_TRUE(core_.RunAll(1));
  const std::vector<std::string> ids = Ids(receiver);
  ASSERT_GE(ids.size(), 3u);
  EXPECT_EQ(ids[1], "7-1") << "what was on its way stays";
  EXPECT_EQ(ids[2], "7-46");
}

TEST_F(NotifierTest, ADeletedSinkIsForgottenAndADisabledOneToldNothing) {
  Receiver receiver;
  receiver.AnswerWith(503);
  AddSink("hook", receiver.url());
  Happens(1);
  ASSERT_TRUE(core_.RunAll(1));
  sinks_.at("hook").As<domain::SinkSpec>().enabled = false;
  Happens(2);
  notifier_.Tick();
  EXPECT_EQ(notifier_.StatusOf("hook")["waiting"], 0);
  EXPECT_TRUE(notifier_.Troubles().empty());
  sinks_.clear();
  notifier_.Tick();
  EXPECT_TRUE(notifier_.Counts().empty());
  EXPECT_EQ(receiver.posts().size(), 1u);
}

TEST_F(NotifierTest, WhatIsForOneSinkGoesToNoOther) {
  Receiver pager;
  Receiver chat;
  AddSink("pager", pager.url()).min_severity = "critical";
  AddSink("chat", chat.url());
  notifier_.Tell("pager", {"alert-1", "alert", clock_.WallMs(), {{"severity", "info"}}});
  notifier_.Tell("gone", {"alert-2", "alert", clock_.WallMs(), {{"severity", "info"}}});
  ASSERT_TRUE(core_.RunAll(1));
  EXPECT_EQ(Ids(pager), std::vector<std::string>{"alert-1"});
  EXPECT_TRUE(chat.posts().empty());
}

// A control plane whose notices outlive its processes.
class NotifierRestart : public NotifierTest {
 protected:
  std::unique_ptr<Notifier> Start() {
    auto notifier = std::make_unique<Notifier>(NotifierOptions{
        clock_, core_,
        [this](domain::Kind, const std::string& name) {
          const auto found = sinks_.find(name);
          return found == sinks_.end() ? nullptr : &found->second;
        },
        [](domain::Kind, const auto&) {}, [] { return Surroundings(); },
        [this](const std::vector<store::NoticeRow>& waiting, const std::vector<uint64_t>& done) {
          if (!is_disk_full_) {
            ++saves_;
            for (const store::NoticeRow& row : waiting) stored_[row.number] = row;
            for (const uint64_t number : done) stored_.erase(number);
          }
          return is_disk_full_ ? Status(Code::kResourceExhausted, "the disk is full") : OkStatus();
        }});
    std::vector<store::NoticeRow> rows;
    for (const auto& [number, row] : stored_) rows.push_back(row);
    notifier->Load(rows);
    return notifier;
  }
  void Tell(Notifier& notifier, const std::string& id) {
    notifier.Tell("hook", {id, "rollout", 42, {{"rollout", "r"}, {"to", "rolling_back"}}});
  }
  // Lets time pass until it holds.
  bool Until(Notifier& notifier, const std::function<bool()>& holds) {
    for (int i = 0; i < 20 && !holds(); ++i) {
      clock_.AdvanceMs(100'000);
      notifier.Tick();
      if (!holds() && !core_.RunAll(1)) return false;
    }
    return holds();
  }
  std::vector<std::string> Stored() const {
    std::vector<std::string> ids;
    for (const auto& [number, row] : stored_) ids.push_back(row.id);
    return ids;
  }

  std::map<uint64_t, store::NoticeRow> stored_;
  int saves_ = 0;
  bool is_disk_full_ = false;
};

TEST_F(NotifierRestart, WhatWasNotDeliveredIsToldByTheNextProcessInOrderAndUnderItsId) {
  Receiver receiver;
  receiver.AnswerWith(503);
  AddSink("hook", receiver.url());
  auto before = Start();
  Tell(*before, "7-1");
  Tell(*before, "7-2");
  ASSERT_TRUE(core_.RunAll(2));  // an attempt, and one time of storing
  EXPECT_EQ(saves_, 1);
  ASSERT_EQ(Stored(), (std::vector<std::string>{"7-1", "7-2"}));
  const auto kept = stored_;
  before.reset();
  stored_ = kept;  // as a kill leaves it
  receiver.AnswerWith(200);

  auto after = Start();
  EXPECT_EQ(after->StatusOf("hook")["waiting"], 2);
  ASSERT_TRUE(Until(*after, [&] { return stored_.empty(); }));
  EXPECT_EQ(Ids(receiver), (std::vector<std::string>{"7-1", "7-1", "7-2"}));
  const codec::Json body = *codec::ParseJson(receiver.posts()[2].body);
  EXPECT_EQ(body["data"]["to"], "rolling_back");
  EXPECT_EQ(body["at"], FormatTimeMs(42));

  after.reset();
  auto third = Start();
  Tell(*third, "7-3");
  ASSERT_TRUE(core_.RunAll(2));
  EXPECT_EQ(Ids(receiver).back(), "7-3");
  EXPECT_EQ(receiver.posts().size(), 4u) << "nothing is told anew";
}

TEST_F(NotifierRestart, TheDayOfANoticeGoesOnWhileNothingRuns) {
  Receiver receiver;
  receiver.AnswerWith(503);
  AddSink("hook", receiver.url());
  auto before = Start();
  Tell(*before, "7-1");
  ASSERT_TRUE(core_.RunAll(2));
  before.reset();
  clock_.AdvanceMs(kKeepTryingMs);
  auto after = Start();
  ASSERT_TRUE(Until(*after, [&] { return stored_.empty(); }));
  EXPECT_EQ(after->Counts().at("hook").failed, 1u) << "it is tried once more";
  EXPECT_EQ(receiver.posts().size(), 2u);
}

TEST_F(NotifierRestart, WhatWaitsForADeletedOrDisabledSinkIsForgotten) {
  Receiver receiver;
  receiver.AnswerWith(503);
  AddSink("hook", receiver.url());
  auto notifier = Start();
  Tell(*notifier, "7-1");
  ASSERT_TRUE(core_.RunAll(2));
  sinks_.at("hook").As<domain::SinkSpec>().enabled = false;
  notifier->Tick();
  clock_.AdvanceMs(2000);
  notifier->Tick();
  EXPECT_TRUE(stored_.empty());
  sinks_.at("hook").As<domain::SinkSpec>().enabled = true;
  Tell(*notifier, "7-2");
  ASSERT_TRUE(core_.RunAll(1));
  EXPECT_EQ(Stored(), std::vector<std::string>{"7-2"});
  sinks_.clear();
  clock_.AdvanceMs(2000);
  notifier->Tick();
  EXPECT_TRUE(stored_.empty());
}

TEST_F(NotifierRestart, AFullDiskIsSaidAndTriedAgain) {
  Receiver receiver;
  receiver.AnswerWith(503);
  AddSink("hook", receiver.url());
  is_disk_full_ = true;
  auto notifier = Start();
  Tell(*notifier, "7-1");
  ASSERT_TRUE(core_.RunAll(2));
  EXPECT_EQ(receiver.posts().size(), 1u) << "it is told all the same";
  EXPECT_EQ(notifier->last_save().code(), Code::kResourceExhausted);
  is_disk_full_ = false;
  clock_.AdvanceMs(1000);
  notifier->Tick();
  EXPECT_TRUE(notifier->last_save().ok());
  EXPECT_EQ(Stored(), std::vector<std::string>{"7-1"});
}

TEST_F(NotifierRestart, WhatWaitsAlreadyIsNotQueuedAgain) {
  Receiver receiver;
  receiver.AnswerWith(503);
  AddSink("hook", receiver.url());
  auto notifier = Start();
  Tell(*notifier, "alert-1");
  Tell(*notifier, "alert-1");
  EXPECT_EQ(notifier->StatusOf("hook")["waiting"], 1);
}

TEST_F(NotifierTest, ATestGoesBeforeWhatWaitsAndIsTriedOnce) {
  EXPECT_EQ(notifier_.Test("nowhere").status().code(), Code::kNotFound);
  Receiver receiver;
  receiver.AnswerWith(503, "down");
  AddSink("hook", receiver.url()).min_severity = "critical";
  const Result<std::string> first = notifier_.Test("hook");
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(core_.RunAll(1));
  codec::Json last = notifier_.StatusOf("hook")["last"];
  EXPECT_EQ(last["id"], *first);
  EXPECT_EQ(last["result"], "failed");
  EXPECT_EQ(last["detail"], "status 503: down");
  sinks_.at("hook").As<domain::SinkSpec>().min_severity = "info";
  Happens(1);
  ASSERT_TRUE(core_.RunAll(1));
  receiver.AnswerWith(200);
  const Result<std::string> second = notifier_.Test("hook");
  ASSERT_TRUE(core_.RunAll(1));
  EXPECT_EQ(notifier_.StatusOf("hook")["last"]["id"], *second);
  ASSERT_TRUE(core_.RunAll(1));
  EXPECT_EQ(Ids(receiver), (std::vector<std::string>{*first, "7-1", *second, "7-1"}));
  EXPECT_EQ(receiver.posts()[0].headers.at("X-Weir-Event"), "test");
}

}  // namespace
}  // namespace weir::control::notify
