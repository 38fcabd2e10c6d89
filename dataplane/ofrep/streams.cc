// SPDX-License-Identifier: Apache-2.0
#include "dataplane/ofrep/streams.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace weir::node::ofrep {

bool StreamBudget::Take() {
  if (open_.fetch_add(1) < limit_) return true;
  open_.fetch_sub(1);
  return false;
}

Streams::Streams(const Clock& clock, StreamBudget& budget, Later later)
    : clock_(clock),
      budget_(budget),
      later_(std::move(later)),
      announced_ms_(clock.MonotonicMs() - kSpacingMs) {}

void Streams::SetRules(std::shared_ptr<const decision::Ruleset> rules) {
  if (state_.Update(std::move(rules), clock_.WallMs())) Changed();
  Arm();
}

void Streams::Changed() {
  changed_ms_ = clock_.MonotonicMs();
  changed_wall_ms_ = clock_.WallMs();
  pending_ = true;
  for (Stream& stream : open_) stream.is_current = false;
  if (changed_ms_ - announced_ms_ >= kSpacingMs) Announce();
}

void Streams::Announce() {
  pending_ = false;
  announced_ms_ = clock_.MonotonicMs();
  std::vector<std::shared_ptr<http::Exchange>> behind;
  for (Stream& stream : open_) {
    if (!std::exchange(stream.is_current, true)) behind.push_back(stream.exchange);
  }
  if (!behind.empty()) Send(behind, Event());
}

std::string Streams::Event() const {
  return fmt::format(
      "id: {0}\nevent: message\ndata: {{\"type\":\"refetchEvaluation\",\"etag\":\"\\\"{0}\\\"\","
      "\"lastModified\":{1}}}\n\n",
      state_.id(), changed_wall_ms_ / 1000);
}

// By copies: a stream whose client is gone leaves `open_` while it is written to.
void Streams::Send(const std::vector<std::shared_ptr<http::Exchange>>& exchanges,
                   const std::string& text) {
  for (const auto& exchange : exchanges) exchange->Write(text);
}

std::vector<std::shared_ptr<http::Exchange>> Streams::All() const {
  std::vector<std::shared_ptr<http::Exchange>> all;
  for (const Stream& stream : open_) all.push_back(stream.exchange);
  return all;
}

Streams::Opened Streams::Open(std::shared_ptr<http::Exchange> exchange, std::string_view last_id,
                              const http::Response& head) {
  if (draining_) return Opened::kDraining;
  if (!budget_.Take()) return Opened::kTooMany;
  const int64_t now_ms = clock_.MonotonicMs();
  if (state_.Advance(clock_.WallMs())) Changed();
  const bool has_missed =
      last_id.empty() ? now_ms - changed_ms_ < kRecentMs : last_id != state_.id();
  if (open_.empty()) keep_alive_ms_ = now_ms + kKeepAliveMs;
  open_.push_back({.exchange = exchange, .is_current = true});
  exchange->StartStream(head);
  exchange->StopCounting();
  exchange->OnClose([this, gone = exchange.get()] {
    budget_.Give();
    std::erase_if(open_, [&](const Stream& each) { return each.exchange.get() == gone; });
  });
  // An id without data sets what the client will show, and is no event.
  exchange->Write(fmt::format("retry: {}\nid: {}\n\n", kRetryMs, state_.id()));
  if (has_missed && !state_.id().empty()) exchange->Write(Event());
  Arm();
  return Opened::kYes;
}

void Streams::Drain() {
  draining_ = true;
  for (const Stream& stream : std::exchange(open_, {})) {
    budget_.Give();
    stream.exchange->End();
  }
}

// One timer counts: the one that is due at armed_ms_. One that was armed for later still comes, and
// does nothing.
void Streams::Arm() {
  if (open_.empty()) return;
  const int64_t now_ms = clock_.MonotonicMs();
  int64_t next_ms = keep_alive_ms_;
  if (pending_) next_ms = std::min(next_ms, announced_ms_ + kSpacingMs);
  if (state_.next_due_wall_ms() != FlagState::kNever) {
    next_ms = std::min(next_ms, now_ms + (state_.next_due_wall_ms() - clock_.WallMs()));
  }
  if (next_ms >= armed_ms_) return;
  armed_ms_ = next_ms;
  later_(std::max<int64_t>(next_ms - now_ms, 1), [this, next_ms] { OnTimer(next_ms); });
}

void Streams::OnTimer(int64_t armed_ms) {
  if (armed_ms != armed_ms_) return;
  armed_ms_ = FlagState::kNever;
  const int64_t now_ms = clock_.MonotonicMs();
  if (state_.Advance(clock_.WallMs())) Changed();
  if (pending_ && now_ms - announced_ms_ >= kSpacingMs) Announce();
  if (!open_.empty() && now_ms >= keep_alive_ms_) {
    keep_alive_ms_ = now_ms + kKeepAliveMs;
    Send(All(), ":\n\n");
  }
  Arm();
}

}  // namespace weir::node::ofrep
