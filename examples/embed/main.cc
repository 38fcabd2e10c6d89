// SPDX-License-Identifier: Apache-2.0
// Who gets a feature, decided in this process: embed FILE
#include <weir/decision.h>

#include <cstdio>
#include <string>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: embed FILE\n");
    return 2;
  }
  std::string error;
  const auto flags = weir::Flags::Load(argv[1], &error);
  if (flags == nullptr) {
    std::fprintf(stderr, "%s\n", error.c_str());
    return 1;
  }
  int decisions = 0;
  flags->OnDecision([&](std::string_view, std::string_view, bool) { ++decisions; });

  for (const std::string key : {"user-1", "user-2", "user-3", "user-4", "user-5"}) {
    const weir::Evaluation answer = flags->Evaluate("ttft_pipeline", key);
    std::printf("%s: %s (bucket %u, threshold %u)\n", key.c_str(),
                answer.enabled ? "canary" : "baseline", answer.bucket.value_or(0),
                answer.threshold.value_or(0));
  }
  for (const weir::FlagConfig& flag : flags->AllFlags()) {
    const weir::Evaluation answer = flags->Evaluate(flag.name, "user-22");
    std::printf("%s for user-22: %s, %s\n", flag.name.c_str(), answer.value.c_str(),
                answer.reason.c_str());
  }
  const weir::Stats stats = flags->GetStats();
  std::printf("%d decisions, %llu on\n", decisions,
              static_cast<unsigned long long>(stats.enabled_count));
  return 0;
}
