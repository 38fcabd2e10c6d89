// SPDX-License-Identifier: Apache-2.0
#include "shared/codec/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <set>
#include <sstream>

#include "shared/base/utf8.h"

namespace weir::codec {
namespace {

constexpr int kDeepestYaml = 64;
// Of a whole stream, after aliases are expanded: what is kept of 8 MB of text stays within bounds.
constexpr size_t kMaxNodes = 500'000;
constexpr size_t kMaxBytes = 32 << 20;     // texts, keys, and the paths that `lines` keeps
constexpr size_t kMaxTextBytes = 1 << 20;  // of one value
constexpr size_t kMaxErrors = 1000;
// As written, before yaml-cpp keeps hundreds of bytes of each: keys and values, and what opens and
// parts them in flow style. A key and its value are two.
constexpr size_t kMaxWritten = 2 * kMaxNodes;

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

// What yaml-cpp makes of "\\_" and "\\N".
constexpr char kBrokenEscape[] =
    "is no UTF-8: the escapes \\_ and \\N are not supported; write the character";

constexpr char kTooMuchWritten[] = "the file has more than 1000000 keys and values; split it";

// What the documents of a stream have taken so far.
struct Spent {
  size_t nodes = 0;
  size_t bytes = 0;
};

class Converter {
 public:
  Converter(YamlDocument& document, YamlStream& stream, Spent& spent)
      : document_(document), stream_(stream), spent_(spent) {}

  Json Convert(const YAML::Node& node, const std::string& path, int depth) {
    if (stream_.is_cut) return nullptr;
    if (depth > kDeepestYaml) return Cut(node, path, "is nested deeper than 64");
    if (++spent_.nodes > kMaxNodes)
      return Cut(node, path, "makes the file larger than 500000 values");
    document_.lines.try_emplace(path, node.Mark().line + 1);
    switch (node.Type()) {
      case YAML::NodeType::Undefined:
      case YAML::NodeType::Null:
        return nullptr;
      case YAML::NodeType::Scalar:
        return Scalar(node, path);
      case YAML::NodeType::Sequence:
        return Sequence(node, path, depth);
      case YAML::NodeType::Map:
        return Map(node, path, depth);
    }
    return nullptr;
  }

 private:
  Json Scalar(const YAML::Node& node, const std::string& path) {
    if (!Spend(node, node.Scalar().size())) return nullptr;
    if (node.Scalar().size() > kMaxTextBytes) {
      return Fail(node, path,
                  fmt::format("is a text of {} bytes; at most {} are allowed", node.Scalar().size(),
                              kMaxTextBytes));
    }
    if (!IsUtf8(node.Scalar())) return Fail(node, path, kBrokenEscape);
    const std::string& tag = node.Tag();
    if (tag == "?" || tag.empty()) return PlainScalar(node.Scalar());
    if (tag == "!" || tag == "tag:yaml.org,2002:str") return node.Scalar();
    return Fail(node, path, "has the tag " + tag + ", which is not supported");
  }
  Json Sequence(const YAML::Node& node, const std::string& path, int depth) {
    Json array = Json::array();
    for (size_t i = 0; i < node.size(); ++i) {
      const std::string child = fmt::format("{}[{}]", path, i);
      if (!Spend(node[i], child.size())) return nullptr;
      array.push_back(Convert(node[i], child, depth + 1));
    }
    return array;
  }
  Json Map(const YAML::Node& node, const std::string& path, int depth) {
    Json object = Json::object();
    for (const auto& item : node) {
      if (!item.first.IsScalar()) return Fail(item.first, path, "has a key that is not text");
      const std::string& key = item.first.Scalar();
      if (!IsUtf8(key)) return Fail(item.first, path, kBrokenEscape);
      const std::string child = path.empty() ? key : path + "." + key;
      if (!Spend(item.first, key.size() + child.size())) return nullptr;
      document_.lines.try_emplace(child, item.first.Mark().line + 1);
      if (node.Style() == YAML::EmitterStyle::Flow)
        document_.columns.try_emplace(child, item.first.Mark().column + 1);
      if (key == "<<") {
        Fail(item.first, child, "merge keys are not supported");
        continue;
      }
      if (object.contains(key)) {
        Fail(item.first, child,
             fmt::format("is given twice (first at line {})", document_.LineOf(child)));
        continue;
      }
      object[key] = Convert(item.second, child, depth + 1);
    }
    return object;
  }
  // False, and the rest is cut, where the bytes are too many.
  bool Spend(const YAML::Node& node, size_t bytes) {
    if (stream_.is_cut) return false;
    spent_.bytes += bytes;
    if (spent_.bytes <= kMaxBytes) return true;
    Cut(node, "", "makes the file larger than 32 MB: long texts or keys are repeated too often");
    return false;
  }
  Json Fail(const YAML::Node& node, const std::string& path, std::string what) {
    if (stream_.errors.size() < kMaxErrors)
      stream_.errors.push_back({node.Mark().line + 1, path, std::move(what)});
    return nullptr;
  }
  Json Cut(const YAML::Node& node, const std::string& path, std::string what) {
    stream_.is_cut = true;
    return Fail(node, path, std::move(what));
  }

