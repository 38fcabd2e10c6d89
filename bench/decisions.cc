// SPDX-License-Identifier: Apache-2.0
#include "bench/decisions.h"

#include <fmt/format.h>
#include <openssl/md5.h>

#include <string>
#include <vector>

#include "bench/allocations.h"
#include "shared/base/status.h"
#include "shared/decision/decide.h"
#include "shared/decision/md5.h"

namespace weir::bench {
namespace {

constexpr size_t kKeys = 1024;  // a power of two; as many as caches hold, so that hashing is timed
constexpr char kModel[] = "fraud_detection";

decision::Ruleset Rules(size_t flags) {
  decision::Ruleset rules;
  for (size_t i = 0; i < flags; ++i) {
    domain::FlagEntry flag;
    flag.name = fmt::format("feature-{}", i);
    flag.enabled = true;
    flag.threshold = 20'000;
    flag.seed = flag.name;
    rules.Set(flag);
  }
  domain::ModelEntry model;
  model.name = kModel;
  model.stable = "1.0.0";
  model.versions = {{"1.0.0", "xgboost", "", {}}, {"1.1.0", "xgboost", "", {}}};
  rules.Set(model);
  domain::SplitEntry split;
  split.rollout = "fraud-1-1-0";
  split.model = kModel;
  split.candidate = "1.1.0";
  split.threshold = 10'000;
  split.hash_key = "user_id";
  split.seed = kModel;
  rules.Set(split);
  return rules;
}

uint32_t OwnMd5(const std::string& text) {
  decision::Md5 md5;
  md5.Update(text);
  return md5.FinishPrefix();
}

void MeasureArm(const Rounds& rounds, Report& report) {
  const decision::Ruleset rules = Rules(10);
  std::vector<std::string> users;
  std::vector<std::string> texts;  // what the decision hashes
  for (size_t i = 0; i < kKeys; ++i) {
    users.push_back(fmt::format("user-{}", 100'000 + i));
    texts.push_back(users.back() + ":" + kModel);
    WEIR_CHECK(OpensslMd5(texts[i]) == OwnMd5(texts[i]));
  }
  const auto decide = [&](size_t i) {
    const decision::Keys keys{.user_id = users[i % kKeys], .session_id = {}, .request_id = {}};
    const decision::Model* model = rules.models().Find(kModel);
    Keep(decision::DecideArm(rules, *model, keys, i).is_canary);
  };
  const auto openssl = [&](size_t i) { Keep(OpensslMd5(texts[i % kKeys])); };
  const auto own = [&](size_t i) { Keep(OwnMd5(texts[i % kKeys])); };
  const auto [arm, bare] = Interleave(rounds, decide, openssl);
  report.Add({.name = "canary decision from a compiled snapshot",
              .value = arm,
              .unit = "ns",
              .yardstick = "OpenSSL MD5() of the same text",
              .yardstick_value = bare,
              .goal = 1.25});
  const auto [arm_again, ours] = Interleave(rounds, decide, own);
  report.Add({.name = "canary decision",
              .value = arm_again,
              .unit = "ns",
              .yardstick = "Weir's MD5 of the same text",
              .yardstick_value = ours});
  const uint64_t before = Allocations();
  for (size_t i = 0; i < kKeys; ++i) decide(i);
  const uint64_t allocations = Allocations() - before;
  report.Add({.name = "allocations per canary decision",
              .value = static_cast<double>(allocations) / kKeys,
              .unit = "",
              .yardstick = "",
              .yardstick_value = 0});
}

void MeasureFlags(const Rounds& rounds, Report& report) {
  const decision::Ruleset few = Rules(10);
  const decision::Ruleset many = Rules(10'000);
  std::vector<std::string> names;
  std::vector<std::string> keys;
  for (size_t i = 0; i < kKeys; ++i) {
    names.push_back(fmt::format("feature-{}", i % 10));
    keys.push_back(fmt::format("user-{}", 100'000 + i));
  }
  const auto decide = [&](const decision::Ruleset& rules, size_t i) {
    Keep(decision::DecideFlag(rules, names[i % kKeys], keys[i % kKeys], i).enabled);
  };
  const auto [of_many, of_few] = Interleave(
      rounds, [&](size_t i) { decide(many, i); }, [&](size_t i) { decide(few, i); });
  report.Add({.name = "flag decision, 10,000 flags, the same 10 asked",
              .value = of_many,
              .unit = "ns",
              .yardstick = "with 10 flags",
              .yardstick_value = of_few,
              .goal = 1.1});
  std::vector<std::string> spread;  // over all flags, so that caches miss as they would
  for (size_t i = 0; i < kKeys; ++i) spread.push_back(fmt::format("feature-{}", i * 9767 % 10'000));
  const auto [scattered, again] = Interleave(
      rounds,
      [&](size_t i) {
        Keep(decision::DecideFlag(many, spread[i % kKeys], keys[i % kKeys], i).enabled);
      },
      [&](size_t i) { decide(few, i); });
  report.Add({.name = "flag decision, 10,000 flags, 1,024 of them asked",
              .value = scattered,
              .unit = "ns",
              .yardstick = "with 10 flags",
              .yardstick_value = again});
  const uint64_t before = Allocations();
  for (size_t i = 0; i < kKeys; ++i) decide(many, i);
  const uint64_t allocations = Allocations() - before;
  report.Add({.name = "allocations per flag decision",
              .value = static_cast<double>(allocations) / kKeys,
              .unit = "",
              .yardstick = "",
              .yardstick_value = 0});
}

}  // namespace

// One-shot and without EVP, the cheapest that OpenSSL offers; deprecated for signing, which this is
// not.
uint32_t OpensslMd5(const std::string& text) {
  unsigned char digest[MD5_DIGEST_LENGTH];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  MD5(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
#pragma GCC diagnostic pop
  return static_cast<uint32_t>(digest[0]) << 24 | static_cast<uint32_t>(digest[1]) << 16 |
         static_cast<uint32_t>(digest[2]) << 8 | digest[3];
}

void MeasureDecisions(const Rounds& rounds, Report& report) {
  MeasureArm(rounds, report);
  MeasureFlags(rounds, report);
}

}  // namespace weir::bench
