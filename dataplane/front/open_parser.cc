// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/open_parser.h"

#include <cstring>
#include <utility>

namespace weir::node::front {
namespace {

namespace dom = simdjson::dom;

constexpr size_t kKeptText = 1024 * 1024;

Status ReadText(std::string path, dom::element value, std::string* out) {
  std::string_view text;
  if (value.get(text) != simdjson::SUCCESS) return InvalidArgument(std::move(path), "is no text");
  out->assign(text);
  return OkStatus();
}

// Keys may be text or whole numbers.
Status ReadKey(std::string path, dom::element value, std::string* out) {
  if (value.is_int64() || value.is_uint64()) {
    out->assign(simdjson::minify(value));
    return OkStatus();
  }
  if (value.is_double()) {
    return InvalidArgument(std::move(path), "is neither text nor a whole number");
  }
  return ReadText(std::move(path), value, out);
}

// Of /predict other members of these names are the service's own.
enum class Strict : bool { kNo, kYes };

Status ReadKeys(const std::string& path, dom::object members, Strict strict, InferRequest* out) {
  for (const dom::key_value_pair& member : members) {
    std::string* key = member.key == "user_id"      ? &out->user_id
                       : member.key == "session_id" ? &out->session_id
                       : member.key == "request_id" ? &out->request_id
                                                    : nullptr;
    if (member.key == "priority" && strict == Strict::kYes) {
      int64_t priority = 0;
      if (member.value.get(priority) == simdjson::SUCCESS) out->TakePriority(priority);
    }
    if (key == nullptr) continue;
    const Status read = ReadKey(path + std::string(member.key), member.value, key);
    if (!read.ok() && strict == Strict::kYes) return read;
  }
  return OkStatus();
}

Status ReadMembers(dom::object root, InferRequest* out) {
  bool has_inputs = false;
  for (const dom::key_value_pair& member : root) {
    if (member.key == "inputs") {
      if (std::exchange(has_inputs, true)) return InvalidArgument("inputs", "is given twice");
      if (!member.value.is_array()) return InvalidArgument("inputs", "is no list");
    } else if (member.key == "id") {
      WEIR_RETURN_IF_ERROR(ReadText("id", member.value, &out->id));
    } else if (member.key == "parameters") {
      dom::object parameters;
      if (member.value.get(parameters) != simdjson::SUCCESS) {
        return InvalidArgument("parameters", "is no object");
      }
      WEIR_RETURN_IF_ERROR(ReadKeys("parameters.", parameters, Strict::kYes, out));
    }
  }
  return has_inputs ? OkStatus() : InvalidArgument("inputs", "is missing");
}

}  // namespace

Status InferReader::OpenParser::ReadOpen(std::string_view body, InferRequest* out) {
  out->Clear();
  const Result<dom::element> document = Parse(body);
  if (!document.ok()) return document.status();
  dom::object root;
  const bool is_object = document->get(root) == simdjson::SUCCESS;
  Status read = is_object ? ReadMembers(root, out) : InvalidArgument("body", "is no JSON object");
  LetGo();
  return read;
}

Status InferReader::OpenParser::ReadPredict(std::string_view body, InferRequest* out) {
  out->Clear();
  const Result<dom::element> document = Parse(body);
  if (!document.ok()) return document.status();
  dom::object root;
  Status read = OkStatus();
  if (document->get(root) == simdjson::SUCCESS) read = ReadKeys("", root, Strict::kNo, out);
  LetGo();
  return read;
}

Result<simdjson::dom::element> InferReader::OpenParser::Parse(std::string_view body) {
  if (buffer_.size() < body.size() + simdjson::SIMDJSON_PADDING) {
    buffer_.resize(body.size() + simdjson::SIMDJSON_PADDING);
  }
  if (!body.empty()) std::memcpy(buffer_.data(), body.data(), body.size());
  std::memset(buffer_.data() + body.size(), ' ', simdjson::SIMDJSON_PADDING);
  dom::element document;
  const auto error = parser_.parse(buffer_.data(), body.size(), false).get(document);
  if (error == simdjson::SUCCESS) return document;
  LetGo();
  return InvalidArgument("body", simdjson::error_message(error));
}

void InferReader::OpenParser::LetGo() {
  if (buffer_.size() <= 2 * kKeptText) return;
  buffer_ = {};
  parser_ = dom::parser();
}

}  // namespace weir::node::front
