// SPDX-License-Identifier: Apache-2.0
// A backup's file: a POSIX tar, so that it can be looked into without this program. First the
// parts, then manifest.json, which names every part with its size and SHA-256, then
// manifest.sha256, and two blocks of zeros. A file that was cut off or in which a bit has changed
// is noticed. Any thread; nothing is held in memory but a buffer and the manifest.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/status.h"
#include "shared/codec/json.h"

namespace weir::control::backup {

inline constexpr int kArchiveFormat = 1;

struct Part {
  std::string name;  // "weir.db", "server.key", "blobs/<sha256>"
  uint64_t bytes = 0;
  std::string sha256;  // hex
};

// "weir.db", "blobs/<64 hex digits>", or a plain file name that is no dot file.
bool IsPartName(std::string_view name);

// Told of bytes, now and then.
using Progress = std::function<void(uint64_t done, uint64_t total)>;

class ArchiveWriter {
 public:
  // AlreadyExists when `path` is there. The file is made with mode 0600.
  static Result<std::unique_ptr<ArchiveWriter>> Create(const std::string& path);
  ~ArchiveWriter();  // the file goes unless it was finished
  ArchiveWriter(const ArchiveWriter&) = delete;
  ArchiveWriter& operator=(const ArchiveWriter&) = delete;

  // Copies a file as it is now; `on_bytes` is told how many were copied. NotFound: it is gone.
  Status Add(const std::string& name, const std::string& file,
             const std::function<void(uint64_t bytes)>& on_bytes = {});
  // Adds `parts` and `format` to the manifest and writes it; the file is on disk afterwards.
  Status Finish(codec::Json manifest);

 private:
  ArchiveWriter(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}
  Status Write(std::string_view bytes);
  Status WriteHeader(const std::string& name, uint64_t bytes);
  Status Pad(uint64_t bytes);
  Status AddText(const std::string& name, const std::string& text);

  const std::string path_;
  int fd_;
  std::vector<Part> parts_;
};

// Reads a whole archive and checks everything in it. `on_part` gives where a part's bytes go, or an
// empty function for nowhere. DataLoss says what is damaged, and where; FailedPrecondition: it is
// none of ours, or of a newer format. Gives the manifest.
using Take = std::function<Status(std::string_view bytes)>;
Result<codec::Json> ReadArchive(const std::string& path,
                                const std::function<Result<Take>(const Part&)>& on_part,
                                const Progress& progress = {});

// Only the manifest, and that it is whole: the parts are skipped.
Result<codec::Json> ReadManifest(const std::string& path);

}  // namespace weir::control::backup
