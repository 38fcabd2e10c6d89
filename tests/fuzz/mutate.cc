// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/mutate.h"

#include <algorithm>
#include <sstream>

namespace weir::fuzz {
namespace {

// Numbers at the edges of what types hold, and what parsers stumble over.
constexpr const char* kNumbers[] = {
    "0",          "-1",  "-0",      "1e308",      "1e309",      "-1e309",
    "4294967295", "nan", "1e-400",  "2147483648", "0.00000001", "9223372036854775807",
    ".inf",       "0x1", "1_0",     "1.",         "100.0001",   "-9223372036854775809",
    "+1",         "NaN", "1e99999", "00",         "0b1",        "18446744073709551616"};

uint64_t Scramble(uint64_t x) {  // splitmix64: neighbouring seeds give unrelated sequences
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

std::string Mutator::Make(uint64_t seed) {
  random_.seed(Scramble(seed));
  std::string input = corpus_.empty() ? "" : corpus_[Below(corpus_.size())];
  for (size_t left = 1 + Below(8); left > 0; --left) Change(input);
  if (input.size() > kMaxInputBytes) input.resize(kMaxInputBytes);
  return input;
}

void Mutator::Change(std::string& input) {
  switch (Below(9)) {
    case 0:
      return Flip(input);
    case 1:
      return Insert(input, std::string(1 + Below(3), static_cast<char>(Below(256))));
    case 2:
      if (!dictionary_.empty()) Insert(input, dictionary_[Below(dictionary_.size())]);
      return;
    case 3:
      if (!dictionary_.empty()) Overwrite(input, dictionary_[Below(dictionary_.size())]);
      return;
    case 4:
      return Overwrite(input, kNumbers[Below(std::size(kNumbers))]);
    case 5:
      return Repeat(input);
    case 6:
      return Splice(input);
    case 7:  // a piece taken out
      if (!input.empty()) input.erase(Below(input.size()), 1 + Below(16));
      return;
    default:  // the end cut off, now and then
      if (Below(4) == 0) input.resize(Below(input.size() + 1));
      return;
  }
}

void Mutator::Flip(std::string& input) {
  if (input.empty()) return;
  char& byte = input[Below(input.size())];
  byte = static_cast<char>(Below(2) == 0 ? byte ^ (1 << Below(8)) : static_cast<int>(Below(256)));
}

void Mutator::Insert(std::string& input, const std::string& piece) {
  input.insert(Below(input.size() + 1), piece);
}

void Mutator::Overwrite(std::string& input, const std::string& piece) {
  const size_t at = Below(input.size() + 1);
  input.replace(at, std::min(Below(2) == 0 ? piece.size() : Below(8), input.size() - at), piece);
}

// A piece many times over, which is how nesting grows deep and lists grow long.
void Mutator::Repeat(std::string& input) {
  if (input.empty()) return;
  const size_t at = Below(input.size());
  const std::string piece = input.substr(at, 1 + Below(Below(4) == 0 ? 64 : 6));
  const size_t most = std::min<size_t>(Below(8) == 0 ? 5000 : 40, kMaxInputBytes / piece.size());
  std::string many;
  for (size_t left = 1 + Below(most); left > 0; --left) many += piece;
  input.insert(at, many);
}

void Mutator::Splice(std::string& input) {
  const std::string& other = corpus_[Below(corpus_.size())];
  const size_t from = Below(other.size() + 1);
  const std::string piece = other.substr(from, 1 + Below(other.size() - from + 1));
  Below(2) == 0 ? Insert(input, piece) : Overwrite(input, piece);
}

std::vector<std::string> ParseDictionary(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t begin = line.find('"');
    const size_t end = line.rfind('"');
    if (line[0] == '#' || begin == std::string::npos || end <= begin) continue;
    std::string word;
    for (size_t i = begin + 1; i < end; ++i) {
      if (line[i] == '\\' && line[i + 1] == 'x' && i + 3 < end) {
        word += static_cast<char>(std::stoi(line.substr(i + 2, 2), nullptr, 16));
        i += 3;
      } else {
        if (line[i] == '\\') ++i;
        word += line[i];
      }
    }
    words.push_back(std::move(word));
  }
  return words;
}

}  // namespace weir::fuzz
