// SPDX-License-Identifier: Apache-2.0
#include "shared/codec/resource.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "shared/codec/domain_fields.h"
#include "shared/codec/flag_check.h"
#include "shared/codec/flagd_file.h"
#include "shared/codec/flags_file.h"
#include "shared/codec/json_lines.h"
#include "shared/codec/yaml.h"

namespace weir::codec {
namespace {

struct MetadataFields {
  std::string name;
  domain::Labels labels;
  domain::Labels annotations;
  uint64_t revision = 0;
  domain::TimeMs updated_at;
  std::string updated_by;
};

template <class V>
void Describe(V& v, MetadataFields& f) {
  v(2, "name", f.name, Required());
  v(4, "labels", f.labels);
  v(6, "annotations", f.annotations);
  v(8, "revision", f.revision);
  v(10, "updated_at", f.updated_at);
  v(12, "updated_by", f.updated_by);
}

struct Envelope {
  std::string api_version;
  std::string kind;
  MetadataFields metadata;
  Json spec = Json::object();
  Json status;  // accepted, so that `weir get -o yaml` can be edited and applied
};

template <class V>
void Describe(V& v, Envelope& f) {
  v(2, "apiVersion", f.api_version, Required());
  v(4, "kind", f.kind, Required());
  v(6, "metadata", f.metadata, Required());
  v(8, "spec", f.spec);
  v(10, "status", f.status);
}

struct PostedError {
  std::string file;
  uint32_t line = 0;
  std::string path;
  std::string message;
};
template <class V>
void Describe(V& v, PostedError& f) {
  v(2, "file", f.file);
  v(4, "line", f.line);
  v(6, "path", f.path);
  v(8, "message", f.message, Required());
}

// What documents may say beyond resources.
struct PostedEnvelope : Envelope {
  bool is_partial = false;
  std::vector<PostedError> when_new;
};
template <class V>
void Describe(V& v, PostedEnvelope& f) {
  Describe(v, static_cast<Envelope&>(f));
  v(12, "partial", f.is_partial);
  v(14, "when_new", f.when_new);
}

std::optional<domain::Kind> CheckEnvelope(const Envelope& envelope, const std::string& path,
                                          Errors& errors) {
  if (envelope.api_version != domain::kApiVersion) {
    errors.push_back({path + "apiVersion",
                      fmt::format("\"{}\" is not {}", envelope.api_version, domain::kApiVersion)});
  }
  const auto kind = domain::ParseKind(envelope.kind);
  if (!kind.has_value() || envelope.kind != domain::KindName(*kind)) {
    std::vector<std::string> names;
    for (const domain::Kind known : domain::kKinds) names.emplace_back(domain::KindName(known));
    errors.push_back(
        {path + "kind", fmt::format("\"{}\" is not one of {}{}", envelope.kind, Join(names, ", "),
                                    DidYouMean(envelope.kind, names))});
    return std::nullopt;
  }
  if (!envelope.spec.is_object()) {
    errors.push_back({path + "spec", Show(envelope.spec) + ", but a mapping is expected"});
    return std::nullopt;
  }
  return kind;
}

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

// A resource with its defaults must be valid by itself. What a partial document lacks goes to
// `incomplete`.
void CheckAlone(const ResourceDocument& document, Errors& errors, Errors& incomplete) {
  domain::Resource resource;
  resource.kind = document.kind;
  resource.name = document.name;
  Errors found;
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
  errors.insert(errors.end(), found.begin(), found.end());
}

class Reader {
 public:
  using LineOf = std::function<int(const std::string&)>;

  Reader(const std::string& file, FileContent& out) : file_(file), out_(out) {}