  YamlDocument& document_;
  YamlStream& stream_;
  Spent& spent_;
};

// yaml-cpp makes documents without end of a text that goes on where its document has ended
// (`"a", "b"`, a JSON text without its first brace): it does not move on. This handler notes where
// each document starts, and refuses too many values, before anything is kept.
class DocumentStarts final : public YAML::EventHandler {
 public:
  bool is_stuck() const { return is_stuck_; }
  const YAML::Mark& last() const { return last_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    is_stuck_ = any_ && mark.pos == last_.pos;
    any_ = true;
    last_ = mark;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { Count(mark); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { Count(mark); }
  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                const std::string&) override {
    Count(mark);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    Count(mark);
  }
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    Count(mark);
  }
  void OnMapEnd() override {}

 private:
  void Count(const YAML::Mark& mark) {
    if (++written_ > kMaxWritten) throw YAML::ParserException(mark, kTooMuchWritten);
  }

  size_t written_ = 0;
  bool any_ = false;
  bool is_stuck_ = false;
  YAML::Mark last_;
};

void CheckEnds(const std::string& text) {
  const auto parts = [](char c) { return c == '[' || c == '{' || c == ','; };
  if (static_cast<size_t>(std::count_if(text.begin(), text.end(), parts)) > kMaxWritten)
    throw YAML::ParserException(YAML::Mark(), kTooMuchWritten);
  std::istringstream in(text);
  YAML::Parser parser(in);
  DocumentStarts starts;
  while (parser.HandleNextDocument(starts)) {
    if (starts.is_stuck())
      throw YAML::ParserException(starts.last(), "the text goes on where its document has ended");
  }
}

// Quoted where our reader, or one of YAML 1.1 (where `off` is false), would take it for something
// else than text.
void EmitText(YAML::Emitter& out, const std::string& text) {
  static const std::set<std::string, std::less<>> kOldBooleans = {"y",  "n",  "yes",
                                                                  "no", "on", "off"};
  std::string lower = text.substr(0, 4);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  // yaml-cpp leaves a carriage return as it is, which reads as a line break.
  const bool has_controls =
      std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20; });
  if (!PlainScalar(text).is_string() || kOldBooleans.contains(lower) || has_controls)
    out << YAML::DoubleQuoted;
  out << text;
}

void Emit(YAML::Emitter& out, const Json& value) {
  if (value.is_object()) {
    out << YAML::BeginMap;
    for (const auto& [key, child] : value.items()) {
      out << YAML::Key;
      EmitText(out, key);
      out << YAML::Value;
      Emit(out, child);
    }
    out << YAML::EndMap;
  } else if (value.is_array()) {
    if (value.empty() || !value[0].is_structured()) out << YAML::Flow;
    out << YAML::BeginSeq;
    for (const Json& child : value) Emit(out, child);
    out << YAML::EndSeq;
  } else if (value.is_string()) {
    EmitText(out, value.get_ref<const std::string&>());
  } else if (value.is_null()) {
    out << YAML::Null;  // its text would be quoted
  } else {
    out << value.dump();
  }
}

// 0: every line is. yaml-cpp does not look.
int LineThatIsNoUtf8(std::string_view text) {
  int number = 0;
  for (const std::string& line : Split(text, '\n')) {
    ++number;
    if (!IsUtf8(line)) return number;
  }
  return 0;
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

int64_t YamlDocument::PlaceOf(const std::string& path) const {
  const auto line = lines.find(path);
  const auto column = columns.find(path);
  return (line == lines.end() ? 0 : int64_t{line->second} << 32) +
         (column == columns.end() ? 0 : column->second);
}

YamlStream ReadYaml(std::string_view text) {
  YamlStream stream;
  if (const int line = LineThatIsNoUtf8(text); line != 0) {
    stream.errors.push_back({line, "", "is not UTF-8; save the file in UTF-8"});
    stream.is_cut = true;
    return stream;
  }
  try {
    const std::string copy(text);
    CheckEnds(copy);
    Spent spent;
    for (const YAML::Node& node : YAML::LoadAll(copy)) {
      YamlDocument document;
      document.value = Converter(document, stream, spent).Convert(node, "", 0);
      if (stream.is_cut) break;
      if (!document.value.is_null()) stream.documents.push_back(std::move(document));
    }
  } catch (const YAML::Exception& e) {
    stream.is_cut = true;
    // It may quote the first byte of a character alone.
    const std::string what =
        Json::parse(Json(e.msg).dump(-1, ' ', false, Json::error_handler_t::replace));
    stream.errors.push_back({e.mark.line + 1, "",
                             fmt::format("not YAML: line {}, column {}: {}", e.mark.line + 1,
                                         e.mark.column + 1, what)});
  }
  return stream;
}

Result<std::vector<YamlDocument>> ParseYaml(std::string_view text) {
  YamlStream stream = ReadYaml(text);
  if (stream.errors.empty()) return std::move(stream.documents);
  const YamlError& first = stream.errors.front();
  if (first.path.empty()) return InvalidArgument("", first.message);
  return InvalidArgument(first.path, fmt::format("{} (line {})", first.message, first.line));
}

std::string ToYaml(const Json& value) {
  YAML::Emitter out;
  Emit(out, value);
  return std::string(out.c_str()) + "\n";
}

}  // namespace weir::codec
