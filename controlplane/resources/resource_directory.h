// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controlplane/catalog/catalog.h"
#include "controlplane/store/blob_store.h"
#include "shared/base/status.h"

namespace weir::control::resources {

// What one file of the directory came to.
struct FileOutcome {
  enum class Result {
    kApplied,    // it changed `changed` resources
    kUnchanged,  // it says what it said last time, or what stands already
    kRefused,    // nothing of it is applied: `errors` say why
    kGone,       // it was there last time; what it applied stays, as with kubectl
  };
  std::string file;  // its name in the directory
  Result result = Result::kRefused;
  std::vector<std::string> errors;  // "flags.yaml:3: spec.x: …"; only when refused
  size_t changed = 0;               // resources
  bool is_news = true;              // false: known since last time
  bool is_tried = true;             // false: nothing that counts changed since last time
};

const char* ResultName(FileOutcome::Result result);  // "applied", "unchanged", "refused", "gone"

// Resources as files: every *.yaml, *.yml and *.json of a directory (not below it), each one source
// of its own ("file:flags.yaml"), so that a file changes only what changed in it since it was last
// applied. A file is applied as a whole or not at all. Files may need each other in any order: what
// is refused is tried again as long as others change what stands. A model version's relative `uri`
// is read beside the file and kept as a blob. On the core thread.
class ResourceDirectory {
 public:
  // A file that was written less than this ago may be half-written.
  static constexpr int64_t kSettleMs = 100;

  // All three outlive it. `directory` is there.
  ResourceDirectory(std::string directory, catalog::Catalog& catalog,
                    const store::BlobStore& blobs);

  // Every file, in order of name; files that are gone come last. Unavailable when the directory
  // cannot be read: then nothing is gone.
  Result<std::vector<FileOutcome>> ApplyAll() { return Apply(std::nullopt, {}); }
  // As ApplyAll, but of what is as it was last time a file that was applied is not applied again,
  // and one that was refused only if something else in the catalog stands now. A file that is among
  // `being_written`, or was written just before `now_wall_ms` (see has_unsettled), is left as it
  // was last time.
  Result<std::vector<FileOutcome>> ApplyChanged(int64_t now_wall_ms,
                                                const std::set<std::string>& being_written = {}) {
    return Apply(now_wall_ms, being_written);
  }
  // The last ApplyChanged left files alone: call it again, kSettleMs later.
  bool has_unsettled() const { return has_unsettled_; }

 private:
  struct Known {
    std::string sha256;
    std::vector<std::string> errors;  // when it was refused
    uint64_t tried_at = 0;            // the catalog's revision
    bool lacks_files = false;         // a model's file beside it could not be read
  };
  struct Candidate {
    Result<std::string> text;
    bool is_due = true;  // to be tried whatever stands
  };

  Result<std::vector<FileOutcome>> Apply(std::optional<int64_t> changed_by_wall_ms,
                                         const std::set<std::string>& being_written);
  void Try(std::vector<FileOutcome>& outcomes, std::vector<Candidate>& candidates);
  void ApplyFile(const Result<std::string>& text, Known& known, FileOutcome& outcome);
  Status StoreBlobs(codec::ResourceDocument& document);

  const std::string directory_;
  catalog::Catalog& catalog_;
  const store::BlobStore& blobs_;
  std::map<std::string, Known> known_;  // as of the last Apply, by file
  bool has_unsettled_ = false;
};

}  // namespace weir::control::resources
