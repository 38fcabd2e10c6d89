// SPDX-License-Identifier: Apache-2.0
#include "shared/codec/yaml.h"

#include <yaml-cpp/yaml.h>

#include <charconv>
#include <cmath>

namespace weir::codec {
namespace {

constexpr int kMaxDepth = 64;
constexpr size_t kMaxNodes = 500'000;  // after aliases are expanded

bool LooksNumeric(const std::string& text) {
  return !text.empty() && text.find_first_of("0123456789") != std::string::npos &&
         text.find_first_not_of("0123456789+-.eE_xabcdefABCDEF") == std::string::npos;
}

Json PlainScalar(const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL")
    return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  if (!LooksNumeric(text)) return text;
  const char* first = text.data() + (text[0] == '+' ? 1 : 0);
  const char* last = text.data() + text.size();
  uint64_t natural = 0;
  if (const auto r = std::from_chars(first, last, natural); r.ec == std::errc() && r.ptr == last)
    return natural;
  int64_t integer = 0;
  if (const auto r = std::from_chars(first, last, integer); r.ec == std::errc() && r.ptr == last)
    return integer;
  double real = 0;
  if (const auto r = std::from_chars(first, last, real); r.ec == std::errc() && r.ptr == last)
    return real;
  return text;
}

class Converter {
 public:
  explicit Converter(YamlDocument& document) : document_(document) {}

  Json Convert(const YAML::Node& node, const std::string& path, int depth) {
    document_.lines.try_emplace(path, node.Mark().line + 1);
    if (depth > kMaxDepth) return Fail(node, path, "is nested deeper than 64");
    if (++nodes_ > kMaxNodes)
      return Fail(node, path, "makes the document larger than 500000 values");
    if (!error_.ok()) return nullptr;
    switch (node.Type()) {
      case YAML::NodeType::Undefined:
      case YAML::NodeType::Null:
        return nullptr;
      case YAML::NodeType::Scalar:
        return node.Tag() == "!" ? Json(node.Scalar()) : Scalar(node, path);
      case YAML::NodeType::Sequence:
        return Sequence(node, path, depth);
      case YAML::NodeType::Map:
        return Map(node, path, depth);
    }
    return nullptr;
  }
  const Status& error() const { return error_; }

 private:
  Json Scalar(const YAML::Node& node, const std::string& path) {
    const std::string& tag = node.Tag();
    if (tag == "?" || tag.empty()) return PlainScalar(node.Scalar());
    if (tag == "tag:yaml.org,2002:str") return node.Scalar();
    return Fail(node, path, "has the tag " + tag + ", which is not supported");
  }
  Json Sequence(const YAML::Node& node, const std::string& path, int depth) {
    Json array = Json::array();
    for (size_t i = 0; i < node.size(); ++i) {
      array.push_back(Convert(node[i], fmt::format("{}[{}]", path, i), depth + 1));
    }
    return array;
  }
  Json Map(const YAML::Node& node, const std::string& path, int depth) {
    Json object = Json::object();
    for (const auto& item : node) {
      if (!item.first.IsScalar()) return Fail(item.first, path, "has a key that is not text");
      const std::string& key = item.first.Scalar();
      const std::string child = path.empty() ? key : path + "." + key;
      document_.lines.try_emplace(child, item.first.Mark().line + 1);
      if (key == "<<") return Fail(item.first, child, "merge keys are not supported");
      if (object.contains(key)) return Fail(item.first, child, "is given twice");
      object[key] = Convert(item.second, child, depth + 1);
    }
    return object;
  }
  Json Fail(const YAML::Node& node, const std::string& path, const std::string& what) {
    if (error_.ok())
      error_ = InvalidArgument(path, fmt::format("{} (line {})", what, node.Mark().line + 1));
    return nullptr;
  }

  YamlDocument& document_;
  size_t nodes_ = 0;
  Status error_;
};

void Emit(YAML::Emitter& out, const Json& value) {
  if (value.is_object()) {
    out << YAML::BeginMap;
    for (const auto& [key, child] : value.items()) {
      out << YAML::Key << key << YAML::Value;
      Emit(out, child);
    }
    out << YAML::EndMap;
  } else if (value.is_array()) {
    if (value.empty() || !value[0].is_structured()) out << YAML::Flow;
    out << YAML::BeginSeq;
    for (const Json& child : value) Emit(out, child);
    out << YAML::EndSeq;
  } else if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    if (!PlainScalar(text).is_string()) out << YAML::DoubleQuoted;
    out << text;
  } else {
    out << value.dump();
  }
}

}  // namespace

int YamlDocument::LineOf(const std::string& path) const {
  for (std::string at = path;;) {
    if (const auto found = lines.find(at); found != lines.end()) return found->second;
    const size_t cut = at.find_last_of(".[");
    if (at.empty()) return 0;
    at = cut == std::string::npos ? "" : at.substr(0, cut);
  }
}

Result<std::vector<YamlDocument>> ParseYaml(std::string_view text) {
  try {
    std::vector<YamlDocument> documents;
    for (const YAML::Node& node : YAML::LoadAll(std::string(text))) {
      YamlDocument document;
      Converter converter(document);
      document.value = converter.Convert(node, "", 0);
      WEIR_RETURN_IF_ERROR(converter.error());
      if (!document.value.is_null()) documents.push_back(std::move(document));
    }
    return documents;
  } catch (const YAML::Exception& e) {
    return InvalidArgument("", fmt::format("not YAML: line {}, column {}: {}", e.mark.line + 1,
                                           e.mark.column + 1, e.msg));
  }
}

std::string ToYaml(const Json& value) {
  YAML::Emitter out;
  Emit(out, value);
  return std::string(out.c_str()) + "\n";
}

}  // namespace weir::codec
