// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/rollout_follow.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

#include "controlplane/cli/rollout_view.h"
#include "controlplane/cli/session.h"
#include "controlplane/cli/terminal.h"
#include "shared/base/clock.h"

namespace weir::control::cli {
namespace {

using codec::Json;

constexpr int64_t kLookMs = 300;
constexpr int64_t kStatusLookMs = 200;
constexpr int64_t kAwayMs = 60'000;

std::string RolloutPath(const std::string& name) {
  return "/v1/rollouts/" + http::PercentEncode(name);
}

// What the control plane still knows of a rollout's events, oldest first.
Json EventsOf(Session& session, const std::string& name) {
  Json events = Json::array();
  const Result<Json> answer = session.api().Get("/v1/events?follow=false");
  if (!answer.ok()) return events;
  for (const Json& event : (*answer)["items"]) {
    const Json data = event.value("data", Json::object());
    if (data.value("rollout", "") == name) events.push_back(event);
  }
  return events;
}

// The resource; with `wait`, once its state is final. A control plane that restarts meanwhile is
// asked again, for as long as the time-out allows (a minute without one).
void ShowStatus(Session& session, const std::string& name, bool wait) {
  const int64_t deadline = Clock::System().MonotonicMs() + session.timeout_ms();
  int64_t answered_ms = Clock::System().MonotonicMs();
  for (;;) {
    const Result<Json> rollout = session.api().Get(RolloutPath(name));
    const int64_t now_ms = Clock::System().MonotonicMs();
    const bool is_late = session.is_timeout_given && now_ms > deadline;
    if (!rollout.ok()) {
      const bool is_away = session.api().exit_code() == kExitUnreachable;
      const bool is_patient = session.is_timeout_given ? !is_late : now_ms < answered_ms + kAwayMs;
      if (!wait || !is_away || !is_patient) return session.Fail(rollout.status());
    } else {
      answered_ms = now_ms;
      const std::string state = (*rollout)["status"].value("state", "");
      if (!wait || IsFinalRollout(state)) {
        if (!session.PrintData(*rollout)) PrintRollout(*rollout);
        if (wait && state != "promoted") session.No();
        return;
      }
      if (is_late) {
        return session.FailAs(kExitTimeout,
                              fmt::format("{} is still {} after {}", name, state, session.timeout));
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(kStatusLookMs));
  }
}

// Lines for logs and scripts: one for each change but the countdown's, or JSON for each answer.
class Lines {
 public:
  Lines(Session& session, std::string name) : session_(session), name_(std::move(name)) {}

  void Show(const Json& rollout) {
    if (session_.json()) return Print(rollout.dump(), rollout.dump());
    const Json& status = rollout["status"];
    const std::string state = status.value("state", "");
    std::string waits;
    for (const Json& gate : status.value("gates", Json::array())) {
      if (gate.value("state", "") != "passed")
        waits += (waits.empty() ? "waits for " : ", ") + Text(gate["name"]);
    }
    Print(fmt::format("{}  {}  {}  {}  {} %  {}", FormatTimeMs(Clock::System().WallMs()), name_,
                      state, RolloutPhase(rollout), Text(status.value("percentage", Json(0))),
                      state == "progressing" ? waits : Text(status.value("waiting_for", Json()))),
          state + RolloutPhase(rollout) + Text(status.value("percentage", Json(0))) + waits);
  }

 private:
  void Print(const std::string& line, const std::string& what) {
    if (what == last_) return;
    last_ = what;
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
  }

  Session& session_;
  const std::string name_;
  std::string last_;
};

// The tree that is drawn again, and the keys below it. What changes something is asked twice.
class Screen {
 public:
  Screen(Session& session, std::string name) : session_(session), name_(std::move(name)) {}

  void Show(const Json& rollout) {
    state_ = rollout["status"].value("state", "");
    const size_t height = TerminalHeight();
    constexpr size_t kBelow = 3;  // the keys, a message, and the cursor
    std::vector<std::string> lines =
        RolloutTree(rollout, EventsOf(session_, name_),
                    {.color = WantsColor(),
                     .width = TerminalWidth(),
                     .height = height > kBelow ? height - kBelow : height});
    if (lines.size() > height - kBelow && height > kBelow) lines.resize(height - kBelow);
    if (keyboard_.HasKeys() && !IsFinalRollout(state_)) lines.push_back(Keys());
    if (!message_.empty()) lines.push_back(message_.substr(0, TerminalWidth()));
    screen_.Draw(lines);
  }

  // Waits for a key and does what it says; true: the user wants to leave.
  bool Obey() {
    const std::optional<char> key = keyboard_.Read(kLookMs);
    if (!key.has_value()) return false;
    if (*key == 'q' || *key == '\x04') return true;
    if (asked_ != 0) {
      const char verb = std::exchange(asked_, 0);
      if (*key == 'y' || *key == 'Y') Send(verb);
      return false;
    }
    if (std::string_view("par ").find(*key) != std::string_view::npos) asked_ = *key;
    return false;
  }

 private:
  std::string Keys() const {
    if (asked_ != 0) return fmt::format("{} {}? y / n", VerbOf(asked_), name_);
    return fmt::format("p promote   a approve   space {}   r roll back   q leave",
                       state_ == "paused" ? "resume" : "pause");
  }
  std::string VerbOf(char key) const {
    if (key == 'p') return "promote";
    if (key == 'a') return "approve";
    if (key == 'r') return "rollback";
    return state_ == "paused" ? "resume" : "pause";
  }
  void Send(char key) {
    const std::string verb = VerbOf(key);
    const Result<Json> answer =
        session_.api().Send("POST", fmt::format("{}/{}", RolloutPath(name_), verb),
                            {{"reason", "by hand, in weir rollout watch"}});
    message_ = answer.ok() ? fmt::format("{}: revision {}", verb, Text((*answer)["revision"]))
                           : answer.status().ToString();
  }

  Session& session_;
  const std::string name_;
  Keyboard keyboard_;
  Redrawn screen_;
  std::string state_;
  std::string message_;
  char asked_ = 0;
};

// Until it ends; `show` draws, `leave` waits a moment and says whether the user has enough.
template <class Show, class Leave>
void Follow(Session& session, const std::string& name, const Show& show, const Leave& leave) {
  for (;;) {
    const Result<Json> rollout = session.api().Get(RolloutPath(name));
    if (!rollout.ok()) return session.Fail(rollout.status());
    show(*rollout);
    const std::string state = (*rollout)["status"].value("state", "");
    if (IsFinalRollout(state)) {
      if (state != "promoted") session.No();
      return;
    }
    if (leave()) return;
  }
}

void Watch(Session& session, const std::string& name) {
  if (IsTerminal() && session.output == "table") {
    Screen screen(session, name);
    return Follow(
        session, name, [&](const Json& rollout) { screen.Show(rollout); },
        [&] { return screen.Obey(); });
  }
  Lines lines(session, name);
  Follow(
      session, name, [&](const Json& rollout) { lines.Show(rollout); },
      [] {
        std::this_thread::sleep_for(std::chrono::milliseconds(kLookMs));
        return false;
      });
}

// The rollout before and after a revision; objects, perhaps empty.
std::pair<Json, Json> StatusesOf(const Json& row) {
  for (const Json& change : row["changes"]) {
    if (change.value("kind", "") != "Rollout") continue;
    const auto status = [](const Json& document) {
      return document.is_object() ? document.value("status", Json::object()) : Json::object();
    };
    return {status(change["before"]), status(change["after"])};
  }
  return {Json::object(), Json::object()};
}

// What made it go back and how long that took; empty where nothing went back.
std::string RollbackOf(const Json& status) {
  const std::string state = status.value("state", "");
  if (state != "rolling_back" && state != "rolled_back") return "";
  const Json verdict = status.value("last_verdict", Json::object());
  std::string text = Text(verdict.value("trigger", Json("manual")));
  if (verdict.value("canary_requests", uint64_t{0}) > 0) {
    text +=
        fmt::format(", {} of {} bad beside {} of {}", Text(verdict["canary_bad"]),
                    Text(verdict["canary_requests"]), Text(verdict.value("stable_bad", Json(0))),
                    Text(verdict.value("stable_requests", Json(0))));
  }
  if (!status.contains("completed_at") || !status.contains("rollback_started_at")) return text;
  const Result<int64_t> from = ParseTimeMs(Text(status["rollback_started_at"]));
  const Result<int64_t> to = ParseTimeMs(Text(status["completed_at"]));
  if (from.ok() && to.ok())
    text += fmt::format(", complete after {} ms", std::max<int64_t>(0, *to - *from));
  return text;
}

void RolloutHistory(Session& session, const std::string& name) {
  const Result<Json> answer = session.api().Get(
      "/v1/history?kind=Rollout&name=" + http::PercentEncode(name) + "&limit=100");
  if (!answer.ok()) return session.Fail(answer.status());
  if (session.PrintData(*answer)) return;
  std::vector<std::vector<std::string>> rows;
  for (const Json& row : (*answer)["items"]) {
    const auto [before, after] = StatusesOf(row);
    const auto percent = [](const Json& status) {
      return status.contains("percentage") ? Text(status["percentage"]) : std::string("-");
    };
    rows.push_back({Text(row["revision"]), Text(row["at"]), Text(row["actor"]),
                    Text(after.value("state", Json("deleted"))),
                    fmt::format("{} → {}", percent(before), percent(after)), RollbackOf(after),
                    Text(row.value("reason", Json()))});
  }
  PrintTable({"REVISION", "AT", "ACTOR", "STATE", "PERCENT", "ROLLED BACK BY", "REASON"}, rows);
}

}  // namespace

void PrintRollout(const Json& rollout) {
  const TreeStyle style{.color = WantsColor(), .width = IsTerminal() ? TerminalWidth() : 0};
  for (const std::string& line : RolloutTree(rollout, Json::array(), style))
    std::printf("%s\n", line.c_str());
}

void AddRolloutViews(CLI::App& rollout, Session& session) {
  struct Options {
    std::string name;
    bool wait = false;
  };
  auto options = std::make_shared<Options>();
  const auto add = [&](const char* name, const char* help) {
    CLI::App* command = rollout.add_subcommand(name, help);
    command->add_option("name", options->name, "The rollout")->required();
    return command;
  };
  add("show", "The resource as JSON or YAML, or where it is and why")
      ->callback([&session, options] { ShowStatus(session, options->name, false); });
  CLI::App* status = add("status", "Where it is, what it waits for, and how far triggers are off");
  status->add_flag("--wait", options->wait,
                   "Until it ends; exit 1 unless it was promoted, 4 when --timeout passes first");
  status->footer("Example:\n  weir rollout status fraud-2 --wait --timeout 30m");
  status->callback([&session, options] { ShowStatus(session, options->name, options->wait); });
  CLI::App* watch = add("watch", "Follow it until it ends");
  watch->footer(
      "On a terminal a tree is drawn again as things change, with keys to promote, approve, pause\n"
      "and roll back. Elsewhere a line is printed for each change; -o json prints each state.");
  watch->callback([&session, options] { Watch(session, options->name); });
  add("history", "Its revisions: who, what share, why it went back")->callback([&session, options] {
    RolloutHistory(session, options->name);
  });
}

}  // namespace weir::control::cli
