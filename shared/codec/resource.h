// SPDX-License-Identifier: Apache-2.0
// Resources as documents: {apiVersion, kind, metadata, spec, status}, and the files people write.
// A file may hold several YAML documents, one JSON document, a list {items: […]}, a
// feature-flags.yaml of the source documents (flags_file.h), their policies (policy_file.h), flagd's
// flag definitions (flagd_file.h) or OpenSLO documents (openslo_file.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/domain/resource.h"

namespace weir::codec {

struct FileError {
  std::string file;
  int line = 0;  // 0 when unknown
  std::string path;
  std::string message;
};

// One resource as a file gives it: identity, and the fields that the file names (not the defaults).
struct ResourceDocument {
  domain::Kind kind = domain::Kind::kFlag;
  std::string name;
  Json metadata = Json::object();  // labels, annotations as written
  Json spec = Json::object();
  std::string file;
  int line = 0;
  // An edit: fields that it leaves out stay as they are, also those that its source gave before.
  bool is_partial = false;
  // What is wrong if the resource does not stand yet; whoever applies the document refuses then.
  std::vector<FileError> when_new;
  // Made for what the file leaves unsaid: one that stands already stays as it is.
  bool only_if_absent = false;
};

// The `config_reload` block. Weir keeps to both whatever it says.
struct ReloadSettings {
  bool validate_on_reload = true;
  bool rollback_on_error = true;
};

struct FileContent {
  std::vector<ResourceDocument> documents;
  std::vector<FileError> errors;  // nothing may be applied when there is one
  std::vector<FileError> warnings;
  // Flags whose definition is malformed: their documents say so (spec.malformed) and answer errors,
  // everything else in the file stands. Errors to `weir validate`, warnings when applied.
  std::vector<FileError> disabled;
  std::optional<ReloadSettings> reload;
  Json rollout_defaults;  // of a `canary` block; already in the file's Rollout documents
  bool is_parsed = true;  // false: no YAML or JSON, so that nothing else was looked at
};

// Parses and checks what can be checked without the other resources: syntax, keys, types and
// domain::Validate and CheckFlag of each spec with its defaults. YAML and JSON alike, with lines.
FileContent ReadResources(std::string_view text, const std::string& file);

// Spec tree → typed spec, every error with its path below "spec".
domain::Spec SpecFromJson(domain::Kind kind, const Json& spec, Errors& errors);
Json SpecToJson(const domain::Spec& spec);

// The document as POST /v1/apply takes it, `partial`, `when_new` and `only_if_absent` included.
Json DocumentToJson(const ResourceDocument& document);

// The document that APIs, `weir get` and the store use.
Json ResourceToJson(const domain::Resource& resource);
// The inverse, strict; for bodies of PUT and for the store.
Result<domain::Resource> ResourceFromJson(const Json& json);

}  // namespace weir::codec
