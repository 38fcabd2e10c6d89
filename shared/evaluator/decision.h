// SPDX-License-Identifier: Apache-2.0
// <weir/decision.h>: Weir's feature-flag decisions in your own process, without a server.
//
//   std::string error;
//   auto flags = weir::Flags::Load("config/feature-flags.yaml", &error);
//   if (flags == nullptr) { ... }                     // `error` says file, line, value and remedy
//   if (flags->IsEnabled("ttft_pipeline", "request-123")) { ... }
//
// The answers are those of a Weir node and of `weir explain`: the same code decides. A file may be
// a feature-flags.yaml, flagd definitions (JSON or YAML), Weir resources, or a saved answer of the
// control plane's GET /v1/snapshot.
//
// Build: find_package(weir REQUIRED), target_link_libraries(program PRIVATE weir::decision).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

// One answer, and why it is so.
struct Evaluation {
  std::string flag;
  // Rollout flags: on. Variant flags: there is a value, and it is neither false nor the off
  // variant's.
  bool enabled = false;
  std::string value;    // as JSON text; empty: there is no value, use your default
  std::string variant;  // "on" or "off" for rollout flags; empty without a value
  // KILL_SWITCH, ROLLBACK_TO_BASELINE, FLAG_NOT_FOUND, DISABLED, ROLLED_BACK, PREREQUISITE,
  // NOT_IN_ALLOWLIST, ALLOWLIST, SPLIT, STATIC, TARGETING_MATCH, DEFAULT or ERROR.
  std::string reason;
  // Empty, or why there is no value, in OpenFeature's codes: FLAG_NOT_FOUND, PARSE_ERROR,
  // TARGETING_KEY_MISSING, INVALID_CONTEXT, GENERAL.
  std::string error;
  std::string
      detail;  // PREREQUISITE: which flag; SPLIT: which rollout, if any; ERROR: what is wrong
  // SPLIT: thousandths of a percent, 0..99999; in iff bucket < threshold.
  std::optional<uint32_t> bucket;
  std::optional<uint32_t> threshold;
};

// A flag as it was loaded. What a schedule changes shows in decisions, not here.
struct FlagConfig {
  std::string name;
  bool enabled = false;
  double percentage = 0;              // 0..100; an active rollout's, if there is one; variants: 100
  std::string seed;                   // empty for variant flags
  std::vector<std::string> variants;  // by name; empty for rollout flags
  std::string malformed;              // why it answers PARSE_ERROR; empty when it does not
};

struct DecisionCount {
  uint64_t total_decisions = 0;
  uint64_t enabled_count = 0;
  double actual_percentage = 0;  // 100 * enabled / total; 0 without decisions
};

struct Stats : DecisionCount {
  std::map<std::string, DecisionCount, std::less<>> flags;  // those that were decided at least once
};

// A set of flags. Every method may be called from any number of threads at once. No method throws,
// other than std::bad_alloc and what a decision callback throws. It reads files only in Load and
// Reload, starts no threads, and logs nothing.
//
// `key` is what sticks to its answer: a user, session or request id. It may be empty; a flag that
// needs it then answers the error TARGETING_KEY_MISSING. `context` is a JSON object as text for
// targeting rules, such as {"email": "a@b.c"}; "" is an empty one, and what is no JSON object
// answers the error INVALID_CONTEXT. A rollout that is for nodes with certain labels does not count
// here.
class Flags {
 public:
  // Null when the file cannot be read or has an error; then `*error`, if given, says which. One
  // malformed flagd flag is no error: it answers PARSE_ERROR, the others work.
  static std::unique_ptr<Flags> Load(const std::string& path, std::string* error = nullptr);
  // The same for a text; `name` stands for the file in messages, and its ending (.json, .yaml)
  // means nothing.
  static std::unique_ptr<Flags> FromText(std::string_view text, std::string* error = nullptr,
                                         const std::string& name = "flags");
  // No call may be under way, and none may follow.
  ~Flags();
  Flags(const Flags&) = delete;
  Flags& operator=(const Flags&) = delete;

  // False for unknown flags and for all errors. Allocates nothing but what a rule needs, and a
  // flag's count when it is decided first.
  bool IsEnabled(std::string_view flag, std::string_view key, std::string_view context = {}) const;

  // The flag's value; `otherwise` when it has none, an error, or a value of another type. Rollout
  // flags are boolean. Json answers any value as JSON text.
  bool Bool(std::string_view flag, bool otherwise, std::string_view key,
            std::string_view context = {}) const;
  std::string String(std::string_view flag, std::string_view otherwise, std::string_view key,
                     std::string_view context = {}) const;
  double Number(std::string_view flag, double otherwise, std::string_view key,
                std::string_view context = {}) const;
  std::string Json(std::string_view flag, std::string_view otherwise, std::string_view key,
                   std::string_view context = {}) const;

  Evaluation Evaluate(std::string_view flag, std::string_view key,
                      std::string_view context = {}) const;

  std::vector<FlagConfig> AllFlags() const;  // in order of name
  std::optional<FlagConfig> Config(std::string_view flag) const;
  bool KillSwitch() const;  // the file's emergency.kill_switch: every flag is off

  // Decisions since Load, over reloads: each call of IsEnabled, of a typed value and of Evaluate
  // counts as one, but not for an unknown flag or with a context that cannot be read. Exact once
  // the calls have returned.
  Stats GetStats() const;

  // Reads the file again. Calls on other threads go on with the old flags while it is read and
  // checked, and each thread has the new ones from its first call after Reload has returned. False
  // and `*error` when the file is bad or these flags came from a text; then all stays as it was.
  bool Reload(std::string* error = nullptr);
  // The same with a text in place of the file.
  bool ReloadFrom(std::string_view text, std::string* error = nullptr);

  // Called after each decision that counts, on the deciding thread, with no lock held: it must
  // be quick and safe for concurrent calls, and may call these Flags (which calls it again). The
  // views live for the call. Replaces the one before; null ends it; a call that is under way on
  // another thread may still reach the old one after OnDecision has returned.
  using DecisionCallback =
      std::function<void(std::string_view flag, std::string_view key, bool enabled)>;
  void OnDecision(DecisionCallback callback);

 private:
  class State;
  explicit Flags(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace weir
