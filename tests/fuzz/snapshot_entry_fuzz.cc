// SPDX-License-Identifier: Apache-2.0
// The kind's byte, then an entry as published. What a node takes has one encoding that reads back
// as the same entry, and decides the same twice.
#include <string>
#include <string_view>
#include <variant>

#include "dataplane/snapshot/entry.h"
#include "shared/codec/domain_fields.h"
#include "shared/codec/msgpack.h"
#include "shared/decision/decide.h"
#include "tests/fuzz/require.h"

namespace weir {
namespace {

using domain::EntryKind;

// The name inside; DecodeEntry wants it beside the bytes.
template <class T>
std::string NameIn(std::string_view bytes) {
  const auto entry = codec::FromMsgpack<T>(bytes);
  if (!entry.ok()) return "";
  if constexpr (requires { entry->rollout; }) {
    return entry->rollout;
  } else {
    return entry->name;
  }
}

std::string NameOf(EntryKind kind, std::string_view bytes) {
  switch (kind) {
    case EntryKind::kFlag:
      return NameIn<domain::FlagEntry>(bytes);
    case EntryKind::kModel:
      return NameIn<domain::ModelEntry>(bytes);
    case EntryKind::kSplit:
      return NameIn<domain::SplitEntry>(bytes);
    case EntryKind::kExperiment:
      return NameIn<domain::ExperimentEntry>(bytes);
    case EntryKind::kObservability:
      return NameIn<domain::ObservabilityEntry>(bytes);
    case EntryKind::kToken:
      return NameIn<domain::TokenEntry>(bytes);
    case EntryKind::kLimit:
      return NameIn<domain::LimitEntry>(bytes);
  }
  return "";
}

// The same pure function over the same input, and no crash.
void CheckDecisions(const decision::Ruleset& rules) {
  for (const std::string_view key : {"", "user-1"}) {
    for (const char* name : {"f", "p", "missing"}) {
      const auto a = decision::DecideFlag(rules, name, key, 1);
      const auto b = decision::DecideFlag(rules, name, key, 1);
      WEIR_REQUIRE(a.enabled == b.enabled && a.reason == b.reason && a.value == b.value, name);
    }
    if (const decision::Model* model = rules.models().Find("f")) {
      const decision::Keys keys{.user_id = key, .session_id = {}, .request_id = {}};
      const auto a = decision::DecideArm(rules, *model, keys, 1);
      const auto b = decision::DecideArm(rules, *model, keys, 1);
      WEIR_REQUIRE(a.version == b.version && a.reason == b.reason, std::string(a.version));
    }
    if (const decision::Experiment* experiment = rules.experiments().Find("f")) {
      const auto group = decision::DecideGroup(rules, *experiment, key);
      WEIR_REQUIRE(group.bucket < experiment->total, std::string(group.group));
    }
  }
}

}  // namespace
}  // namespace weir

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir;  // NOLINT
  if (size == 0) return 0;
  const auto kind = static_cast<EntryKind>(data[0]);
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string name = NameOf(kind, bytes);
  const auto entry = node::snapshot::DecodeEntry(kind, name, bytes);
  if (!entry.ok()) return 0;
  const auto encode = [](const auto& value) { return codec::ToMsgpack(value); };
  const std::string written = std::visit(encode, *entry);
  const auto again = node::snapshot::DecodeEntry(kind, name, written);
  WEIR_REQUIRE(again.ok(), again.status().ToString());
  WEIR_REQUIRE(*again == *entry, name);
  WEIR_REQUIRE(std::visit(encode, *again) == written, name);

  decision::Ruleset rules(domain::Labels{{"zone", "a"}});
  domain::FlagEntry parent;
  parent.name = "p";
  parent.enabled = true;
  parent.parents = {"f"};
  rules.Set(parent);
  std::visit([&rules](const auto& value) { rules.Set(value); }, *entry);
  CheckDecisions(rules);
  rules.emergency.baseline = true;
  CheckDecisions(rules);
  rules.Remove(kind, name);
  CheckDecisions(rules);
  return 0;
}
