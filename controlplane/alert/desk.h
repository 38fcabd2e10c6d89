// SPDX-License-Identifier: Apache-2.0
// Makes alerts of observations, and decides which sink is told what of them, and when.
//
// An alert is the first observation of its policy, SLO, model and version that fires; further ones
// that say the same change its numbers and nothing else. It is
//   firing        until somebody acknowledges it,
//   acknowledged  until it ends, or becomes worse than it ever was: then it is firing again,
//   silenced      while a Silence fits it; afterwards, if it is firing still, people are told anew,
//   resolved      when an observation says so, or none has come for its lasts_ms.
// What ended never comes back: what fires again is another alert.
//
// Of an alert that is firing and at least of its min_severity a sink is told once, when nobody has
// looked after it for `escalate_after`; again when it becomes worse than the sink was told, and
// every `repeat_every`. A sink that was told hears of the acknowledgement and of the end, of the
// end also during a silence, so that what it opened is closed. Sinks of `on_call` are told of
// critical ones whatever their min_severity and events say. An Alertmanager is told again and again
// until the end (domain::RepeatEveryMs). What a sink is told of one policy at one Tick
// is one notice (at most kMaxInNotice alerts).
//
// Who knows what is part of each alert and stored with it, so that a restart tells nobody twice. A
// sink counts as told once its notice was handed to `tell`: that keeps it until it is delivered,
// also over a restart, and `save` stores it before the alert that says so.
// One thread; nothing but the functions it was given is outside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/alert/alert.h"
#include "controlplane/alert/observation.h"
#include "controlplane/store/records.h"
#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/domain/validate.h"

namespace weir::control::alert {

inline constexpr int64_t kLastsMs = 300'000;
inline constexpr size_t kMaxInNotice = 50;

// Windows run on monotonic time; what goes on after a restart, and what people see, on wall time.
struct Moment {
  int64_t ms = 0;
  int64_t wall_ms = 0;
};

// For one sink, of one policy.
struct Telling {
  std::string sink;
  std::string id;  // no other telling has it
  // {policy, status: firing | acknowledged | resolved, severity: the worst, team?, on_call?,
  // alerts: [ViewOf + why: firing | worse | escalated | repeated | acknowledged | resolved]}.
  codec::Json data;
};

struct DeskOptions {
  domain::ForEach for_each;  // Silences and Sinks
  std::function<Status(const std::vector<store::AlertRow>&)> save;
  std::function<void(const Telling&)> tell;
  // Something changed with an alert: ViewOf + from, the state before, "" of a new one.
  std::function<void(codec::Json)> show;
};

class Desk {
 public:
  explicit Desk(DeskOptions options) : options_(std::move(options)) {}
  Desk(const Desk&) = delete;
  Desk& operator=(const Desk&) = delete;

  // Once, first: what was open when the process before ended.
  void Load(std::vector<store::AlertRow> open, uint64_t last_id, const Moment& now);

  // The alert as it stands then; null when nothing fires. Good until the next call.
  const store::AlertRow* Observe(const Observation& observation, const Moment& now);
  // Nobody observes the policy's objects any more: what is open of it ends.
  void EndAll(const std::string& policy, const Moment& now);
  // Several times a second: silences, ends, tells, stores. What cannot be stored is tried again.
  void Tick(const Moment& now);
  // Stored when this returns; changes nothing when somebody has acknowledged it already. NotFound
  // names the nearest of those that are open.
  Result<store::AlertRow> Acknowledge(const std::string& id, const std::string& by,
                                      const std::string& reason, int64_t now_wall_ms);

  // Those that are open, by id.
  std::vector<store::AlertRow> Open() const;
  // By severity and state; only those that are open.
  std::map<std::pair<std::string, std::string>, uint64_t> Counts() const;
  // Of the last attempt to store.
  const Status& last_save() const { return last_save_; }

 private:
  struct Sink {
    std::string name;
    const domain::SinkSpec* spec;
  };
  struct Part {
    Alert* alert;
    std::string why;
  };

  Alert& Begin(const Observation& observation, const Moment& now);
  void Take(const Observation& observation, Alert& alert, const Moment& now);
  void End(Alert& alert, const Moment& now);
  // Whether another Silence fits it now, or none.
  bool IsInForce(const std::string& name, int64_t now_wall_ms) const;
  bool ApplySilence(Alert& alert, int64_t now_wall_ms);
  // Works out its state, notes that it is to be stored, and shows it.
  void Changed(Alert& alert, const std::string& from);
  void TellSinks(const Moment& now);
  void TellGroup(const Sink& sink, const std::vector<Part>& parts, const Moment& now);
  void Save();

  const DeskOptions options_;
  std::map<uint64_t, Alert> alerts_;      // those that are open, and ends that wait for the Tick
  std::map<std::string, uint64_t> open_;  // by KeyOf
  std::set<uint64_t> unsaved_;
  uint64_t last_id_ = 0;
  Status last_save_;
};

}  // namespace weir::control::alert
