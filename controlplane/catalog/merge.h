// SPDX-License-Identifier: Apache-2.0
// Three-way apply, as kubectl's, per leaf field and pure. Of a file's fields only those are taken
// that differ from what the same source last applied; where others set a field since, the file's
// unchanged one is not taken but reported. So an old file undoes neither a promotion nor a rollback
// nor an emergency. A file may switch an emergency on, never off; a stored hash_seed stays when a
// file leaves it out.
#pragma once

#include <string>
#include <vector>

#include "controlplane/catalog/tree.h"
#include "shared/domain/resource.h"

namespace weir::control::catalog {

struct MergeInput {
  domain::Kind kind = domain::Kind::kFlag;
  Json base;    // what this source last applied; null: nothing
  Json theirs;  // what stands now; null: nothing
  Json ours;    // what the file says
  bool replace = false;
};

struct MergedField {
  Path path;
  Json value;        // what stands (kept), or stood (taken)
  std::string note;  // why; empty: somebody else set it since
};

struct MergeResult {
  Json merged;
  std::vector<MergedField> kept;   // the file says something else
  std::vector<MergedField> taken;  // with replace: what others had set
};

MergeResult Merge(const MergeInput& input);

}  // namespace weir::control::catalog
