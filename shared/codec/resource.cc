// SPDX-License-Identifier: Apache-2.0
#include "shared/codec/resource.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "shared/codec/deployment_file.h"
#include "shared/codec/document_check.h"
#include "shared/codec/domain_fields.h"
#include "shared/codec/flagd_file.h"
#include "shared/codec/flags_file.h"
#include "shared/codec/json_lines.h"
#include "shared/codec/openslo_file.h"
#include "shared/codec/policy_file.h"
#include "shared/codec/rollout_text.h"
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
  bool only_if_absent = false;
};
template <class V>
void Describe(V& v, PostedEnvelope& f) {
  Describe(v, static_cast<Envelope&>(f));
  v(12, "partial", f.is_partial);
  v(14, "when_new", f.when_new);
  v(16, "only_if_absent", f.only_if_absent);
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

// A file of alerting rules, or one rule: the source documents have such, and Weir does without.
bool LooksLikeAlertRule(const Json& value) {
  if (!value.is_object() || value.contains("kind")) return false;
  if (value.contains("alert") && value.contains("expr")) return true;
  const auto groups = value.find("groups");
  return groups != value.end() && groups->is_array() && !groups->empty() &&
         (*groups)[0].is_object() && (*groups)[0].contains("rules");
}

constexpr char kAlertRule[] =
    "is an alerting rule of Prometheus, which belongs into a rule file of Prometheus; a Rollout "
    "watches by itself (rollback: {triggers: [\"error_rate > 0.05\"]}), and may ask Prometheus "
    "before a phase ends (gates: [{type: prometheus, url, query, condition}])";

class Reader {
 public:
  using LineOf = std::function<int(const std::string&)>;

  Reader(const std::string& file, FileContent& out) : file_(file), out_(out), openslo_(file) {}

  // `document` lives until Finish.
  void Document(const YamlDocument& document) {
    const LineOf line_of = [&document](const std::string& path) { return document.LineOf(path); };
    if (!LooksLikeDeploymentFile(document.value)) return Tree(document.value, "", line_of);
    ReadDeploymentFile(document, file_, out_);
  }
  // After the last document.
  void Finish() {
    openslo_.Finish(out_);
    const bool holds_something = !out_.documents.empty() || !out_.errors.empty() ||
                                 !out_.warnings.empty() || !out_.disabled.empty() ||
                                 out_.reload.has_value();
    if (!holds_something) out_.errors.push_back({file_, 0, "", "holds no resource"});
  }

 private:
  void Tree(const Json& value, const std::string& path, const LineOf& line_of) {
    if (value.is_array() || (value.is_object() && value.contains("items"))) {
      const Json& items = value.is_array() ? value : value.at("items");
      if (!items.is_array()) return Fail({path + "items", "is not a list"}, line_of);
      const std::string base = path + (value.is_array() ? "" : "items");
      for (size_t i = 0; i < items.size(); ++i)
        Tree(items[i], fmt::format("{}[{}].", base, i), line_of);
    } else if (LooksLikeAlertRule(value)) {
      Fail({path.empty() ? "" : path.substr(0, path.size() - 1), kAlertRule}, line_of);
    } else if (LooksLikeOpenSlo(value)) {
      openslo_.Add(value, path, line_of);
    } else if (LooksLikePolicyFile(value)) {
      ReadPolicyFile(value, path, file_, line_of, out_);
    } else if (LooksLikeFlagdFile(value)) {
      ReadFlagdFile(value, file_, line_of, out_);
    } else if (LooksLikeFlagsFile(value)) {
      ReadFlagsFile(value, file_, line_of, out_);
    } else {
      Resource(value, path, line_of);
    }
  }
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
                                .when_new = {},
                                .only_if_absent = envelope.only_if_absent};
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
      if (errors.empty()) Keep(std::move(document), path, line_of);
    }
    for (domain::Violation& error : errors) Fail(std::move(error), line_of);
  }

  void Keep(ResourceDocument document, const std::string& path, const LineOf& line_of) {
    for (const domain::Violation& warning : WarningsOf(document)) {
      const std::string at = path + warning.path;
      out_.warnings.push_back({file_, line_of(at), at, warning.message});
    }
    out_.documents.push_back(std::move(document));
  }

  void Fail(domain::Violation error, const LineOf& line_of) {
    out_.errors.push_back({file_, line_of(error.path), error.path, error.message});
  }

  const std::string& file_;
  FileContent& out_;
  OpenSloFile openslo_;
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
    stream.documents.push_back({*std::move(json), lines.lines, {}});
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

YamlStream ReadYamlAsMeant(std::string_view text) {
  YamlStream stream = ReadYaml(text);
  if (!stream.is_cut) return stream;
  if (const std::string quoted = QuoteComparisons(text); quoted != text) stream = ReadYaml(quoted);
  if (const int line = LineThatLostItsIndentation(text); stream.is_cut && line > 0) {
    stream.errors.insert(
        stream.errors.begin(),
        {line, "deployment",
         "holds nothing: the text has lost its indentation; indent what belongs to it"});
  }
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
  const YamlStream stream = is_json ? ReadJson(text) : ReadYamlAsMeant(text);
  content.is_parsed = !stream.is_cut;
  for (const YamlError& error : stream.errors)
    content.errors.push_back({file, error.line, error.path, error.message});
  Reader reader(file, content);
  for (const YamlDocument& document : stream.documents) reader.Document(document);
  reader.Finish();
  ApplyRolloutDefaults(content);
  CheckDuplicates(content);
  for (auto* errors : {&content.errors, &content.warnings, &content.disabled}) {
    std::stable_sort(errors->begin(), errors->end(),
                     [](const FileError& a, const FileError& b) { return a.line < b.line; });
  }
  return content;
}

domain::Spec SpecFromJson(domain::Kind kind, const Json& spec, Errors& errors) {
  domain::Spec out = domain::EmptySpec(kind);
  if (kind == domain::Kind::kRollout) {
    const PlainRollout plain = PlainRolloutSpec(spec, errors);
    Errors found;
    JsonReader::Read(plain.spec, "spec", std::get<domain::RolloutSpec>(out), found);
    for (domain::Violation& error : found)
      errors.push_back({WrittenPath(plain.written, error.path), std::move(error.message)});
    return out;
  }
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
  if (document.only_if_absent) json["only_if_absent"] = true;
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
