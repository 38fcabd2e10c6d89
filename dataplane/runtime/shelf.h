// SPDX-License-Identifier: Apache-2.0
// Internal: the versions a Loader holds and their states. The loader's thread; time is an argument.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/runtime/loader.h"

namespace weir::node::runtime {

class Loader::Shelf {
 public:
  Shelf(std::vector<std::shared_ptr<Runtime>> runtimes, FetchBlob fetch, OnChange on_change,
        LoaderOptions options);

  // Takes over what is wanted now and publishes if anything changed.
  void Apply(const decision::Ruleset& rules);
  // Loads the version whose turn it is, if any, and looks whether what is unloading has gone and
  // how services fare.
  void Step(int64_t now_ms);
  // When Step has something to do again; absent: not before the next Apply.
  std::optional<int64_t> NextStepMs(int64_t now_ms) const;
  void Clear() { items_.clear(); }
  // Any thread: a warm-up that waits ends.
  void RequestStop() { stop_.request_stop(); }

 private:
  using Key = std::pair<std::string, std::string>;
  struct Item {
    domain::VersionEntry entry;  // what of it a loaded version is made of
    bool declares_inputs = false;
    double restart = 0;  // the last one that was asked for
    State state = State::kLoading;
    std::string detail;
    // Answers unless FAILED; may be of the entry before while LOADING.
    std::shared_ptr<Version> version;
    bool settled = false;  // no attempt is to come: loaded, or FAILED for good
    int attempts = 0;
    int64_t due_ms = 0;
  };
  // What came of one attempt; `retry`: another one may do better.
  struct Outcome {
    Status status;
    bool retry = false;
    std::shared_ptr<Version> version;
  };

  double RestartOf(const decision::Ruleset& rules, const Key& key) const;
  bool LoadNext(int64_t now_ms);
  bool LookAtHealth();
  Outcome Load(const Key& key, const Item& item);
  Result<std::string> Blob(const std::string& sha256);
  void Settle(Item& item, Outcome outcome, int64_t now_ms);
  void Publish();

  const std::vector<std::shared_ptr<Runtime>> runtimes_;
  const FetchBlob fetch_;
  const OnChange on_change_;
  const LoaderOptions options_;
  std::stop_source stop_;
  std::map<Key, Item> items_;
  std::vector<std::pair<Key, std::weak_ptr<Version>>> leaving_;
};

}  // namespace weir::node::runtime
