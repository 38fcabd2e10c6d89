// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/remote/answer.h"

#include <fmt/compile.h>
#include <fmt/format.h>
#include <simdjson.h>

#include <cmath>
#include <cstring>
#include <iterator>
#include <type_traits>

#include "shared/base/utf8.h"

namespace weir::node::runtime::remote {
namespace {

namespace dom = simdjson::dom;
namespace ondemand = simdjson::ondemand;

constexpr size_t kKeptBytes = size_t{1} << 20;  // of the parsers' memory, from answer to answer
constexpr size_t kExcerpt = 200;
constexpr uint64_t kMaxTokens = 100'000'000;  // of one answer; more is no count of tokens
constexpr int kMaxDepth = 16;  // of nested arrays and objects that a number is looked for in

void AppendString(std::string_view text, fmt::memory_buffer& out) {
  out.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), FMT_COMPILE("\\u{:04x}"), static_cast<unsigned>(c));
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

template <class T>
void AppendNumbers(const Tensor& tensor, fmt::memory_buffer& out) {
  for (size_t at = 0; at + sizeof(T) <= tensor.data.size(); at += sizeof(T)) {
    T value;
    std::memcpy(&value, tensor.data.data() + at, sizeof(T));
    if (at > 0) out.push_back(',');
    if constexpr (std::is_floating_point_v<T>) {
      if (!std::isfinite(value)) {
        out.append(std::string_view("null"));
        continue;
      }
    }
    fmt::format_to(std::back_inserter(out), FMT_COMPILE("{}"), value);
  }
}

void AppendData(const Tensor& tensor, fmt::memory_buffer& out) {
  switch (tensor.datatype) {
    case DataType::kBool:
      return AppendNumbers<bool>(tensor, out);
    case DataType::kUint8:
      return AppendNumbers<uint8_t>(tensor, out);
    case DataType::kUint16:
      return AppendNumbers<uint16_t>(tensor, out);
    case DataType::kUint32:
      return AppendNumbers<uint32_t>(tensor, out);
    case DataType::kUint64:
      return AppendNumbers<uint64_t>(tensor, out);
    case DataType::kInt8:
      return AppendNumbers<int8_t>(tensor, out);
    case DataType::kInt16:
      return AppendNumbers<int16_t>(tensor, out);
    case DataType::kInt32:
      return AppendNumbers<int32_t>(tensor, out);
    case DataType::kInt64:
      return AppendNumbers<int64_t>(tensor, out);
    case DataType::kFp32:
      return AppendNumbers<float>(tensor, out);
    case DataType::kFp64:
      return AppendNumbers<double>(tensor, out);
  }
}

// Depth first.
std::optional<double> FirstNumber(dom::element value, int depth = 0) {
  double number = 0;
  if (value.get_double().get(number) == simdjson::SUCCESS) return number;
  if (depth >= kMaxDepth) return std::nullopt;
  std::optional<double> found;
  if (dom::array array; value.get_array().get(array) == simdjson::SUCCESS) {
    for (const dom::element item : array) {
      if ((found = FirstNumber(item, depth + 1)).has_value()) break;
    }
  } else if (dom::object object; value.get_object().get(object) == simdjson::SUCCESS) {
    for (const dom::key_value_pair member : object) {
      if ((found = FirstNumber(member.value, depth + 1)).has_value()) break;
    }
  }
  return found;
}

uint64_t TokensOf(dom::element root) {
  for (const char* place : {"/usage", "/parameters/usage"}) {
    dom::element usage;
    if (root.at_pointer(place).get(usage) != simdjson::SUCCESS) continue;
    for (const char* name : {"completion_tokens", "output_tokens", "total_tokens"}) {
      uint64_t tokens = 0;
      if (usage[name].get_uint64().get(tokens) == simdjson::SUCCESS && tokens <= kMaxTokens)
        return tokens;
    }
  }
  return 0;
}

std::optional<double> FirstTokenMsOf(dom::element root) {
  for (const char* place : {"/usage", "/parameters/usage", "/parameters"}) {
    dom::element said;
    if (root.at_pointer(place).get(said) != simdjson::SUCCESS) continue;
    for (const char* name : {"time_to_first_token_ms", "ttft_ms"}) {
      double ms = 0;
      const bool is_number = said[name].get_double().get(ms) == simdjson::SUCCESS;
      if (is_number && std::isfinite(ms) && ms >= 0) return ms;
    }
  }
  return std::nullopt;
}

Status NoJson(simdjson::error_code error) {
  return Internal(fmt::format("the answer is no JSON: {}", simdjson::error_message(error)));
}

}  // namespace