  void Document(const Json& value, const std::string& path, const LineOf& line_of) {
    if (value.is_array() || (value.is_object() && value.contains("items"))) {
      const Json& items = value.is_array() ? value : value.at("items");
      if (!items.is_array()) return Fail({path + "items", "is not a list"}, line_of);
      const std::string base = path + (value.is_array() ? "" : "items");
      for (size_t i = 0; i < items.size(); ++i)
        Document(items[i], fmt::format("{}[{}].", base, i), line_of);
    } else if (LooksLikeFlagdFile(value)) {
      ReadFlagdFile(value, file_, line_of, out_);
    } else if (LooksLikeFlagsFile(value)) {
      ReadFlagsFile(value, file_, line_of, out_);
    } else {
      Resource(value, path, line_of);
    }
  }
  // After the last document.
  void Finish() {
    const bool holds_something = !out_.documents.empty() || !out_.errors.empty() ||
                                 !out_.warnings.empty() || !out_.disabled.empty() ||
                                 out_.reload.has_value();
    if (!holds_something) out_.errors.push_back({file_, 0, "", "holds no resource"});
  }

 private:
  void Resource(const Json& value, const std::string& path, const LineOf& line_of) {
    Errors errors;
    PostedEnvelope envelope;
    JsonReader::Read(value, path.empty() ? "" : path.substr(0, path.size() - 1), envelope, errors);
    const auto kind = errors.empty() ? CheckEnvelope(envelope, path, errors) : std::nullopt;
    if (kind.has_value()) {
      ResourceDocument document{.kind = *kind,
                                .name = envelope.metadata.name,
                                .spec = envelope.spec,
                                .file = file_,
                                .line = line_of(path.empty() ? "kind" : path + "kind"),
                                .is_partial = envelope.is_partial,
                                .when_new = {}};
      if (!envelope.metadata.labels.empty())
        document.metadata["labels"] = ToJson(envelope.metadata.labels);
      if (!envelope.metadata.annotations.empty()) {
        document.metadata["annotations"] = ToJson(envelope.metadata.annotations);
      }
      Errors wrong;
      Errors incomplete;
      CheckAlone(document, wrong, incomplete);
      for (domain::Violation& error : wrong) errors.push_back({path + error.path, error.message});
      for (const PostedError& posted : envelope.when_new) {
        document.when_new.push_back(
            {posted.file, static_cast<int>(posted.line), posted.path, posted.message});
      }
      // Whoever posted it says it better than we can.
      if (envelope.when_new.empty()) {
        for (const domain::Violation& error : incomplete) {
          document.when_new.push_back(
              {file_, line_of(path + error.path), path + error.path, error.message});
        }
      }
      if (errors.empty()) out_.documents.push_back(std::move(document));
    }
    for (domain::Violation& error : errors) Fail(std::move(error), line_of);
  }

  void Fail(domain::Violation error, const LineOf& line_of) {
    out_.errors.push_back({file_, line_of(error.path), error.path, error.message});
  }

