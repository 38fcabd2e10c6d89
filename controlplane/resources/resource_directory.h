// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "controlplane/catalog/catalog.h"
#include "controlplane/store/blob_store.h"
#include "shared/base/status.h"

namespace weir::control::resources {

// What one file of the directory came to.
struct FileOutcome {
  std::string file;                 // its name in the directory
  std::vector<std::string> errors;  // "flags.yaml:3: spec.x: …"; empty: it is applied
};

// Resources as files: every *.yaml, *.yml and *.json of a directory (not below it), each one source
// of its own ("file:flags.yaml"), so that a file changes only what changed in it since it was last
// applied. Files may need each other in any order: what is refused is tried again as long as
// another one succeeds. A model version's relative `uri` is read beside the file and kept as a
// blob. On the core thread.
class ResourceDirectory {
 public:
  // All three outlive it. `directory` is there.
  ResourceDirectory(std::string directory, catalog::Catalog& catalog,
                    const store::BlobStore& blobs);

  // In order of name. NotFound or Unavailable when the directory cannot be read.
  Result<std::vector<FileOutcome>> Apply();

 private:
  std::vector<std::string> ApplyFile(const std::string& file);
  Status StoreBlobs(codec::ResourceDocument& document);

  const std::string directory_;
  catalog::Catalog& catalog_;
  const store::BlobStore& blobs_;
};

}  // namespace weir::control::resources
