// SPDX-License-Identifier: Apache-2.0
#include "bench/flags.h"

#include <fmt/format.h>
#include <malloc.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "bench/allocations.h"
#include "bench/decisions.h"
#include "dataplane/snapshot/receiver.h"
#include "shared/codec/msgpack.h"
#include "shared/decision/decide.h"
#include "shared/wire/digest.h"
#include "shared/wire/messages.h"

namespace weir::bench {
namespace {

using targeting::Member;
using targeting::Value;

constexpr size_t kKeys = 1024;  // a power of two; as many as caches hold
constexpr int64_t kNowWallMs = 1'770'000'000'000;
constexpr char kRule[] = R"({"if":[{"ends_with":[{"var":"email"},"@example.com"]},"on",null]})";
constexpr char kRuleAndSplit[] =
    R"({"if":[{"ends_with":[{"var":"email"},"@example.com"]},"on",)"
    R"({"fractional":[{"var":"targetingKey"},["on",10],["off",90]]}]})";

domain::FlagEntry RolloutFlag(std::string name) {
  domain::FlagEntry flag;
  flag.name = std::move(name);
  flag.enabled = true;
  flag.threshold = 20'000;
  flag.seed = flag.name;
  return flag;
}

domain::FlagEntry VariantFlag(std::string name, const char* targeting) {
  domain::FlagEntry flag;
  flag.name = std::move(name);
  flag.enabled = true;
  flag.variants = {{"off", {"false"}}, {"on", {"true"}}};
  flag.default_variant = flag.off_variant = "off";
  flag.targeting.text = targeting;
  return flag;
}

decision::Ruleset Rules() {
  decision::Ruleset rules;
  rules.Set(RolloutFlag("rollout"));
  rules.Set(VariantFlag("static", ""));
  rules.Set(VariantFlag("rule", kRule));
  rules.Set(VariantFlag("split", kRuleAndSplit));
  return rules;
}

// A user as an application describes one; no rule's text matches, so that all of it is evaluated.
struct User {
  std::string key;
  std::string email;
  std::array<Member, 4> members;

