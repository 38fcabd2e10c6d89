// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/resources_check.h"

#include <string>
#include <vector>

#include "dataplane/snapshot/entry.h"
#include "shared/codec/domain_fields.h"
#include "shared/codec/msgpack.h"
#include "shared/codec/resource.h"
#include "shared/decision/decide.h"
#include "shared/domain/entries.h"
#include "shared/domain/validate.h"
#include "tests/fuzz/require.h"

namespace weir::fuzz {
namespace {

using codec::Json;

// As APIs and the store write it; throws what is no text in UTF-8.
void CheckShown(const Json& json) {
  try {
    static_cast<void>(json.dump());
  } catch (const Json::exception& e) {
    WEIR_REQUIRE(false, e.what());
  }
}

void CheckSame(const decision::FlagDecision& a, const decision::FlagDecision& b) {
  WEIR_REQUIRE(a.enabled == b.enabled && a.reason == b.reason && a.bucket == b.bucket &&
                   a.threshold == b.threshold && a.error == b.error && a.value == b.value &&
                   a.variant == b.variant && a.detail == b.detail,
               std::string(a.variant) + " and then " + std::string(b.variant));
}

void CheckFlag(const domain::Resource& flag) {
  const domain::FlagEntry entry = domain::FlagEntryOf(flag, [](domain::Kind, const auto&) {});
  const std::string bytes = codec::ToMsgpack(entry);
  auto arrived = node::snapshot::DecodeEntry(domain::EntryKind::kFlag, flag.name, bytes);
  if (!arrived.ok()) return;  // beyond a node's limits; the catalog refuses it for that
  WEIR_REQUIRE(std::get<domain::FlagEntry>(*arrived) == entry, flag.name);
  decision::Ruleset rules;
  rules.Set(entry);
  for (const char* key : {"", "user-1"}) {
    const targeting::Member member{"email", targeting::Value::Text("a@example.com")};
    const decision::FlagInputs inputs{.key = key,
                                      .random = 7,
                                      .now_wall_ms = 1'770'000'000'000,
                                      .context = targeting::Value::Map(&member, 1)};
    const decision::FlagDecision decision = decision::DecideFlag(rules, flag.name, inputs);
    CheckSame(decision, decision::DecideFlag(rules, flag.name, inputs));
    if (!decision.value.empty()) CheckShown(Json::parse(decision.value));
  }
}

void CheckDocument(const codec::ResourceDocument& document) {
  codec::Errors errors;
  const domain::Spec spec = codec::SpecFromJson(document.kind, document.spec, errors);
  WEIR_REQUIRE(errors.empty(), codec::ToStatus(errors).ToString());
  const Json written = codec::SpecToJson(spec);
  CheckShown(written);
  CheckShown(document.spec);
  CheckShown(document.metadata);
  const domain::Spec again = codec::SpecFromJson(document.kind, written, errors);
  WEIR_REQUIRE(errors.empty(), codec::ToStatus(errors).ToString());
  WEIR_REQUIRE(again == spec, written.dump());
  if (document.kind != domain::Kind::kFlag || document.is_partial || !document.when_new.empty())
    return;
  domain::Resource flag;
  flag.name = document.name;
  flag.spec = spec;
  domain::FillDefaults(flag, 0);
  WEIR_REQUIRE(domain::Validate(flag).empty(), written.dump());
  CheckFlag(flag);
}

}  // namespace

void CheckResources(std::string_view text) {
  const codec::FileContent content = codec::ReadResources(text, "input");
  WEIR_REQUIRE(!content.documents.empty() || !content.errors.empty() || !content.warnings.empty() ||
                   !content.disabled.empty() || content.reload.has_value(),
               "nothing is said of the file");
  for (const auto* messages : {&content.errors, &content.warnings, &content.disabled}) {
    for (const codec::FileError& message : *messages)
      CheckShown({message.path, message.message, message.line});
  }
  if (!content.errors.empty()) return;
  for (const codec::ResourceDocument& document : content.documents) CheckDocument(document);
}

}  // namespace weir::fuzz
