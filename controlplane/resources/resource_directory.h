// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
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
};

const char* ResultName(FileOutcome::Result result);  // "applied", "unchanged", "refused", "gone"

// Resources as files: every *.yaml, *.yml and *.json of a directory (not below it), each one source
// of its own ("file:flags.yaml"), so that a file changes only what changed in it since it was last
// applied. A file is applied as a whole or not at all. Files may need each other in any order: what
// is refused is tried again as long as another one succeeds. A model version's relative `uri` is
// read beside the file and kept as a blob. On the core thread.
class ResourceDirectory {
 public:
  // All three outlive it. `directory` is there.
  ResourceDirectory(std::string directory, catalog::Catalog& catalog,
                    const store::BlobStore& blobs);

  // In order of name; files that are gone come last. Without `all`, a file that was applied and has
  // the same content as then is not applied again. Unavailable when the directory cannot be read:
  // then nothing is gone.
  Result<std::vector<FileOutcome>> Apply(bool all);

 private:
  struct Known {
    std::string sha256;
    std::vector<std::string> errors;  // when it was refused
  };

  void ApplyFile(const Result<std::string>& text, FileOutcome& outcome);
  Status StoreBlobs(codec::ResourceDocument& document);

  const std::string directory_;
  catalog::Catalog& catalog_;
  const store::BlobStore& blobs_;
  std::map<std::string, Known> known_;  // as of the last Apply, by file
};

}  // namespace weir::control::resources
