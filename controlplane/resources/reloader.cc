// SPDX-License-Identifier: Apache-2.0
#include "controlplane/resources/reloader.h"

#include <fmt/format.h>

#include <utility>

#include "shared/base/log.h"

namespace weir::control::resources {
namespace {

// Names that no file has.
constexpr char kDirectory[] = "/";
constexpr char kWatch[] = "/watch";

}  // namespace

Reloader::Reloader(std::string directory, catalog::Catalog& catalog, const store::BlobStore& blobs,
                   const Clock& clock, transport::Loop& loop, OnNews on_news,
                   BeforeApply before_apply)
    : directory_(std::move(directory)),
      files_(directory_, catalog, blobs),
      clock_(clock),
      loop_(loop),
      on_news_(std::move(on_news)),
      before_apply_(std::move(before_apply)) {}

Reloader::~Reloader() {
  loop_.Cancel(settle_timer_);
  loop_.Cancel(follow_timer_);
  if (watch_ != nullptr) loop_.UnwatchFd(watch_->fd());
}

void Reloader::Start() {
  follow_timer_ = loop_.Every(kFollowMs, [this] { OnFollow(); });
  Apply(true);
}

void Reloader::Watch() {
  auto watch = DirectoryWatch::Open(directory_);
  if (!watch.ok()) {
    SetTrouble(kWatch, "changes of resource files are seen at SIGHUP only",
               watch.status().ToString(), "sysctl fs.inotify");
    return;
  }
  troubles_.erase(kWatch);
  watch_ = *std::move(watch);
  loop_.WatchFd(watch_->fd(), [this] { OnReadable(); });
}

void Reloader::OnReadable() {
  if (watch_->Drain()) Soon();
}

void Reloader::OnFollow() {
  if (watch_ == nullptr) {
    Watch();
    if (watch_ != nullptr) Soon();
    return;
  }
  if (!watch_->FollowPath()) return;
  Log("resources").info("{} is another directory now", directory_);
  Soon();
}

void Reloader::Soon() {
  if (settle_timer_ != 0) return;
  settle_timer_ = loop_.After(kSettleMs, [this] {
    settle_timer_ = 0;
    Apply(false);
  });
}

Result<std::vector<FileOutcome>> Reloader::ApplyChanged() {
  static const std::set<std::string> kNone;
  return files_.ApplyChanged(clock_.WallMs(), watch_ == nullptr ? kNone : watch_->being_written());
}

void Reloader::Apply(bool all) {
  if (watch_ == nullptr) Watch();  // before the reading: what changes after it is noticed
  if (before_apply_) before_apply_();
  const auto outcomes = all ? files_.ApplyAll() : ApplyChanged();
  if (files_.has_unsettled()) Soon();
  if (!outcomes.ok()) {
    ++counters_.refused;
    return SetTrouble(kDirectory, "the resources directory cannot be read",
                      outcomes.status().ToString(), "ls -l " + directory_);
  }
  troubles_.erase(kDirectory);
  counters_.files_applied = 0;
  counters_.files_refused = 0;
  for (const FileOutcome& outcome : *outcomes) Note(outcome);
}

void Reloader::Note(const FileOutcome& outcome) {
  using Result = FileOutcome::Result;
  const std::string& file = outcome.file;
  if (outcome.result != Result::kRefused) troubles_.erase(file);
  switch (outcome.result) {
    case Result::kApplied:
      ++counters_.files_applied;
      ++counters_.applied;
      Log("resources").info("{} is applied: {} resources changed", file, outcome.changed);
      break;
    case Result::kUnchanged:
      ++counters_.files_applied;
      if (outcome.is_tried) ++counters_.unchanged;
      if (outcome.is_news) Log("resources").info("{} changes nothing", file);
      break;
    case Result::kRefused:
      ++counters_.files_refused;
      if (outcome.is_tried) ++counters_.refused;
      SetTrouble(file, "a resource file is not applied: " + file,
                 fmt::format("{}", fmt::join(outcome.errors, "; ")),
                 "weir validate " + directory_ + "/" + file);
      break;
    case Result::kGone:
      Log("resources").warn("{} is gone; what it applied stays (weir delete takes it away)", file);
      break;
  }
  if (outcome.is_news) on_news_(outcome);
}

void Reloader::SetTrouble(const std::string& file, std::string what, std::string why,
                          std::string remedy) {
  const auto [at, is_new] = troubles_.try_emplace(file);
  Trouble& trouble = at->second;
  if (is_new) trouble.since_wall_ms = clock_.WallMs();
  if (is_new || trouble.why != why) Log("resources").error("{}: {}", what, why);
  trouble.what = std::move(what);
  trouble.why = std::move(why);
  trouble.remedy = std::move(remedy);
}

}  // namespace weir::control::resources
