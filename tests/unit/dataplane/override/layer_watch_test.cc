// SPDX-License-Identifier: Apache-2.0
// The layer and the silence of the control plane, on the real clock.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>

#include "dataplane/override/layer.h"
#include "shared/base/text.h"
#include "shared/decision/decide.h"
#include "tests/fakes/temp_dir.h"

namespace weir::node::override {
namespace {

using testing::HasSubstr;

class LayerWatchTest : public testing::Test {
 protected:
  void Start(const std::string& file_text = "") {
    LayerOptions options;
    if (!file_text.empty()) {
      options.file = dir_.path() + "/override.yaml";
      ASSERT_TRUE(WriteFileAtomic(options.file, file_text).ok());
    }
    LayerHooks hooks;
    hooks.publish_rules = [this](std::shared_ptr<const decision::Ruleset> rules,
                                 std::function<void()> taken) {
      Change([&] { rules_ = std::move(rules); });
      if (taken) taken();
    };
    hooks.publish_standing = [this](std::shared_ptr<const Standing> standing) {
      Change([&] { standing_ = *standing; });
    };
    hooks.publish_episode = [this](const wire::Episode& episode) {
      Change([&] { episodes_.push_back(episode); });
    };
    hooks.current_at_ms = [this] {
      return is_heard_ ? Clock::System().MonotonicMs() : heard_ms_.load();
    };
    layer_.emplace(options, hooks);
    ASSERT_TRUE(layer_->Load().ok());
    layer_->Start();
  }
  void Silence() {
    heard_ms_ = Clock::System().MonotonicMs();
    is_heard_ = false;
  }
  void Give(int64_t after_ms) {
    auto rules = std::make_shared<decision::Ruleset>();
    rules->epoch = 1;
    rules->Set(domain::ModelEntry{.name = "m", .stable = "1"});
    rules->Set(domain::SplitEntry{.rollout = "m-2",
                                  .model = "m",
                                  .candidate = "2",
                                  .threshold = domain::kFineAll,
                                  .unwatched_after_ms = after_ms});
    layer_->SetRules(rules, {});
    WaitFor([this] { return rules_ != nullptr; });
  }
  void Change(const std::function<void()>& change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }
  void WaitFor(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, std::chrono::seconds(20), condition));
  }
  bool IsCanary() {  // under the lock
    return decision::DecideArm(*rules_, *rules_->models().Find("m"), {.user_id = "a"}, 0).is_canary;
  }

  fakes::TempDir dir_;
  std::mutex mutex_;  // of what the layer's thread changes and the test reads
  std::condition_variable changed_;
  std::shared_ptr<const decision::Ruleset> rules_;
  Standing standing_;
  std::vector<wire::Episode> episodes_;
  std::atomic<bool> is_heard_{true};
  std::atomic<int64_t> heard_ms_{0};
  std::optional<Layer> layer_;
};

TEST_F(LayerWatchTest, AfterTheSilenceCanaryKeysGoToStableUntilThereIsContact) {
  Start();
  Give(300);
  WaitFor([this] { return IsCanary(); });
  Silence();
  WaitFor([this] { return !IsCanary() && standing_.unwatched.size() == 1; });
  {
    const std::lock_guard lock(mutex_);
    EXPECT_GE(rules_->unwatched_ms, 300);
    EXPECT_FALSE(standing_.is_active) << "nobody forces anything";
    EXPECT_THAT(standing_.unwatched.at(0), HasSubstr("rollout m-2 is unwatched since"));
    ASSERT_EQ(episodes_.size(), 1u);
    EXPECT_EQ(episodes_[0].kind, "unwatched");
    EXPECT_EQ(episodes_[0].subject, "m-2");
    EXPECT_EQ(episodes_[0].to_wall_ms, 0);
  }
  is_heard_ = true;
  WaitFor([this] { return IsCanary() && standing_.unwatched.empty() && episodes_.size() == 2; });
  const std::lock_guard lock(mutex_);
  EXPECT_EQ(rules_->unwatched_ms, 0);
  EXPECT_GE(rules_->watched_since_wall_ms, episodes_[0].from_wall_ms);
  EXPECT_EQ(episodes_[1].from_wall_ms, episodes_[0].from_wall_ms);
  EXPECT_GT(episodes_[1].to_wall_ms, 0);
}

TEST_F(LayerWatchTest, WithoutAnyContactItCountsFromTheStart) {
  is_heard_ = false;
  Start();
  Give(300);
  WaitFor([this] { return !IsCanary(); });
}

TEST_F(LayerWatchTest, OverridesBeginEpisodesWhenTheyStand) {
  Start("flags: {ttft: off}\n");
  WaitFor([this] { return episodes_.size() == 1; });
  const std::lock_guard lock(mutex_);
  EXPECT_EQ(episodes_[0].subject, "flag/ttft");
  EXPECT_GT(episodes_[0].from_wall_ms, 0);
}

}  // namespace
}  // namespace weir::node::override