  const std::string& file_;
  FileContent& out_;
};

// "not JSON: parse error at line 3, column 7: …" → 3. Column 0 is the end of the line before.
int LineIn(const std::string& message) {
  const size_t at = message.find("at line ");
  int line = 0;
  int column = 1;
  if (at == std::string::npos) return 0;
  if (std::sscanf(message.c_str() + at, "at line %d, column %d", &line, &column) < 1) return 0;
  return column == 0 && line > 1 ? line - 1 : line;
}

YamlStream ReadJson(std::string_view text) {
  YamlStream stream;
  Result<Json> json = ParseJson(text);
  // What stands in one line needs no lines, and what the CLI posts does.
  const JsonLines lines =
      text.find('\n') == std::string_view::npos ? JsonLines() : FindJsonLines(text);
  if (json.ok()) {
    stream.documents.push_back({*std::move(json), lines.lines});
    return stream;
  }
  stream.is_cut = true;
  const std::string message = json.status().message();
  // All of the text was read then; else its keys may be no text.
  const bool is_repeated = message.rfind("key ", 0) == 0;
  for (const auto& [path, line] : lines.repeated) {
    if (!is_repeated) break;
    stream.errors.push_back(
        {line, path, fmt::format("is given twice (first at line {})", lines.lines.at(path))});
  }
  if (stream.errors.empty()) stream.errors.push_back({LineIn(message), "", message});
  return stream;
}

void CheckDuplicates(FileContent& content) {
  std::map<domain::ResourceKey, int> first_line;
  for (const ResourceDocument& document : content.documents) {
    const auto [first, fresh] =
        first_line.try_emplace({document.kind, document.name}, document.line);
    if (fresh) continue;
    content.errors.push_back({document.file, document.line,
                              fmt::format("{}/{}", domain::KindName(document.kind), document.name),
                              fmt::format("is given twice (first at line {})", first->second)});
  }
}

}  // namespace

FileContent ReadResources(std::string_view text, const std::string& file) {
  FileContent content;
  const size_t first = text.find_first_not_of(" \t\r\n");
  const bool is_json =
      first != std::string_view::npos && (text[first] == '{' || text[first] == '[');
  const YamlStream stream = is_json ? ReadJson(text) : ReadYaml(text);
  content.is_parsed = !stream.is_cut;
  for (const YamlError& error : stream.errors)
    content.errors.push_back({file, error.line, error.path, error.message});
  Reader reader(file, content);
  for (const YamlDocument& document : stream.documents) {
    reader.Document(document.value, "",
                    [&](const std::string& path) { return document.LineOf(path); });
  }
  ApplyRolloutDefaults(content);
  CheckDuplicates(content);
  reader.Finish();
  for (auto* errors : {&content.errors, &content.warnings, &content.disabled}) {
    std::stable_sort(errors->begin(), errors->end(),
                     [](const FileError& a, const FileError& b) { return a.line < b.line; });
  }
  return content;
}

domain::Spec SpecFromJson(domain::Kind kind, const Json& spec, Errors& errors) {
  domain::Spec out = domain::EmptySpec(kind);
  std::visit([&](auto& typed) { JsonReader::Read(spec, "spec", typed, errors); }, out);
  return out;
}

Json SpecToJson(const domain::Spec& spec) {
  return std::visit([](const auto& typed) { return ToJson(typed); }, spec);
}

Json DocumentToJson(const ResourceDocument& document) {
  Json metadata = document.metadata;
  metadata["name"] = document.name;
  Json json = {{"apiVersion", domain::kApiVersion},
               {"kind", domain::KindName(document.kind)},
               {"metadata", std::move(metadata)},
               {"spec", document.spec}};
  if (document.is_partial) json["partial"] = true;
  for (const FileError& e : document.when_new) {
    json["when_new"].push_back(
        {{"file", e.file}, {"line", e.line}, {"path", e.path}, {"message", e.message}});
  }
  return json;
}

Json ResourceToJson(const domain::Resource& resource) {
  const MetadataFields metadata{resource.name,     resource.labels,     resource.annotations,
                                resource.revision, resource.updated_at, resource.updated_by};
  Json json = {{"apiVersion", domain::kApiVersion},
               {"kind", domain::KindName(resource.kind)},
               {"metadata", ToJson(metadata)},
               {"spec", SpecToJson(resource.spec)},
               {"status", Json::object()}};
  if (resource.status.has_value()) json["status"] = ToJson(*resource.status);
  return json;
}

Result<domain::Resource> ResourceFromJson(const Json& json) {
  Errors errors;
  const auto envelope = FromJson<Envelope>(json, "", errors);
  const auto kind = errors.empty() ? CheckEnvelope(envelope, "", errors) : std::nullopt;
  if (!kind.has_value()) return ToStatus(errors);
  domain::Resource resource{.kind = *kind,
                            .name = envelope.metadata.name,
                            .labels = envelope.metadata.labels,
                            .annotations = envelope.metadata.annotations,
                            .revision = envelope.metadata.revision,
                            .updated_at = envelope.metadata.updated_at,
                            .updated_by = envelope.metadata.updated_by,
                            .spec = SpecFromJson(*kind, envelope.spec, errors),
                            .status = std::nullopt};
  if (*kind == domain::Kind::kRollout && envelope.status.is_object() && !envelope.status.empty()) {
    resource.status = FromJson<domain::RolloutStatus>(envelope.status, "status", errors);
  }
  if (!errors.empty()) return ToStatus(errors);
  return resource;
}

}  // namespace weir::codec
