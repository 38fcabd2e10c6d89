// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/rollout_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "controlplane/cli/session.h"
#include "shared/base/clock.h"

namespace weir::control::cli {
namespace {

using codec::Json;

constexpr size_t kEventsShown = 6;

const char* kBold = "\x1b[1m";
const char* kRed = "\x1b[31m";
const char* kGreen = "\x1b[32m";
const char* kYellow = "\x1b[33m";
const char* kDim = "\x1b[2m";
const char* kPlain = "\x1b[0m";

size_t Columns(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

std::string Padded(std::string text, size_t columns) {
  const size_t have = Columns(text);
  return have < columns ? text + std::string(columns - have, ' ') : text;
}

// The first `width` columns; escape sequences take none.
std::string Cut(const std::string& line, size_t width) {
  size_t columns = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\x1b') {
      i = std::min(line.find('m', i), line.size() - 1);
      continue;
    }
    if ((static_cast<unsigned char>(line[i]) & 0xc0) == 0x80) continue;
    if (++columns > width) return line.substr(0, i) + kPlain;
  }
  return line;
}

std::string RatioAsPercent(double ratio) {
  return std::abs(ratio) < 1e-4 ? "0 %" : fmt::format("{:.3g} %", ratio * 100);
}

// What an arm shows of a metric, as people read it: rates in percent, latencies in ms.
std::string Value(const std::string& metric, const Json& value) {
  if (!value.is_number()) return "-";
  const auto number = value.get<double>();
  const auto is = [&](const char* name) { return metric == name; };
  if (is("error_rate") || is("error_rate_ratio") || is("p95_latency") || is("p99_latency") ||
      is("shadow_difference"))
    return RatioAsPercent(number);
  if (metric.ends_with("_ms") || is("p95_latency_ratio") || is("p99_latency_ratio") ||
      is("performance_degradation"))
    return fmt::format("{:.{}g} ms", number, number < 1000 ? 4 : 9);
  return fmt::format("{:.4g}", number);
}

// "> 1.5 × → rollback"
std::string Limit(const Json& trigger) {
  const std::string metric = trigger.value("metric", "");
  const double threshold = trigger.value("threshold", 0.0);
  const std::string value = metric == "performance_degradation" ? RatioAsPercent(threshold)
                            : metric.ends_with("_ratio") ? fmt::format("{:.4g} ×", threshold)
                                                         : Value(metric, threshold);
  return fmt::format("{} {} → {}", trigger.value("comparison", ">"), value,
                     trigger.value("action", ""));
}

std::string Duration(const Json& ms) {
  return ms.is_number() ? FormatDurationMs(ms.get<int64_t>() / 1000 * 1000) : "";
}

class Tree {
 public:
  explicit Tree(const TreeStyle& style) : style_(style) {}

  std::string Paint(const char* color, const std::string& text) const {
    return style_.color ? color + text + kPlain : text;
  }
  void Line(std::string text) { lines_.push_back(std::move(text)); }
  void Branch(const std::string& title, const std::string& text = "") {
    lines_.push_back("├─ " + Paint(kBold, Padded(title, 10)) + text);
  }
  void Leaf(const std::string& text) { lines_.push_back("│  " + text); }
  std::vector<std::string> Take(const std::string& last) {
    lines_.push_back("└─ " + last);
    for (std::string& line : lines_) {
      line.erase(line.find_last_not_of(' ') + 1);
      if (style_.width > 0) line = Cut(line, style_.width);
    }
    return std::move(lines_);
  }
  size_t size() const { return lines_.size(); }

