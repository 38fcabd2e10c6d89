// SPDX-License-Identifier: Apache-2.0
// What `weir validate` says of files beyond each document alone: as if they were applied to a
// control plane where nothing stands yet.
#pragma once

#include <string>
#include <vector>

#include "shared/codec/resource.h"

namespace weir::codec {

// Adds to `content` what is wrong with all its documents together: partial blocks and malformed
// flags as errors, parents that are not there, cycles; shared seeds as warnings.
void CheckWhole(FileContent& content);

struct FileCheck {
  std::string name;  // "All hash seeds present"
  bool ok = false;
};
// What was looked at, after CheckWhole, and whether it was right. The checks on flags only when
// there are flags; only the first one when the text could not be parsed.
std::vector<FileCheck> ChecksOf(const FileContent& content);

}  // namespace weir::codec
