// SPDX-License-Identifier: Apache-2.0
#include "shared/codec/document_check.h"

#include <algorithm>

#include "shared/codec/flag_check.h"
#include "shared/codec/rollout_text.h"

namespace weir::codec {
namespace {

// `uri` stands for a blob that apply fills in.
void StandInForBlobs(domain::Resource& resource) {
  auto* model = std::get_if<domain::ModelSpec>(&resource.spec);
  if (model == nullptr) return;
  for (auto& [name, version] : model->versions) {
    if (version.blob.empty() && !version.uri.empty())
      version.blob = "sha256:" + std::string(64, '0');
  }
}

// Something that an edit may leave out, because it stands already.
bool IsIncomplete(const domain::Violation& violation, const domain::Resource& resource) {
  const auto* flag = std::get_if<domain::FlagSpec>(&resource.spec);
  return flag != nullptr && ((violation.path == "spec.enabled" && !flag->enabled) ||
                             (violation.path == "spec.allowlist" && flag->allowlist.empty()));
}

}  // namespace

void CheckAlone(ResourceDocument& document, Errors& errors, Errors& incomplete) {
  Errors found;
  WrittenPaths written;
  if (document.kind == domain::Kind::kRollout) {
    PlainRollout plain = PlainRolloutSpec(document.spec, found);
    document.spec = std::move(plain.spec);
    written = std::move(plain.written);
  }
  domain::Resource resource;
  resource.kind = document.kind;
  resource.name = document.name;
  resource.spec = SpecFromJson(document.kind, document.spec, found);
  StandInForBlobs(resource);
  domain::FillDefaults(resource, 0);
  // What could not be read is not also missing or out of range.
  const Errors unreadable = found;
  Errors violations = domain::Validate(resource);
  if (const auto* flag = std::get_if<domain::FlagSpec>(&resource.spec)) {
    for (domain::Violation& violation : CheckFlag(*flag)) violations.push_back(violation);
  }
  for (domain::Violation& violation : violations) {
    const bool follows = std::any_of(unreadable.begin(), unreadable.end(), [&](const auto& error) {
      return error.path.rfind(violation.path, 0) == 0 || violation.path.rfind(error.path, 0) == 0;
    });
    if (follows) continue;
    const bool may_stand = document.is_partial && IsIncomplete(violation, resource);
    (may_stand ? incomplete : found).push_back(std::move(violation));
  }
  for (domain::Violation& error : found)
    errors.push_back({WrittenPath(written, error.path), std::move(error.message)});
}

Errors WarningsOf(const ResourceDocument& document) {
  if (document.kind != domain::Kind::kRollout) return {};
  Errors ignored;
  const domain::Spec spec = SpecFromJson(document.kind, document.spec, ignored);
  const auto& rollout = std::get<domain::RolloutSpec>(spec);
  if (rollout.phases.empty() || !domain::IsShadow(rollout, rollout.phases.back())) return {};
  return {{fmt::format("spec.phases[{}]", rollout.phases.size() - 1),
           "is the last phase and only copies requests (mode: shadow): the rollout stays there "
           "until `weir rollout promote --full` or `abort`"}};
}

}  // namespace weir::codec