 private:
  const TreeStyle& style_;
  std::vector<std::string> lines_;
};

const char* ColorOf(const std::string& state) {
  if (state == "promoted" || state == "progressing") return kGreen;
  if (state == "rolling_back" || state == "rolled_back") return kRed;
  return kYellow;
}

void AddPhases(const Json& rollout, Tree& tree) {
  const Json& status = rollout["status"];
  const Json phases = status.value("phases", Json::array());
  if (phases.empty()) return;
  tree.Branch("phases");
  for (size_t i = 0; i < phases.size(); ++i) {
    const Json& phase = phases[i];
    std::string state = phase.value("state", "");
    if (state == "current" && IsFinalRollout(status.value("state", ""))) state = "last";
    const Json& spec = rollout["spec"]["phases"][i];
    std::string text =
        Padded(Text(phase["name"]), 20) +
        Padded(fmt::format("{}{} %", phase.value("mode", "") == "shadow" ? "copy of " : "",
                           Text(phase["percentage"])),
               15);
    if (state == "current") {
      text += Duration(phase.value("age_ms", Json()));
      if (spec.value("duration", "0s") != "0s") text += " of " + spec.value("duration", "");
      const auto came = status.value("phase_requests", uint64_t{0});
      const Json quorum = status.value("quorum", Json::object());
      text += fmt::format(", {}", quorum.value("counted_requests", came));
      const auto wanted = spec.value("min_requests", uint64_t{0});
      text += wanted > 0 ? fmt::format(" of {} requests", wanted) : std::string(" requests");
      tree.Leaf(tree.Paint(kGreen, "▶ ") + text);
    } else if (state == "last") {
      tree.Leaf(tree.Paint(kYellow, "■ ") + text + "the last one");
    } else if (state == "done") {
      tree.Leaf("✔ " + text + "since " + Age(phase.value("since", Json())));
    } else {
      tree.Leaf(tree.Paint(kDim, "· " + text));
    }
  }
}

void AddShare(const Json& status, Tree& tree) {
  if (IsFinalRollout(status.value("state", ""))) return;
  const Json share = status.value("share", Json::object());
  std::string text = fmt::format("{} % wanted", Text(share.value("desired", Json(0))));
  text += share.contains("actual") ? fmt::format(", {:.3g} % actual", share["actual"].get<double>())
                                   : std::string(", no requests yet");
  if (status.contains("nodes") && status["nodes"].value("live", 0) > 0) {
    text += fmt::format("; {}/{} nodes have it", Text(status["nodes"]["applied"]),
                        Text(status["nodes"]["live"]));
  }
  tree.Branch("share", text);
}

// "2 of 2 wanted: n1 60 % (412 requests), n2 40 % (275 requests, 3 bad)".
void AddQuorum(const Json& status, Tree& tree) {
  constexpr size_t kNodesShown = 4;
  const Json quorum = status.value("quorum", Json::object());
  const Json nodes = quorum.value("by_node", Json::array());
  const auto wanted = quorum.value("min_nodes", uint64_t{1});
  if (IsFinalRollout(status.value("state", "")) || (nodes.empty() && wanted < 2)) return;
  std::string text = wanted < 2 ? "" : fmt::format("{} of {} wanted", nodes.size(), wanted);
  std::string named;
  for (size_t i = 0; i < std::min(nodes.size(), kNodesShown); ++i) {
    const auto bad = nodes[i].value("bad", uint64_t{0});
    named += fmt::format("{}{} {:.3g} % ({} requests{})", i == 0 ? "" : ", ",
                         Text(nodes[i]["node"]), 100 * nodes[i].value("share", 0.0),
                         Text(nodes[i]["requests"]), bad > 0 ? fmt::format(", {} bad", bad) : "");
  }
  if (nodes.size() > kNodesShown) named += fmt::format(" and {} more", nodes.size() - kNodesShown);
  if (quorum.contains("alone")) named += ", alone";
  text += (text.empty() || named.empty() ? "" : ": ") + named;
  tree.Branch("evidence", text);
}

void AddTriggers(const Json& status, Tree& tree) {
  const Json triggers = status.value("triggers", Json::array());
  if (triggers.empty()) return;
  tree.Branch("metrics", fmt::format("{}{}{}{}{}", Padded("", 22), Padded("canary", 12),
                                     Padded("stable", 12), Padded("limit", 26), "evidence"));
  for (const Json& trigger : triggers) {
    const std::string metric = trigger.value("metric", "");
    std::string text = Padded(Text(trigger["name"]), 32) +
                       Padded(Value(metric, trigger.value("canary", Json())), 12) +
                       Padded(Value(metric, trigger.value("stable", Json())), 12) +
                       Padded(Limit(trigger), 26);
    text += trigger.value("family", "") == "raw"
                ? "none asked"
                : RatioAsPercent(trigger.value("evidence_ratio", 0.0));
    const std::string needs = Text(trigger.value("needs", Json()));
    if (!needs.empty()) text += (needs.starts_with("no data") ? "  " : "  needs ") + needs;
    if (trigger.contains("trend")) text += "  " + tree.Paint(kYellow, Text(trigger["trend"]));
    const bool firing = trigger.value("firing", false);
    tree.Leaf(firing                             ? tree.Paint(kRed, text)
              : trigger.value("exceeded", false) ? tree.Paint(kYellow, text)
                                                 : text);
  }
}

void AddComparisons(const Json& status, Tree& tree) {
  if (status.contains("drift")) {
    tree.Branch("drift", fmt::format("psi {:.3g}, ks {:.3g} over {} and {} values",
                                     status["drift"]["psi"].get<double>(),
                                     status["drift"]["ks"].get<double>(),
                                     Text(status["drift"]["canary_values"]),
                                     Text(status["drift"]["stable_values"])));
  }
  if (status.contains("shadow")) {
    tree.Branch("shadow",
                fmt::format("{} answers compared, {} differ", Text(status["shadow"]["compared"]),
                            Text(status["shadow"]["differed"])));
  }
  const Json outcomes = status.value("outcomes", Json::object());
  if (!outcomes.empty()) tree.Branch("outcomes");
  for (const auto& [metric, stats] : outcomes.items()) {
    tree.Leaf(fmt::format("{} canary {} of {}, stable {} of {}", Padded(metric, 24),
                          Value(metric, stats.value("canary", Json())), Text(stats["canary_n"]),
                          Value(metric, stats.value("stable", Json())), Text(stats["stable_n"])));
  }
}

void AddGates(const Json& status, Tree& tree) {
  const Json gates = status.value("gates", Json::array());
  if (!gates.empty()) tree.Branch("gates");
  for (const Json& gate : gates) {
    const std::string state = gate.value("state", "");
    const std::string mark = state == "passed"   ? tree.Paint(kGreen, "✔ ")
                             : state == "failed" ? tree.Paint(kRed, "✘ ")
                                                 : tree.Paint(kYellow, "… ");
    const std::string since = Age(gate.value("since", Json()));
    tree.Leaf(mark + Padded(Text(gate["name"]), 24) + state +
              (since.empty() ? "" : " since " + since) +
              (gate.contains("reason") ? ": " + Text(gate["reason"]) : ""));
  }
  const std::string waits = Text(status.value("waiting_for", Json()));
  if (!waits.empty()) tree.Branch("waits for", waits);
  if (status.contains("last_verdict")) {
    const Json& verdict = status["last_verdict"];
    tree.Branch("verdict", fmt::format("{} → {}: {}", Text(verdict["trigger"]),
                                       Text(verdict["action"]), Text(verdict["evidence"])));
  }
}

void AddEvents(const Json& events, size_t most, Tree& tree) {
  if (events.empty() || most == 0) return;
  tree.Branch("events");
  for (size_t i = events.size() - std::min(events.size(), most); i < events.size(); ++i) {
    const std::string at = Text(events[i].value("at", Json()));
    tree.Leaf(tree.Paint(kDim, at.size() >= 19 ? at.substr(11, 8) : at) + " " +
              RolloutEventText(events[i]));
  }
}

}  // namespace