std::string WriteOip(const Request& request) {
  fmt::memory_buffer out;
  out.push_back('{');
  if (!request.request_id.empty()) {
    out.append(std::string_view(R"("id":)"));
    AppendString(request.request_id, out);
    out.push_back(',');
  }
  out.append(std::string_view(R"("inputs":[)"));
  for (const Tensor& tensor : request.inputs) {
    if (&tensor != request.inputs.data()) out.push_back(',');
    out.append(std::string_view(R"({"name":)"));
    AppendString(tensor.name, out);
    fmt::format_to(std::back_inserter(out), R"(,"datatype":"{}","shape":[{}],"data":[)",
                   DataTypeName(tensor.datatype), fmt::join(tensor.shape, ","));
    AppendData(tensor, out);
    out.append(std::string_view("]}"));
  }
  out.push_back(']');
  if (!request.outputs.empty()) {
    out.append(std::string_view(R"(,"outputs":[)"));
    for (const std::string& name : request.outputs) {
      if (&name != request.outputs.data()) out.push_back(',');
      out.append(std::string_view(R"({"name":)"));
      AppendString(name, out);
      out.push_back('}');
    }
    out.push_back(']');
  }
  out.push_back('}');
  return fmt::to_string(out);
}

std::string Excerpt(std::string_view body) {
  std::string text(body.substr(0, kExcerpt));
  // A character that was cut in two is left out.
  while (body.size() > kExcerpt && !text.empty() && !IsUtf8(text) && text.size() + 4 > kExcerpt) {
    text.pop_back();
  }
  const bool is_utf8 = IsUtf8(text);
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) c = ' ';
    if (byte >= 0x80 && !is_utf8) c = '?';
  }
  return text;
}

struct AnswerReader::Parsers {
  dom::parser dom;
  ondemand::parser ondemand;
  dom::element root;
};

AnswerReader::AnswerReader() : parsers_(std::make_unique<Parsers>()) {}
AnswerReader::~AnswerReader() = default;

Status AnswerReader::Parse(std::string& body) {
  if (parsers_->dom.capacity() > kKeptBytes && body.size() <= kKeptBytes) {
    parsers_ = std::make_unique<Parsers>();
  }
  body.reserve(body.size() + simdjson::SIMDJSON_PADDING);
  const auto error = parsers_->dom.parse(body.data(), body.size(), false).get(parsers_->root);
  return error == simdjson::SUCCESS ? OkStatus() : NoJson(error);
}

Status AnswerReader::ReadOip(std::string& body, JsonAnswer* out) {
  WEIR_RETURN_IF_ERROR(Parse(body));
  dom::array outputs;
  if (parsers_->root["outputs"].get_array().get(outputs) != simdjson::SUCCESS) {
    return Internal("the answer has no list \"outputs\"");
  }
  out->tokens = TokensOf(parsers_->root);
  out->first_token_ms = FirstTokenMsOf(parsers_->root);
  bool is_first = true;
  for (const dom::element output : outputs) {
    if (!output.is_object()) return Internal("the answer's \"outputs\" are no tensors");
    dom::element data;
    if (is_first && output["data"].get(data) == simdjson::SUCCESS) {
      out->first_value = FirstNumber(data);
    }
    is_first = false;
  }
  // That it is JSON is known; what is left is where its parts stand.
  ondemand::document document;
  ondemand::array array;
  auto error = parsers_->ondemand.iterate(body.data(), body.size(), body.capacity()).get(document);
  if (!error) error = document.find_field_unordered("outputs").get_array().get(array);
  if (!error) error = array.raw_json().get(out->outputs);
  if (error) return NoJson(error);
  ondemand::object parameters;
  document.rewind();
  if (document.find_field_unordered("parameters").get_object().get(parameters) ==
      simdjson::SUCCESS) {
    if (parameters.raw_json().get(out->parameters)) out->parameters = {};
  }
  return OkStatus();
}

Status AnswerReader::ReadPredict(std::string& body, JsonAnswer* out) {
  WEIR_RETURN_IF_ERROR(Parse(body));
  out->body = body;
  out->tokens = TokensOf(parsers_->root);
  out->first_token_ms = FirstTokenMsOf(parsers_->root);
  for (const char* name : {"prediction", "score", "output", "predictions"}) {
    dom::element member;
    if (parsers_->root[name].get(member) != simdjson::SUCCESS) continue;
    if ((out->first_value = FirstNumber(member)).has_value()) return OkStatus();
  }
  if (dom::object root; parsers_->root.get_object().get(root) == simdjson::SUCCESS) {
    for (const dom::key_value_pair member : root) {
      double number = 0;
      if (member.value.get_double().get(number) != simdjson::SUCCESS) continue;
      out->first_value = number;
      return OkStatus();
    }
  }
  out->first_value = FirstNumber(parsers_->root);
  return OkStatus();
}

}  // namespace weir::node::runtime::remote
