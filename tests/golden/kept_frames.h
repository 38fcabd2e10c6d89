// SPDX-License-Identifier: Apache-2.0
// What an earlier minor of the wire wrote, as tests/golden/wire_1_N/frames.txt keeps it.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "shared/base/text.h"

namespace weir::golden {

struct Kept {
  std::string kind;                // message, entry, good
  std::string name;                // "delta", "flag", "variant:1:colour"
  std::string bytes;               // a whole frame, or an entry's body
  std::vector<std::string> lines;  // "path = value"
};

inline std::string FromHex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

// `minor` is "1_0". Fails the test when the file is not there.
inline std::vector<Kept> ReadKept(const std::string& minor) {
  const auto text = ReadFile(WEIR_SOURCE_DIR "/tests/golden/wire_" + minor + "/frames.txt");
  EXPECT_TRUE(text.ok()) << text.status().ToString();
  std::vector<Kept> all;
  for (const std::string& line : Split(text.ok() ? *text : "", '\n')) {
    if (line.empty() || line[0] == '#') continue;
    if (line.starts_with("  ")) {
      all.back().lines.push_back(line.substr(2));
      continue;
    }
    const std::vector<std::string> words = Split(line, ' ');
    all.push_back({words.at(0), words.at(1), FromHex(words.at(2)), {}});
  }
  EXPECT_GE(all.size(), 25u);
  return all;
}

inline const Kept* Find(const std::vector<Kept>& all, const std::string& kind,
                        const std::string& name) {
  for (const Kept& kept : all) {
    if (kept.kind == kind && kept.name == name) return &kept;
  }
  return nullptr;
}

}  // namespace weir::golden
