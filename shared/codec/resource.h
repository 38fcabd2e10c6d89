// SPDX-License-Identifier: Apache-2.0
// Resources as documents: {apiVersion, kind, metadata, spec, status}, and the files people write.
// A file may hold several YAML documents, one JSON document, a list {items: […]}, or a
// feature-flags.yaml of the source documents, which becomes Flags and the Emergency (flags_file.h).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/domain/resource.h"

namespace weir::codec {

// One resource as a file gives it: identity, and the fields that the file names (not the defaults).
struct ResourceDocument {
  domain::Kind kind = domain::Kind::kFlag;
  std::string name;
  Json metadata = Json::object();  // labels, annotations as written
  Json spec = Json::object();
  std::string file;
  int line = 0;
};

struct FileError {
  std::string file;
  int line = 0;  // 0 when unknown
  std::string path;
  std::string message;
};

struct FileContent {
  std::vector<ResourceDocument> documents;
  std::vector<FileError> errors;  // nothing may be applied when there is one
  std::vector<FileError> warnings;
};

// Parses and checks what can be checked without the other resources: syntax, keys, types and
// domain::Validate of each spec with its defaults. YAML and JSON alike (JSON is YAML, but gets its
// duplicate keys and positions from the JSON parser when the text starts with '{' or '[').
FileContent ReadResources(std::string_view text, const std::string& file);

// Spec tree → typed spec, every error with its path below "spec".
domain::Spec SpecFromJson(domain::Kind kind, const Json& spec, Errors& errors);
Json SpecToJson(const domain::Spec& spec);

// The document that APIs, `weir get` and the store use.
Json ResourceToJson(const domain::Resource& resource);
// The inverse, strict; for bodies of PUT and for the store.
Result<domain::Resource> ResourceFromJson(const Json& json);

}  // namespace weir::codec
