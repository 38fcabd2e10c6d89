// SPDX-License-Identifier: Apache-2.0
// What the rules of validate.h are written with. For shared/domain alone.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "shared/base/text.h"
#include "shared/domain/resource.h"
#include "shared/domain/validate.h"

namespace weir::domain {

// Collects violations. Paths are from the resource: "spec.hash_seed".
class Checker {
 public:
  explicit Checker(std::vector<Violation>& out) : out_(out) {}

  void Fail(std::string path, std::string message) {
    out_.push_back({std::move(path), std::move(message)});
  }
  void OneOf(const std::string& path, const std::string& value,
             const std::vector<std::string>& allowed) {
    if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return;
    Fail(path, fmt::format("\"{}\" is not one of {}{}", value, Join(allowed, ", "),
                           DidYouMean(value, allowed)));
  }
  void Percent(const std::string& path, double percent) {
    const Result<FinePercent> fine = ToFinePercent(percent);
    if (!fine.ok()) Fail(path, fine.status().message());
  }
  void Ratio(const std::string& path, double ratio) {
    if (!(ratio >= 0 && ratio <= 1)) Fail(path, fmt::format("{} is not in 0..1", ratio));
  }
  void Count(const std::string& path, size_t count, size_t most) {
    if (count > most) Fail(path, fmt::format("{} items; at most {} are allowed", count, most));
  }
  void Seed(const std::string& path, const std::string& seed) {
    if (seed.size() > 256)
      Fail(path, fmt::format("{} bytes; at most 256 are allowed", seed.size()));
  }

 private:
  std::vector<Violation>& out_;
};

// validate_flag.cc
void Check(Checker& c, const FlagSpec& spec);
void CheckFlagReferences(Checker& c, const Resource& flag, const Lookup& find,
                         const ForEach& for_each);

// validate_rollout.cc
void Check(Checker& c, const RolloutSpec& spec);
void CheckRolloutReferences(Checker& c, const Resource& rollout, const Lookup& find,
                            const ForEach& for_each);

// validate_model.cc
void Check(Checker& c, const ModelSpec& spec);
void CheckModelReferences(Checker& c, const Resource& model, const Lookup& find,
                          const ForEach& for_each);
void CheckFlagsExist(Checker& c, const std::string& path, const std::vector<std::string>& flags,
                     const Lookup& find, const ForEach& for_each);

// validate_gate.cc
void CheckGate(Checker& c, const std::string& path, const Gate& gate);
void CheckTrigger(Checker& c, const std::string& path, const TriggerSpec& trigger);
// http:// or https://, with a host and without blanks.
void CheckUrl(Checker& c, const std::string& path, const std::string& url);

// validate_sink.cc
void Check(Checker& c, const SinkSpec& spec);

// validate_token.cc
void Check(Checker& c, const TokenSpec& spec);

// validate_policy.cc
void FillDefaults(PolicySpec& spec);
void Check(Checker& c, const PolicySpec& spec);
void CheckPolicyReferences(Checker& c, const Resource& policy, const Lookup& find);

// validate_limit.cc
void Check(Checker& c, const LimitSpec& spec);
void Check(Checker& c, const SilenceSpec& spec);
void CheckLimitReferences(Checker& c, const Resource& limit, const Lookup& find,
                          const ForEach& for_each);

}  // namespace weir::domain
