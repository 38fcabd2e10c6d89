// SPDX-License-Identifier: Apache-2.0
// Small things about text: splitting, nearest names, hexadecimal, random ids, whole files.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/status.h"

namespace weir {

std::vector<std::string> Split(std::string_view text, char separator);  // empty text → no parts
std::string Join(const std::vector<std::string>& parts, std::string_view separator);

// The nearest candidate by edits, at most a third of the name and one more; "" if none is.
std::string NearestName(std::string_view name, const std::vector<std::string>& candidates);
// " (did you mean \"x\"?)" or "".
std::string DidYouMean(std::string_view name, const std::vector<std::string>& candidates);

std::string ToHex(std::span<const uint8_t> bytes);
// Lower or upper case; InvalidArgument on odd length or other characters.
Result<std::string> FromHex(std::string_view hex);  // raw bytes
std::string RandomHex(size_t bytes);                // from the system's generator
uint64_t RandomU64();

// Names of resources: 1..253 of [a-zA-Z0-9._-], starting with a letter or a digit.
bool IsResourceName(std::string_view name);

Result<std::string> ReadFile(const std::string& path);
// Write to a neighbour, fsync, rename, fsync the directory: readers see the old or the new file.
Status WriteFileAtomic(const std::string& path, std::string_view content, uint32_t mode = 0644);
// mkdir -p with mode 0700 for what it makes.
Status MakeDirectories(const std::string& path);

}  // namespace weir