  explicit User(size_t i)
      : key(fmt::format("user-{}", 100'000 + i)), email(key + "@elsewhere.example") {
    members = {{{"country", Value::Text("NZ")},
                {"age", Value::Number(static_cast<double>(20 + i % 60))},
                {"beta", Value::Bool(i % 2 == 0)},
                {"email", Value::Text(email)}}};
  }
  decision::FlagInputs inputs() const {
    return {.key = key,
            .random = 0,
            .now_wall_ms = kNowWallMs,
            .context = Value::Map(members.data(), members.size())};
  }
};

// Sets beside what goes through the node's receiver: the frames that a control plane would send.
class Published {
 public:
  explicit Published(size_t flags) : flags_(flags) {
    for (size_t i = 0; i < flags; ++i) {
      const std::string name = fmt::format("team-{}-feature-{}", i % 40, i);
      body_.entries.push_back({1, name, {Bytes(name, i, 20'000)}});
      digest_.Add(HashOf(body_.entries.back()));
    }
    body_.digest.value = digest_.Raw();
  }

  std::string Snapshot() const { return Encode(wire::Type::kSnapshot, body_); }

  // Another threshold of one rollout flag, as a delta to the version before.
  std::string Change(size_t which) {
    wire::EntryChange& entry = body_.entries[which * 4 % flags_];
    digest_.Subtract(HashOf(entry));
    entry.body.value = Bytes(entry.name, 0, static_cast<uint32_t>(20'001 + version_ % 1000));
    digest_.Add(HashOf(entry));
    body_.digest.value = digest_.Raw();
    wire::Delta delta{version_, {entry}, body_.digest, {}};
    ++version_;
    return Encode(wire::Type::kDelta, delta);
  }

 private:
  static std::string Bytes(const std::string& name, size_t i, uint32_t threshold) {
    domain::FlagEntry flag = i % 4 == 3 ? VariantFlag(name, kRuleAndSplit) : RolloutFlag(name);
    if (i % 4 != 3) flag.threshold = threshold;
    return codec::ToMsgpack(flag);
  }
  static wire::Hash256 HashOf(const wire::EntryChange& entry) {
    return wire::EntryHash(domain::EntryKind::kFlag, entry.name, entry.body.value);
  }
  template <class Body>
  std::string Encode(wire::Type type, const Body& body) const {
    wire::Header header{.topic = wire::Topic::kSession, .type = type, .epoch = 1};
    header.version = version_;
    return wire::Encode(header, body);
  }

  const size_t flags_;
  uint64_t version_ = 1;
  wire::SnapshotBody body_;
  wire::SetDigest digest_;
};

// A node's: what it holds is what a node holds of a snapshot.
struct Node {
  node::snapshot::Receiver receiver{domain::Labels{}, [] { return uint64_t{0}; },
                                    [](const auto&) {}};

  Result<double> GiveUs(const std::string& bytes) {
    const int64_t start_ns = Clock::System().MonotonicNs();
    WEIR_ASSIGN_OR_RETURN(const wire::Frame frame, wire::DecodeFrame(bytes));
    WEIR_RETURN_IF_ERROR(receiver.Handle(frame, 0));
    return static_cast<double>(Clock::System().MonotonicNs() - start_ns) / 1000;
  }
};

// What the program holds from the heap.
double HeapBytes() {
  const struct mallinfo2 info = ::mallinfo2();
  return static_cast<double>(info.uordblks) + static_cast<double>(info.hblkhd);
}

}  // namespace

void MeasureFlagDecisions(const Rounds& rounds, Report& report) {
  const decision::Ruleset rules = Rules();
  std::vector<User> users;
  users.reserve(kKeys);  // their views stay where they are
  std::vector<std::string> hashed;
  std::vector<decision::FlagInputs> inputs;
  for (size_t i = 0; i < kKeys; ++i) {
    users.emplace_back(i);
    hashed.push_back(users.back().key + ":rollout");
    inputs.push_back(users.back().inputs());
  }
  const auto decide = [&](const char* flag, size_t i) {
    const decision::FlagDecision decision = decision::DecideFlag(rules, flag, inputs[i % kKeys]);
    WEIR_CHECK(decision.error == decision::FlagError::kNone);
    Keep(decision.enabled);
  };
  const auto [rollout, md5] = Interleave(
      rounds, [&](size_t i) { decide("rollout", i); },
      [&](size_t i) { Keep(OpensslMd5(hashed[i % kKeys])); });
  report.Add({.name = "boolean rollout decision",
              .value = rollout,
              .unit = "ns",
              .yardstick = "OpenSSL MD5() of the same text",
              .yardstick_value = md5,
              .goal = 1.25});
  const auto [fixed, rule] = Interleave(
      rounds, [&](size_t i) { decide("static", i); }, [&](size_t i) { decide("rule", i); });
  const auto [split, plain] = Interleave(
      rounds, [&](size_t i) { decide("split", i); }, [&](size_t i) { decide("rollout", i); });
  const auto add = [&](const char* name, double ns, const char* yardstick, double goal_ns) {
    report.Add({.name = name,
                .value = ns,
                .unit = "ns",
                .yardstick = yardstick,
                .yardstick_value = goal_ns,
                .goal = goal_ns > 0 ? 1.0 : 0.0});
  };
  add("static variant decision", fixed, "the goal, 100 ns", 100);
  add("variant decision, one targeting rule", rule, "", 0);
  add("variant decision, one targeting rule and fractional", split, "the goal, 1 µs", 1000);
  add("  the same, beside a rollout", split, "boolean rollout decision", 0);
  report.figures.back().yardstick_value = plain;
  const uint64_t before = Allocations();
  for (size_t i = 0; i < kKeys; ++i) {
    for (const char* flag : {"rollout", "static", "rule", "split"}) decide(flag, i);
  }
  const auto allocations = static_cast<double>(Allocations() - before);
  report.Add({.name = "allocations per decision of these",
              .value = allocations / (4 * kKeys),
              .unit = "",
              .yardstick = "",
              .yardstick_value = 0});
}

Status MeasureSnapshot(size_t flags, Report& report) {
  Published published(flags);
  const std::string snapshot = published.Snapshot();
  std::vector<double> ms;
  for (int i = 0; i < 9; ++i) {
    Node node;
    WEIR_ASSIGN_OR_RETURN(const double us, node.GiveUs(snapshot));
    if (!node.receiver.refused().empty()) {
      const wire::RefusedEntry refused = node.receiver.refused()[0];
      return Internal(refused.name + " was refused: " + refused.detail);
    }
    ms.push_back(us / 1000);
  }
  const double heap = HeapBytes();
  const auto node = std::make_unique<Node>();
  WEIR_RETURN_IF_ERROR(node->GiveUs(snapshot).status());
  const double held_kb = (HeapBytes() - heap) / 1024;
  std::vector<double> delta_us;
  for (size_t i = 0; i < 500; ++i) {
    WEIR_ASSIGN_OR_RETURN(const double us, node->GiveUs(published.Change(i * 7)));
    delta_us.push_back(us);
  }
  const double whole_ms = Median(std::move(ms));
  const auto add = [&](std::string name, double value, const char* unit, const char* yardstick,
                       double yardstick_value) {
    report.Add({.name = std::move(name),
                .value = value,
                .unit = unit,
                .yardstick = yardstick,
                .yardstick_value = yardstick_value});
  };
  const std::string of = fmt::format("snapshot of {} flags", flags);
  const double kb = static_cast<double>(snapshot.size()) / 1024;
  add(of + ", on the wire", kb, "KB", "", 0);
  add(of + ", verified and compiled by a node", whole_ms, "ms", "", 0);
  add("  one changed flag of them, applied, p50", Quantile(delta_us, 0.5), "µs",
      "the whole snapshot, µs", whole_ms * 1000);
  add("  one changed flag of them, applied, p99", Quantile(delta_us, 0.99), "µs",
      "the whole snapshot, µs", whole_ms * 1000);
  const double thousands = static_cast<double>(flags) / 1000;
  add("  memory of a node per 1,000 flags", held_kb / thousands, "KB",
      "bytes of 1,000 flags on the wire, KB", kb / thousands);
  report.Note(
      "Snapshot: every fourth flag has variants and a rule, the others are rollouts; a node "
      "checks the digest, decodes and compiles each entry, and keeps the published bytes beside "
      "the compiled flags. A change copies the table, whose entries stay shared.");
  return OkStatus();
}

}  // namespace weir::bench
