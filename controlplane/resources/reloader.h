// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "controlplane/resources/directory_watch.h"
#include "controlplane/resources/resource_directory.h"
#include "shared/base/clock.h"
#include "shared/transport/loop.h"

namespace weir::control::resources {

// Keeps what is served in step with the files of a directory: applies all of them at the start and
// when asked (SIGHUP), and after every change the files that changed. A file that cannot be applied
// changes nothing; it is a trouble until it is mended or deleted. Everything on the loop's thread,
// and gone before the loop. Where the system gives no watch, that is a trouble until it does.
class Reloader {
 public:
  // From the first sign of a change to reading.
  static constexpr int64_t kSettleMs = ResourceDirectory::kSettleMs;
  static constexpr int64_t kFollowMs = 1000;

  struct Trouble {
    std::string what;
    int64_t since_wall_ms = 0;
    std::string why;
    std::string remedy;
  };
  struct Counters {
    size_t files_applied = 0;  // now
    size_t files_refused = 0;
    uint64_t applied = 0;  // since the start: files that were tried again, by what came of it
    uint64_t refused = 0;
    uint64_t unchanged = 0;
  };
  // Before files are applied: what is to stand first.
  using BeforeApply = std::function<void()>;
  // For every file with news: what became of it.
  using OnNews = std::function<void(const FileOutcome&)>;

  Reloader(std::string directory, catalog::Catalog& catalog, const store::BlobStore& blobs,
           const Clock& clock, transport::Loop& loop, OnNews on_news,
           BeforeApply before_apply = {});
  ~Reloader();

  void Start();
  // All files, or those that changed.
  void Apply(bool all);

  const std::map<std::string, Trouble>& troubles() const { return troubles_; }  // by file
  const Counters& counters() const { return counters_; }

 private:
  void Watch();
  void OnReadable();
  void OnFollow();
  Result<std::vector<FileOutcome>> ApplyChanged();
  void Soon();
  void Note(const FileOutcome& outcome);
  void SetTrouble(const std::string& file, std::string what, std::string why, std::string remedy);

  const std::string directory_;
  ResourceDirectory files_;
  const Clock& clock_;
  transport::Loop& loop_;
  const OnNews on_news_;
  const BeforeApply before_apply_;
  std::unique_ptr<DirectoryWatch> watch_;
  uint64_t settle_timer_ = 0;
  uint64_t follow_timer_ = 0;
  std::map<std::string, Trouble> troubles_;
  Counters counters_;
};

}  // namespace weir::control::resources
