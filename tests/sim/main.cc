// SPDX-License-Identifier: Apache-2.0
// sim: runs simulated installations, one per seed, until one of them breaks a rule.
//   sim [--seeds N] [--from S]      N runs (WEIR_SIM_SEEDS, else 1400) from seed S on (default 1)
//   sim --seed S [--verbose]        that run alone, told as it happens with --verbose
// Exit 1 when a rule was broken: the seed, the rule and the end of the story are printed; the same
// seed replays it exactly.
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "shared/base/log.h"
#include "tests/fakes/temp_dir.h"
#include "tests/sim/disk.h"
#include "tests/sim/twin.h"
#include "tests/sim/world.h"

namespace {

constexpr int kBroken = 1;
constexpr int kUsage = 2;
constexpr uint64_t kTwinsEvery = 8;  // seeds: their rule is about fewer things

struct Arguments {
  uint64_t from = 1;
  uint64_t seeds = 1400;
  bool is_single = false;
  bool is_verbose = false;
};

bool ReadNumber(const char* text, uint64_t& number) {
  char* end = nullptr;
  number = std::strtoull(text, &end, 10);
  return *text >= '0' && *text <= '9' && *end == '\0';
}

bool Read(int argc, char** argv, Arguments& arguments) {
  const char* seeds = std::getenv("WEIR_SIM_SEEDS");
  if (seeds != nullptr && !ReadNumber(seeds, arguments.seeds)) return false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--verbose") {
      arguments.is_verbose = true;
      continue;
    }
    uint64_t number = 0;
    if (i + 1 == argc || !ReadNumber(argv[++i], number)) return false;
    if (name == "--seeds") {
      arguments.seeds = number;
    } else if (name == "--from") {
      arguments.from = number;
    } else if (name == "--seed") {
      arguments.from = number;
      arguments.seeds = 1;
      arguments.is_single = true;
    } else {
      return false;
    }
  }
  return true;
}

void Report(uint64_t seed, const weir::sim::RunResult& result, const char* what) {
  fmt::print("seed {}{}, step {}, {} ms: {}\n", seed, what, result.steps, result.simulated_ms,
             result.violated);
}

// Runs it; a broken one again, with its story.
bool Holds(uint64_t seed, const std::string& directory, bool is_verbose,
           std::map<std::string, uint64_t>& seen) {
  weir::sim::RunOptions options{seed, is_verbose, false, directory};
  auto result = weir::sim::Run(options);
  for (const auto& [what, times] : result.seen) seen[what] += times;
  if (result.violated.empty()) {
    if (seed % kTwinsEvery != 0) return true;
    result = weir::sim::RunTwins(options);
    if (result.violated.empty()) return true;
    Report(seed, result, " (twins)");
  } else {
    options.keeps_story = true;
    options.is_verbose = false;
    const auto again = weir::sim::Run(options);
    for (const std::string& line : again.story) fmt::print("{}\n", line);
    if (again.fingerprint != result.fingerprint)
      fmt::print("the replay differs: the simulator itself is not deterministic\n");
    Report(seed, result, "");
  }
  fmt::print("replay it with: sim --seed {} --verbose\n", seed);
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!Read(argc, argv, arguments)) {
    fmt::print(stderr, "usage: sim [--seeds N] [--from S] | --seed S [--verbose]\n");
    return kUsage;
  }
  for (const char* area : {"bus", "catalog", "control", "ingest", "publish", "rollout", "store"}) {
    if (!arguments.is_verbose) weir::Log(area).set_level(spdlog::level::off);
  }
  weir::sim::RegisterDisks();
  const weir::fakes::TempDir directory;
  std::map<std::string, uint64_t> seen;
  const auto began = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  for (uint64_t done = 0; done < arguments.seeds; ++done) {
    const uint64_t seed = arguments.from + done;
    if (!Holds(seed, directory.path(), arguments.is_verbose, seen)) return kBroken;
    if ((done + 1) % 100 == 0)
      fmt::print("{} of {} seeds hold, {:.0f} a second\n", done + 1, arguments.seeds,
                 static_cast<double>(done + 1) / seconds());
    std::fflush(stdout);
  }
  fmt::print("{} seeds hold ({:.1f} s)", arguments.seeds, seconds());
  const char* separator = ": ";
  for (const auto& [what, times] : seen) {
    fmt::print("{}{} {}", separator, times, what);
    separator = ", ";
  }
  fmt::print("\n");
  return 0;
}
