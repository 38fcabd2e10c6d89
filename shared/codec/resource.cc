// SPDX-License-Identifier: Apache-2.0
#include "shared/codec/resource.h"

#include <algorithm>
#include <map>

#include "shared/codec/domain_fields.h"
#include "shared/codec/flags_file.h"
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

// A resource with its defaults must be valid by itself; `uri` stands for a blob that apply fills
// in.
void CheckAlone(const ResourceDocument& document, const std::string& path, Errors& errors) {
  domain::Resource resource;
  resource.kind = document.kind;
  resource.name = document.name;
  Errors found;
  resource.spec = SpecFromJson(document.kind, document.spec, found);
  if (auto* model = std::get_if<domain::ModelSpec>(&resource.spec)) {
    for (auto& [name, version] : model->versions) {
      if (version.blob.empty() && !version.uri.empty()) {
        version.blob = "sha256:" + std::string(64, '0');
      }
    }
  }
  domain::FillDefaults(resource, 0);
  // What could not be read is not also missing or out of range.
  const Errors unreadable = found;
  for (domain::Violation& violation : domain::Validate(resource)) {
    const bool follows = std::any_of(unreadable.begin(), unreadable.end(), [&](const auto& error) {
      return error.path.rfind(violation.path, 0) == 0 || violation.path.rfind(error.path, 0) == 0;
    });
    if (!follows) found.push_back(std::move(violation));
  }
  for (domain::Violation& violation : found) {
    errors.push_back({path + violation.path, violation.message});
  }
}

class Reader {
 public:
  Reader(const std::string& file, FileContent& out) : file_(file), out_(out) {}

  void Document(const Json& value, const std::string& path,
                const std::function<int(const std::string&)>& line_of) {
    if (value.is_array() || (value.is_object() && value.contains("items"))) {
      const Json& items = value.is_array() ? value : value.at("items");
      if (!items.is_array()) return Fail({path + "items", "is not a list"}, line_of);
      const std::string base = path + (value.is_array() ? "" : "items");
      for (size_t i = 0; i < items.size(); ++i)
        Document(items[i], fmt::format("{}[{}].", base, i), line_of);
      return;
    }
    if (LooksLikeFlagsFile(value)) return ReadFlagsFile(value, file_, line_of, out_);
    Errors errors;
    Envelope envelope;
    JsonReader::Read(value, path.empty() ? "" : path.substr(0, path.size() - 1), envelope, errors);
    const auto kind = errors.empty() ? CheckEnvelope(envelope, path, errors) : std::nullopt;
    if (kind.has_value()) {
      ResourceDocument document{.kind = *kind,
                                .name = envelope.metadata.name,
                                .spec = envelope.spec,
                                .file = file_,
                                .line = line_of(path.empty() ? "kind" : path + "kind")};
      if (!envelope.metadata.labels.empty())
        document.metadata["labels"] = ToJson(envelope.metadata.labels);
      if (!envelope.metadata.annotations.empty()) {
        document.metadata["annotations"] = ToJson(envelope.metadata.annotations);
      }
      CheckAlone(document, path, errors);
      if (errors.empty()) out_.documents.push_back(std::move(document));
    }
    for (domain::Violation& error : errors) Fail(std::move(error), line_of);
  }

  void Fail(domain::Violation error, const std::function<int(const std::string&)>& line_of) {
    out_.errors.push_back({file_, line_of(error.path), error.path, error.message});
  }

 private:
  const std::string& file_;
  FileContent& out_;
};

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
  Reader reader(file, content);
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && (text[first] == '{' || text[first] == '[')) {
    const Result<Json> json = ParseJson(text);
    const auto no_line = [](const std::string&) { return 0; };
    if (json.ok()) {
      reader.Document(*json, "", no_line);
    } else {
      reader.Fail({"", json.status().ToString()}, no_line);
    }
  } else {
    const Result<std::vector<YamlDocument>> documents = ParseYaml(text);
    if (!documents.ok()) {
      const Status status = documents.status();
      content.errors.push_back({file, 0, status.field(), status.message()});
      return content;
    }
    for (const YamlDocument& document : *documents) {
      reader.Document(document.value, "",
                      [&](const std::string& path) { return document.LineOf(path); });
    }
  }
  CheckDuplicates(content);
  if (content.documents.empty() && content.errors.empty()) {
    content.errors.push_back({file, 0, "", "holds no resource"});
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