bool IsFinalRollout(const std::string& state) {
  return state == "promoted" || state == "rolled_back" || state == "aborted";
}

std::string RolloutSubject(const Json& rollout) {
  const Json& spec = rollout["spec"];
  return spec.contains("model")
             ? fmt::format("{} {}", Text(spec["model"]), Text(spec.value("candidate", Json())))
             : "flag " + Text(spec.value("flag", Json()));
}

std::string RolloutPhase(const Json& rollout) {
  const Json phases = rollout["spec"].value("phases", Json::array());
  const uint64_t phase = rollout["status"].value("phase", uint64_t{0});
  return phase < phases.size()
             ? fmt::format("{} ({}/{})", Text(phases[phase]["name"]), phase + 1, phases.size())
             : "";
}

std::string RolloutEventText(const Json& event) {
  const Json data = event.value("data", Json::object());
  const std::string type = event.value("type", "");
  std::string what =
      type == "rollout"
          ? fmt::format("{} → {} at {} %", Text(data.value("from", Json())),
                        Text(data.value("to", Json())), Text(data.value("percentage", Json(0))))
          : type;
  for (const char* field : {"gate", "state", "summary", "detail", "reason"}) {
    if (data.contains(field)) what += (what.empty() ? "" : ": ") + Text(data[field]);
  }
  return what;
}

std::vector<std::string> RolloutTree(const Json& rollout, const Json& events,
                                     const TreeStyle& style) {
  Tree tree(style);
  const Json status = rollout.value("status", Json::object());
  const std::string state = status.value("state", "");
  tree.Line(fmt::format("{}  {}  {}{}", tree.Paint(kBold, Text(rollout["metadata"]["name"])),
                        RolloutSubject(rollout), tree.Paint(ColorOf(state), state),
                        Age(status.value("since", Json())).empty()
                            ? ""
                            : " for " + Age(status.value("since", Json()))));
  AddPhases(rollout, tree);
  AddShare(status, tree);
  AddQuorum(status, tree);
  AddGates(status, tree);
  AddTriggers(status, tree);
  AddComparisons(status, tree);
  constexpr size_t kRoomBelow = 2;  // the branch's own line and the last
  const size_t room = style.height == 0 ? kEventsShown
                      : style.height > tree.size() + kRoomBelow
                          ? style.height - tree.size() - kRoomBelow
                          : 0;
  AddEvents(events, std::min(room, kEventsShown), tree);
  const Json metadata = rollout.value("metadata", Json::object());
  std::string last = fmt::format("revision {} by {}", Text(metadata.value("revision", Json(0))),
                                 Text(metadata.value("updated_by", Json("nobody"))));
  if (status.contains("previous_stable"))
    last += fmt::format("; stable was {} before", Text(status["previous_stable"]));
  return tree.Take(last);
}

}  // namespace weir::control::cli
