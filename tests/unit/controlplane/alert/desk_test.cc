// SPDX-License-Identifier: Apache-2.0
// What becomes of observations: which alerts there are, and which sink is told what of them.
#include "controlplane/alert/desk.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "controlplane/store/store.h"
#include "shared/base/text.h"
#include "tests/fakes/temp_dir.h"

namespace weir::control::alert {
namespace {

using codec::Json;
using domain::Kind;
using domain::SilenceSpec;
using domain::SinkSpec;
using store::AlertRow;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class DeskTest : public testing::Test {
 protected:
  void SetUp() override { Restart(); }

  // Another process: what is stored is all that it knows.
  void Restart() {
    desk_.reset();
    store_.reset();
    auto opened = store::Store::Open(dir_.path(), clock_);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    store_ = *std::move(opened);
    desk_ = std::make_unique<Desk>(
        DeskOptions{[this](Kind kind, const auto& visit) {
                      for (const domain::Resource& resource : resources_) {
                        if (resource.kind == kind) visit(resource);
                      }
                    },
                    [this](const std::vector<AlertRow>& rows) {
                      return disk_.ok() ? store_->SaveAlerts(rows) : disk_;
                    },
                    [this](const Telling& telling) { tellings_.push_back(telling); },
                    [this](Json event) { events_.push_back(std::move(event)); }});
    desk_->Load(*store_->OpenAlerts(), *store_->LastAlert(), Now());
  }
  Moment Now() const { return {clock_.MonotonicMs(), clock_.WallMs()}; }

  template <class Spec>
  void Put(Kind kind, const std::string& name, Spec spec) {
    std::erase_if(resources_, [&](const auto& r) { return r.kind == kind && r.name == name; });
    domain::Resource resource;
    resource.kind = kind;
    resource.name = name;
    resource.spec = std::move(spec);
    resources_.push_back(std::move(resource));
  }
  void PutSink(const std::string& name, SinkSpec spec) { Put(Kind::kSink, name, std::move(spec)); }
  void PutSilence(const std::string& name, std::map<std::string, std::string> matchers,
                  int64_t lasts_ms, int64_t starts_ms = 0) {
    SilenceSpec spec;
    spec.matchers = std::move(matchers);
    spec.starts.ms = starts_ms;
    spec.until.ms = clock_.WallMs() + lasts_ms;
    Put(Kind::kSilence, name, std::move(spec));
  }
  void Delete(const std::string& name) {
    std::erase_if(resources_, [&](const auto& r) { return r.name == name; });
  }

  static Observation Of(const std::string& slo, const std::string& severity,
                        const std::string& policy = "checkout") {
    Observation observation;
    observation.policy = policy;
    observation.slo = slo;
    observation.model = "fraud";
    observation.version = "1.2.0";
    observation.is_firing = true;
    observation.severity = severity;
    observation.summary = slo + " is missed";
    observation.runbook_url = "https://wiki/" + slo;
    observation.value = 740;
    observation.threshold = 500;
    return observation;
  }
  void Fires(const std::string& slo, const std::string& severity) {
    desk_->Observe(Of(slo, severity), Now());
  }
  void Recovers(const std::string& slo) {
    Observation observation = Of(slo, "warning");
    observation.is_firing = false;
    desk_->Observe(observation, Now());
  }
  // Every second, with the same observation; then what was told since the last call, as
  // "sink: why slo severity, …".
  std::vector<std::string> After(int64_t ms, const std::string& slo = "",
                                 const std::string& severity = "warning") {
    tellings_.clear();
    const int64_t end_ms = clock_.MonotonicMs() + ms;
    do {
      if (!slo.empty()) Fires(slo, severity);
      desk_->Tick(Now());
      if (clock_.MonotonicMs() < end_ms) clock_.AdvanceMs(1000);
    } while (clock_.MonotonicMs() < end_ms);
    return Tellings();
  }
  std::vector<std::string> Tick() { return After(0); }
  std::vector<std::string> Tellings() const {
    std::vector<std::string> texts;
    for (const Telling& telling : tellings_) {
      std::vector<std::string> parts;
      for (const Json& alert : telling.data["alerts"]) {
        parts.push_back(fmt::format("{} {} {}", alert["why"].get<std::string>(),
                                    alert["slo"].get<std::string>(),
                                    alert["severity"].get<std::string>()));
      }
      texts.push_back(telling.sink + ": " + Join(parts, ", "));
    }
    return texts;
  }
  // "a1 firing warning".
  std::vector<std::string> Open() const {
    std::vector<std::string> texts;
    for (const AlertRow& row : desk_->Open())
      texts.push_back(fmt::format("{} {} {}", IdText(row.id), row.state, row.severity));
    return texts;
  }

  fakes::TempDir dir_;
  ManualClock clock_;
  Status disk_;
  std::vector<domain::Resource> resources_;
  std::vector<Telling> tellings_;
  std::vector<Json> events_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Desk> desk_;
};

TEST_F(DeskTest, TheSameAgainIsTheSameAlertAndToldOnce) {
  PutSink("chat", {});
  EXPECT_THAT(After(30'000, "p99"), ElementsAre("chat: firing p99 warning"));
  EXPECT_THAT(Open(), ElementsAre("a1 firing warning"));
  Observation later = Of("p99", "warning");
  later.value = 900;
  later.summary = "p99 is 900 ms";
  desk_->Observe(later, Now());
  EXPECT_THAT(Tick(), IsEmpty());
  EXPECT_EQ(desk_->Open()[0].value, 900);
  EXPECT_EQ(desk_->Open()[0].summary, "p99 is 900 ms");
  EXPECT_EQ(desk_->Open()[0].told_count, 1u);
}

TEST_F(DeskTest, PolicySloModelAndVersionTellAlertsApart) {
  for (const auto& change :
       {+[](Observation&) {}, +[](Observation& o) { o.policy = "other"; },
        +[](Observation& o) { o.slo = "errors"; }, +[](Observation& o) { o.model = "other"; },
        +[](Observation& o) { o.version = "1.3.0"; }, +[](Observation& o) { o.version = ""; }}) {
    Observation observation = Of("p99", "warning");
    change(observation);
    desk_->Observe(observation, Now());
    desk_->Observe(observation, Now());
  }
  EXPECT_EQ(desk_->Open().size(), 6u);
}

TEST_F(DeskTest, WhatTheEvaluatorSaysIsOverIsResolvedAndToldToWhoKnewOfIt) {
  PutSink("chat", {});
  PutSink("pager", {.min_severity = "critical"});
  EXPECT_THAT(After(5'000, "p99"), ElementsAre("chat: firing p99 warning"));
  Recovers("p99");
  EXPECT_THAT(Open(), IsEmpty());
  EXPECT_THAT(Tick(), ElementsAre("chat: resolved p99 warning"));
  EXPECT_EQ(tellings_[0].data["status"], "resolved");
  EXPECT_THAT(After(10'000), IsEmpty());
  const auto closed = *store_->ClosedAlerts({});
  ASSERT_EQ(closed.size(), 1u);
  EXPECT_EQ(closed[0].state, "resolved");
  EXPECT_EQ(closed[0].resolved_wall_ms - closed[0].started_wall_ms, 5'000);
  // What fires again is another one.
  Fires("p99", "warning");
  EXPECT_THAT(Tick(), ElementsAre("chat: firing p99 warning"));
  EXPECT_THAT(Open(), ElementsAre("a2 firing warning"));
}

TEST_F(DeskTest, WhatNobodySaysAnyMoreEnds) {
  PutSink("chat", {});
  Observation brief = Of("brief", "warning");
  brief.lasts_ms = 20'000;
  desk_->Observe(brief, Now());
  Fires("p99", "warning");
  EXPECT_THAT(After(19'000), ElementsAre("chat: firing brief warning, firing p99 warning"));
  EXPECT_THAT(After(2'000), ElementsAre("chat: resolved brief warning"));
  EXPECT_THAT(After(kLastsMs - 25'000), IsEmpty());
  EXPECT_THAT(After(10'000), ElementsAre("chat: resolved p99 warning"));
  EXPECT_THAT(Open(), IsEmpty());
}

TEST_F(DeskTest, WhatBecomesWorseIsToldAgainAndWhatSwingsIsNot) {
  PutSink("chat", {});
  PutSink("pager", {.min_severity = "high"});
  EXPECT_THAT(After(5'000, "p99", "warning"), ElementsAre("chat: firing p99 warning"));
  EXPECT_THAT(After(5'000, "p99", "high"),
              ElementsAre("chat: worse p99 high", "pager: firing p99 high"));
  for (const char* severity : {"warning", "high", "info", "high"})
    EXPECT_THAT(After(5'000, "p99", severity), IsEmpty()) << severity;
  EXPECT_THAT(After(5'000, "p99", "critical"),
              ElementsAre("chat: worse p99 critical", "pager: worse p99 critical"));
}

TEST_F(DeskTest, AnAcknowledgedAlertIsToldAgainOnlyWhenItBecomesWorseThanItEverWas) {
  PutSink("chat", {.repeat_every = {60'000}});
  After(5'000, "p99", "high");
  const auto row = desk_->Acknowledge("a1", "alice", "the index is being built", clock_.WallMs());
  ASSERT_TRUE(row.ok());
  EXPECT_EQ(row->acknowledged_by, "alice");
  EXPECT_EQ(store_->OpenAlerts()->at(0).state, "acknowledged") << "stored when it answers";
  EXPECT_THAT(After(300'000, "p99", "high"), ElementsAre("chat: acknowledged p99 high"));
  EXPECT_EQ(tellings_[0].data["alerts"][0]["acknowledged_by"], "alice");
  EXPECT_THAT(After(5'000, "p99", "warning"), IsEmpty());
  EXPECT_THAT(After(5'000, "p99", "high"), IsEmpty()) << "that was known";
  EXPECT_THAT(Open(), ElementsAre("a1 acknowledged high"));
  // A second one learns who was first.
  EXPECT_EQ(desk_->Acknowledge("a1", "bob", "", clock_.WallMs())->acknowledged_by, "alice");
  EXPECT_THAT(After(5'000, "p99", "critical"), ElementsAre("chat: worse p99 critical"));
  EXPECT_THAT(Open(), ElementsAre("a1 firing critical"));
  EXPECT_EQ(desk_->Acknowledge("a1", "bob", "", clock_.WallMs())->acknowledged_by, "bob");
}

TEST_F(DeskTest, AMistypedIdGetsTheNearest) {
  for (int i = 0; i < 12; ++i) Fires(fmt::format("slo{}", i), "warning");
  const auto wrong = desk_->Acknowledge("b12", "alice", "", clock_.WallMs());
  EXPECT_EQ(wrong.status().code(), Code::kNotFound);
  EXPECT_THAT(wrong.status().ToString(),
              HasSubstr("there is no open alert \"b12\" (did you mean \"a12\"?)"));
  for (const char* bad :
       {"", "a", "a0", "a01", "12", "a13", "a-1", "a99999999999999999999", "\x1b["})
    EXPECT_EQ(desk_->Acknowledge(bad, "alice", "", 0).status().code(), Code::kNotFound) << bad;
  Recovers("slo3");
  EXPECT_EQ(desk_->Acknowledge("a4", "alice", "", 0).status().code(), Code::kNotFound);
}

TEST_F(DeskTest, ASilencedAlertIsKeptAndToldToNobodyUntilTheSilenceEnds) {
  PutSink("chat", {.repeat_every = {60'000}});
  PutSilence("load-test", {{"policy", "checkout"}, {"model", "fraud"}}, 600'000);
  EXPECT_THAT(After(599'000, "p99"), IsEmpty());
  EXPECT_THAT(Open(), ElementsAre("a1 silenced warning"));
  EXPECT_EQ(desk_->Open()[0].silenced_by, "load-test");
  EXPECT_THAT(After(5'000, "p99"), ElementsAre("chat: firing p99 warning"));
  EXPECT_THAT(Open(), ElementsAre("a1 firing warning"));
  // One that begins while it fires stops the repetitions; one that is deleted ends at once.
  PutSilence("now", {{"slo", "p99"}}, 3'600'000);
  EXPECT_THAT(After(300'000, "p99"), IsEmpty());
  Delete("now");
  EXPECT_THAT(After(2'000, "p99"), ElementsAre("chat: firing p99 warning"));
}

TEST_F(DeskTest, ASilenceFitsOnlyWhenAllItsMatchersDoAndItIsTime) {
  AlertRow row;
  row.policy = "checkout";
  row.slo = "p99";
  row.model = "fraud";
  row.version = "1.2.0";
  row.severity = "warning";
  const auto fits = [&](std::map<std::string, std::string> matchers, int64_t now_ms = 150) {
    SilenceSpec silence;
    silence.matchers = std::move(matchers);
    silence.starts.ms = 100;
    silence.until.ms = 200;
    return Silences(silence, row, now_ms);
  };
  EXPECT_TRUE(fits({{"policy", "checkout"}}));
  EXPECT_TRUE(fits({{"slo", "p99"}, {"model", "fraud"}, {"version", "1.2.0"}}));
  EXPECT_TRUE(fits({{"severity", "medium"}}));
  EXPECT_FALSE(fits({{"severity", "critical"}}));
  EXPECT_FALSE(fits({{"policy", "checkout"}, {"model", "other"}}));
  EXPECT_FALSE(fits({{"team", "checkout"}}));
  EXPECT_FALSE(fits({}));
  EXPECT_FALSE(fits({{"policy", "checkout"}}, 99));
  EXPECT_TRUE(fits({{"policy", "checkout"}}, 100));
  EXPECT_FALSE(fits({{"policy", "checkout"}}, 200));
}

TEST_F(DeskTest, WhatBecomesWorseThanItsSilenceIsTold) {
  PutSink("chat", {});
  PutSilence("mild", {{"severity", "warning"}}, 3'600'000);
  EXPECT_THAT(After(5'000, "p99", "warning"), IsEmpty());
  EXPECT_THAT(After(5'000, "p99", "critical"), ElementsAre("chat: firing p99 critical"));
}

TEST_F(DeskTest, AnEndIsToldDuringASilenceToWhoKnewOfTheBeginning) {
  PutSink("pager", {});
  After(5'000, "p99");
  PutSilence("now", {{"slo", "p99"}}, 3'600'000);
  EXPECT_THAT(After(5'000, "p99"), IsEmpty());
  Fires("errors", "critical");
  PutSilence("both", {{"policy", "checkout"}}, 3'600'000);
  Recovers("p99");
  Recovers("errors");
  EXPECT_THAT(Tick(), ElementsAre("pager: resolved p99 warning"));
}

TEST_F(DeskTest, ASinkThatEscalatesHearsOfWhatNobodyAcknowledged) {
  PutSink("boss", {.escalate_after = {900'000}});
  PutSink("chat", {});
  EXPECT_THAT(After(899'000, "p99"), ElementsAre("chat: firing p99 warning"));
  EXPECT_THAT(After(5'000, "p99"), ElementsAre("boss: escalated p99 warning"));
  Fires("errors", "critical");
  EXPECT_THAT(Tick(), ElementsAre("chat: firing errors critical"));
  ASSERT_TRUE(desk_->Acknowledge("a2", "alice", "", clock_.WallMs()).ok());
  for (int i = 0; i < 2000; ++i) {
    Fires("p99", "warning");
    EXPECT_THAT(After(1'000, "errors", "critical"), testing::Each(HasSubstr("acknowledged")));
  }
}

TEST_F(DeskTest, RepeatsWhileItFiresAndNobodyAcknowledgedIt) {
  PutSink("chat", {.repeat_every = {60'000}});
  EXPECT_EQ(After(185'000, "p99").size(), 4u);
  EXPECT_EQ(Tellings()[3], "chat: repeated p99 warning");
  std::set<std::string> ids;
  for (const Telling& telling : tellings_) ids.insert(telling.id);
  EXPECT_EQ(ids.size(), 4u) << "a receiver drops what it knows";
}

TEST_F(DeskTest, AnAlertmanagerIsToldEveryMinuteAlsoOfWhatIsAcknowledged) {
  PutSink("am", {.url = "http://h", .format = "alertmanager"});
  EXPECT_EQ(After(125'000, "p99").size(), 3u);
  ASSERT_TRUE(desk_->Acknowledge("a1", "alice", "", clock_.WallMs()).ok());
  EXPECT_GE(After(125'000, "p99").size(), 2u);
}

TEST_F(DeskTest, OnCallHearsOfWhatIsCritical) {
  PutSink("oncall", {.events = {"emergency"}, .team = "platform", .on_call = true});
  EXPECT_THAT(After(5'000, "p99", "high"), IsEmpty());
  EXPECT_THAT(After(5'000, "p99", "critical"), ElementsAre("oncall: firing p99 critical"));
  EXPECT_EQ(tellings_[0].data["team"], "platform");
  EXPECT_EQ(tellings_[0].data["on_call"], true);
}

TEST_F(DeskTest, ADisabledSinkAndOneForOtherEventsHearNothing) {
  PutSink("off", {.enabled = false});
  PutSink("rollouts", {.events = {"rollout"}});
  PutSink("alerts", {.events = {"alert"}});
  EXPECT_THAT(After(5'000, "p99", "critical"), ElementsAre("alerts: firing p99 critical"));
}

TEST_F(DeskTest, WhatOnePolicySeesAtOnceIsOneNotice) {
  PutSink("chat", {});
  Fires("errors", "critical");
  Fires("p99", "warning");
  desk_->Observe(Of("p50", "info", "other"), Now());
  EXPECT_THAT(Tick(), ElementsAre("chat: firing errors critical, firing p99 warning",
                                  "chat: firing p50 info"));
  EXPECT_EQ(tellings_[0].data["policy"], "checkout");
  EXPECT_EQ(tellings_[0].data["severity"], "critical");
  Fires("p95", "high");
  Recovers("errors");
  EXPECT_THAT(Tick(), ElementsAre("chat: resolved errors critical, firing p95 high"));
  EXPECT_EQ(tellings_[0].data["status"], "firing");
  EXPECT_EQ(tellings_[0].data["severity"], "high") << "of what fires";
  for (size_t i = 0; i < kMaxInNotice + 1; ++i) Fires(fmt::format("slo{}", i), "info");
  EXPECT_EQ(Tick().size(), 2u) << "a notice stays small";
}

TEST_F(DeskTest, ARestartTellsNobodyTwiceAndForgetsNothing) {
  PutSink("chat", {});
  PutSink("boss", {.escalate_after = {600'000}});
  After(5'000, "p99", "high");
  Fires("errors", "critical");
  After(0);
  ASSERT_TRUE(desk_->Acknowledge("a2", "alice", "known", clock_.WallMs()).ok());
  Restart();
  EXPECT_THAT(Open(), ElementsAre("a1 firing high", "a2 acknowledged critical"));
  EXPECT_THAT(After(5'000, "p99", "high"), ElementsAre("chat: acknowledged errors critical"));
  clock_.AdvanceMs(590'000);
  EXPECT_THAT(After(5'000, "p99", "high"), testing::Contains("boss: escalated p99 high"));
  Recovers("p99");
  EXPECT_THAT(Tick(), testing::Contains("chat: resolved p99 high"));
  Fires("p50", "info");
  EXPECT_EQ(desk_->Open().back().id, 3u) << "no id is used twice";
}

TEST_F(DeskTest, WhatCannotBeStoredIsStoredLater) {
  PutSink("chat", {});
  disk_ = {Code::kResourceExhausted, "the disk is full"};
  EXPECT_THAT(After(5'000, "p99"), ElementsAre("chat: firing p99 warning")) << "told all the same";
  EXPECT_EQ(desk_->last_save().code(), Code::kResourceExhausted);
  const auto refused = desk_->Acknowledge("a1", "alice", "", clock_.WallMs());
  EXPECT_EQ(refused.status().code(), Code::kResourceExhausted);
  EXPECT_THAT(Open(), ElementsAre("a1 firing warning")) << "as if nobody had asked";
  Recovers("p99");
  Tick();
  EXPECT_TRUE(store_->ClosedAlerts({})->empty());
  disk_ = OkStatus();
  Tick();
  EXPECT_EQ(store_->ClosedAlerts({})->size(), 1u);
  EXPECT_TRUE(desk_->last_save().ok());
}

TEST_F(DeskTest, NumbersThatAreNoneAndWordsThatNobodyKnowsAreStoredAllTheSame) {
  Observation odd = Of("p99", "apocalyptic");
  odd.value = std::nan("");
  odd.threshold = INFINITY;
  odd.summary = std::string(5000, 'x');
  desk_->Observe(odd, Now());
  Tick();
  ASSERT_TRUE(desk_->last_save().ok()) << desk_->last_save().ToString();
  const AlertRow row = store_->OpenAlerts()->at(0);
  EXPECT_EQ(row.severity, "warning");
  EXPECT_EQ(row.value, 0);
  EXPECT_LE(row.summary.size(), 1003u);
}

TEST_F(DeskTest, WhatTellsByItselfIsListedOnly) {
  PutSink("chat", {});
  Observation rollout = Of("p99_latency_ms", "warning", "rollout/r");
  rollout.tells = false;
  const AlertRow* row = desk_->Observe(rollout, Now());
  ASSERT_NE(row, nullptr);
  EXPECT_EQ(row->state, "firing");
  EXPECT_THAT(Tick(), IsEmpty());
  Restart();
  EXPECT_THAT(Tick(), IsEmpty());
  PutSilence("r", {{"policy", "rollout/r"}}, 60'000);
  EXPECT_EQ(desk_->Observe(rollout, Now())->id, 1u);
  Tick();
  EXPECT_THAT(Open(), ElementsAre("a1 silenced warning"));
  desk_->EndAll("rollout/r", Now());
  EXPECT_THAT(Open(), IsEmpty());
}

TEST_F(DeskTest, EventsSayWhatChangedAndNothingElse) {
  After(30'000, "p99");
  After(5'000, "p99", "high");
  ASSERT_TRUE(desk_->Acknowledge("a1", "alice", "", clock_.WallMs()).ok());
  Recovers("p99");
  std::vector<std::string> changes;
  for (const Json& event : events_) {
    changes.push_back(fmt::format("{} {}>{} {}", event["id"].get<std::string>(),
                                  event["from"].get<std::string>(), event["to"].get<std::string>(),
                                  event["severity"].get<std::string>()));
  }
  EXPECT_THAT(changes, ElementsAre("a1 >firing warning", "a1 firing>firing high",
                                   "a1 firing>acknowledged high", "a1 acknowledged>resolved high"));
}

TEST_F(DeskTest, CountsBySeverityAndState) {
  Fires("p99", "high");
  Fires("p95", "high");
  Fires("errors", "critical");
  ASSERT_TRUE(desk_->Acknowledge("a3", "alice", "", clock_.WallMs()).ok());
  const auto counts = desk_->Counts();
  EXPECT_EQ(counts.at({"high", "firing"}), 2u);
  EXPECT_EQ(counts.at({"critical", "acknowledged"}), 1u);
  EXPECT_EQ(counts.size(), 2u);
}

TEST_F(DeskTest, HistoryIsFilteredTheYoungestFirstAndForgottenByItsEnd) {
  for (const auto& [slo, severity] :
       {std::pair("p99", "high"), std::pair("errors", "critical"), std::pair("p50", "high")}) {
    Fires(slo, severity);
    clock_.AdvanceMs(1000);
    Recovers(slo);
    Tick();
  }
  Fires("open", "high");
  Tick();
  const auto slos = [&](const store::AlertFilter& filter) {
    std::vector<std::string> names;
    for (const AlertRow& row : *store_->ClosedAlerts(filter)) names.push_back(row.slo);
    return names;
  };
  EXPECT_THAT(slos({}), ElementsAre("p50", "errors", "p99"));
  EXPECT_THAT(slos({.severity = "high"}), ElementsAre("p50", "p99"));
  EXPECT_THAT(slos({.severity = "high", .limit = 1}), ElementsAre("p50"));
  EXPECT_THAT(slos({.policy = "nobody"}), IsEmpty());
  ASSERT_TRUE(store_->PruneAlerts(clock_.WallMs()).ok());
  EXPECT_THAT(slos({}), ElementsAre("p50"));
  EXPECT_EQ(store_->OpenAlerts()->size(), 1u);
  EXPECT_EQ(store_->Alert(2).status().code(), Code::kNotFound);
  EXPECT_EQ(store_->Alert(4)->slo, "open");
}

}  // namespace
}  // namespace weir::control::alert
