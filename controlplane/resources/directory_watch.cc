// SPDX-License-Identifier: Apache-2.0
#include "controlplane/resources/directory_watch.h"

#include <fmt/format.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace weir::control::resources {
namespace {

// IN_CREATE is for links, and says that a plain file is begun; IN_MODIFY that one is written into.
constexpr uint32_t kEvents =
    IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_MODIFY | IN_ONLYDIR;

// Made by its writer just now, and not a link to something that is whole.
bool IsBegun(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1;
}

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
    for (ssize_t at = 0; at < bytes;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      happened = Note(event->mask, event->len > 0 ? event->name : "") || happened;
      at += static_cast<ssize_t>(sizeof(inotify_event)) + event->len;
    }
  }
}

// False while somebody is still writing: the end of it will be told.
bool DirectoryWatch::Note(unsigned mask, const std::string& name) {
  if ((mask & IN_Q_OVERFLOW) != 0) being_written_.clear();
  const bool begun = (mask & IN_CREATE) != 0 && IsBegun(directory_ + "/" + name);
  if (begun || (mask & IN_MODIFY) != 0) {
    being_written_.insert(name);
    return false;
  }
  being_written_.erase(name);
  return true;
}

bool DirectoryWatch::FollowPath() {
  // The same directory gives the same number.
  const int watch = ::inotify_add_watch(fd_, directory_.c_str(), kEvents);
  if (watch == watch_) return false;
  if (watch_ >= 0) ::inotify_rm_watch(fd_, watch_);
  being_written_.clear();
  watch_ = watch;
  return watch_ >= 0;
}

}  // namespace weir::control::resources
