// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <set>
#include <string>

#include "shared/base/status.h"

namespace weir::control::resources {

// Tells that something happened in a directory, through inotify: a file was written and closed,
// renamed in or out, deleted, or a link was made or renamed (as Kubernetes swaps ..data). What
// happened is not told but for who is still writing, so lost events (an overflow of the kernel's
// queue) mean nothing special: the reader compares contents. The directory itself may be replaced:
// see FollowPath. One thread.
class DirectoryWatch {
 public:
  // NotFound when there is no such directory, Unavailable when the system gives no watch
  // (fs.inotify.max_user_instances, max_user_watches).
  static Result<std::unique_ptr<DirectoryWatch>> Open(const std::string& directory);
  ~DirectoryWatch();
  DirectoryWatch(const DirectoryWatch&) = delete;
  DirectoryWatch& operator=(const DirectoryWatch&) = delete;

  // Readable while there is something for Drain.
  int fd() const { return fd_; }
  // True if anything happened since the last call that is worth reading for. Does not block.
  bool Drain();
  // Files that were begun or written into and not closed yet, as far as it was seen.
  const std::set<std::string>& being_written() const { return being_written_; }
  // Watches what the path names now: another directory when it, or a link on the way to it, was
  // replaced. True if it is another one, or there again. Cheap; to be called every second or so.
  bool FollowPath();

 private:
  bool Note(unsigned mask, const std::string& name);
  DirectoryWatch(int fd, std::string directory) : fd_(fd), directory_(std::move(directory)) {}

  const int fd_;
  const std::string directory_;
  int watch_ = -1;  // -1: the directory is not there
  std::set<std::string> being_written_;
};

}  // namespace weir::control::resources
