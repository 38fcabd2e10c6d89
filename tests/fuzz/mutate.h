// SPDX-License-Identifier: Apache-2.0
// What the driver feeds besides the corpus: mutations of it, the same ones for the same seed on
// every machine.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace weir::fuzz {

inline constexpr size_t kMaxInputBytes = 64 * 1024;

class Mutator {
 public:
  // `dictionary` holds words worth inserting; both outlive the mutator.
  Mutator(const std::vector<std::string>& corpus, const std::vector<std::string>& dictionary)
      : corpus_(corpus), dictionary_(dictionary) {}

  // One corpus entry after one to eight changes; depends on `seed` alone.
  std::string Make(uint64_t seed);

 private:
  size_t Below(size_t n) { return n == 0 ? 0 : static_cast<size_t>(random_() % n); }
  void Change(std::string& input);
  void Flip(std::string& input);
  void Insert(std::string& input, const std::string& piece);
  void Overwrite(std::string& input, const std::string& piece);
  void Repeat(std::string& input);
  void Splice(std::string& input);

  const std::vector<std::string>& corpus_;
  const std::vector<std::string>& dictionary_;
  std::mt19937_64 random_;  // its sequence is fixed by the standard
};

// The words of a dictionary in libFuzzer's form: name="text" or "text", with \xNN, \\ and \".
std::vector<std::string> ParseDictionary(const std::string& text);

}  // namespace weir::fuzz
