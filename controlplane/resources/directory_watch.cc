// SPDX-License-Identifier: Apache-2.0
#include "controlplane/resources/directory_watch.h"

#include <fmt/format.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace weir::control::resources {
namespace {

// Not IN_MODIFY: a writer that is done is enough. IN_CREATE is for links; it comes for plain files
// too, before anything is in them (ResourceDirectory leaves alone what is being written).
constexpr uint32_t kEvents =
    IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_ONLYDIR;

}  // namespace

Result<std::unique_ptr<DirectoryWatch>> DirectoryWatch::Open(const std::string& directory) {
  const int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0)
    return Unavailable(fmt::format("inotify: {}", std::generic_category().message(errno)));
  std::unique_ptr<DirectoryWatch> watch(new DirectoryWatch(fd, directory));
  if (watch->FollowPath()) return watch;
  const int error = errno;
  std::string why = fmt::format("{}: {}", directory, std::generic_category().message(error));
  return error == ENOENT || error == ENOTDIR ? NotFound(std::move(why))
                                             : Unavailable(std::move(why));
}

DirectoryWatch::~DirectoryWatch() { ::close(fd_); }

bool DirectoryWatch::Drain() {
  alignas(inotify_event) char buffer[16384];
  bool happened = false;
  for (;;) {
    const ssize_t bytes = ::read(fd_, buffer, sizeof buffer);
    if (bytes <= 0) return happened;
    happened = true;
  }
}

bool DirectoryWatch::FollowPath() {
  // The same directory gives the same number.
  const int watch = ::inotify_add_watch(fd_, directory_.c_str(), kEvents);
  if (watch == watch_) return false;
  if (watch_ >= 0) ::inotify_rm_watch(fd_, watch_);
  watch_ = watch;
  return watch_ >= 0;
}

}  // namespace weir::control::resources
