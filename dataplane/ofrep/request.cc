// SPDX-License-Identifier: Apache-2.0
#include "dataplane/ofrep/request.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <cstring>
#include <vector>

namespace weir::node::ofrep {
namespace {

namespace ondemand = simdjson::ondemand;
using targeting::Member;
using targeting::Value;

constexpr size_t kKeptBytes = 1024 * 1024;  // of the buffer, from request to request
constexpr std::string_view kParseError = "PARSE_ERROR";
constexpr std::string_view kInvalidContext = "INVALID_CONTEXT";

bool IsBlank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

}  // namespace

class RequestReader::Parser {
 public:
  std::optional<RequestError> Read(std::string_view body, targeting::Arena& arena,
                                   EvaluationRequest* out) {
    *out = {};
    error_.reset();
    arena_ = &arena;
    items_.clear();
    members_.clear();
    if (IsBlank(body)) return std::nullopt;
    Load(body);
    Value root;
    if (ReadRoot(body.size(), &root)) Interpret(root, out);
    return std::move(error_);
  }

 private:
  void Load(std::string_view body) {
    const size_t wanted = body.size() + simdjson::SIMDJSON_PADDING;
    if (buffer_.size() > 2 * kKeptBytes && wanted <= kKeptBytes) {
      buffer_ = {};
      parser_ = ondemand::parser();
    }
    if (buffer_.size() < wanted) buffer_.resize(wanted);
    std::memcpy(buffer_.data(), body.data(), body.size());
    std::memset(buffer_.data() + body.size(), ' ', simdjson::SIMDJSON_PADDING);
  }

  bool Fail(std::string_view code, std::string details) {
    error_ = RequestError{code, std::move(details)};
    return false;
  }
  bool Malformed(simdjson::error_code error) {
    return Fail(kParseError,
                fmt::format("the body is no JSON: {}", simdjson::error_message(error)));
  }
  bool TooLarge() { return Fail(kInvalidContext, "context: is too large"); }

  bool ReadRoot(size_t size, Value* out) {
    ondemand::document document;
    if (const auto error = parser_.iterate(buffer_.data(), size, buffer_.size()).get(document)) {
      return Malformed(error);
    }
    ondemand::json_type type{};
    if (const auto error = document.type().get(type)) return Malformed(error);
    if (type != ondemand::json_type::object) {
      return Fail(kParseError, "the body is no JSON object");
    }
    ondemand::object object;
    if (const auto error = document.get_object().get(object)) return Malformed(error);
    if (!ReadObject(object, 0, out)) return false;
    if (document.current_location().error() != simdjson::OUT_OF_BOUNDS) {
      return Fail(kParseError, "the body goes on after its object");
    }
    return true;
  }

  void Interpret(const Value& root, EvaluationRequest* out) {
    const Value* context = root.Find("context");
    if (context == nullptr || context->is_null()) return;
    if (context->type() != Value::Type::kMap) {
      Fail(kInvalidContext, "context: is no object");
      return;
    }
    const Value* key = context->Find("targetingKey");
    if (key != nullptr && !key->is_null()) {
      if (key->type() != Value::Type::kText) {
        Fail(kInvalidContext, "context.targetingKey: is no text");
        return;
      }
      out->targeting_key = key->text();
    }
    out->context = *context;
  }

  bool ReadValue(ondemand::value value, int depth, Value* out) {
    ondemand::json_type type{};
    if (const auto error = value.type().get(type)) return Malformed(error);
    switch (type) {
      case ondemand::json_type::object: {
        ondemand::object object;
        if (const auto error = value.get_object().get(object)) return Malformed(error);
        return ReadObject(object, depth + 1, out);
      }
      case ondemand::json_type::array: {
        ondemand::array array;
        if (const auto error = value.get_array().get(array)) return Malformed(error);
        return ReadArray(array, depth + 1, out);
      }
      case ondemand::json_type::string: {
        std::string_view text;
        if (const auto error = value.get_string().get(text)) return Malformed(error);
        *out = Value::Text(text);
        return true;
      }
      case ondemand::json_type::number: {
        double number = 0;
        if (const auto error = value.get_double().get(number)) return Malformed(error);
        *out = Value::Number(number);
        return true;
      }
      case ondemand::json_type::boolean: {
        bool boolean = false;
        if (const auto error = value.get_bool().get(boolean)) return Malformed(error);
        *out = Value::Bool(boolean);
        return true;
      }
      case ondemand::json_type::null: {
        bool is_null = false;
        if (const auto error = value.is_null().get(is_null)) return Malformed(error);
        return is_null || Malformed(simdjson::N_ATOM_ERROR);
      }
    }
    return Malformed(simdjson::TAPE_ERROR);
  }

  // Members gather on a stack that all levels share, and move to the arena when they are complete.
  bool ReadObject(ondemand::object object, int depth, Value* out) {
    if (depth > kMaxDepth) return TooDeep();
    const size_t start = members_.size();
    for (auto field : object) {
      Member member;
      if (const auto error = field.unescaped_key().get(member.name)) return Malformed(error);
      ondemand::value value;
      if (const auto error = field.value().get(value)) return Malformed(error);
      if (!ReadValue(value, depth, &member.value)) return false;
      members_.push_back(member);
    }
    const Member* kept = Keep(members_, start);
    if (kept == nullptr) return TooLarge();
    *out = Value::Map(kept, members_.size() - start);
    members_.resize(start);
    return true;
  }

  bool ReadArray(ondemand::array array, int depth, Value* out) {
    if (depth > kMaxDepth) return TooDeep();
    const size_t start = items_.size();
    for (auto item : array) {
      ondemand::value value;
      if (const auto error = item.get(value)) return Malformed(error);
      Value read;
      if (!ReadValue(value, depth, &read)) return false;
      items_.push_back(read);
    }
    const Value* kept = Keep(items_, start);
    if (kept == nullptr) return TooLarge();
    *out = Value::List(kept, items_.size() - start);
    items_.resize(start);
    return true;
  }

  bool TooDeep() {
    return Fail(kInvalidContext,
                fmt::format("context: is nested more than {} levels deep", kMaxDepth));
  }

  template <class T>
  const T* Keep(const std::vector<T>& stack, size_t start) {
    const size_t count = stack.size() - start;
    T* kept = arena_->AllocateArray<T>(std::max<size_t>(count, 1));
    if (kept != nullptr && count > 0) std::memcpy(kept, &stack[start], count * sizeof(T));
    return kept;
  }

  ondemand::parser parser_;
  std::vector<char> buffer_;
  std::vector<Member> members_;
  std::vector<Value> items_;
  targeting::Arena* arena_ = nullptr;
  std::optional<RequestError> error_;
};

RequestReader::RequestReader() : parser_(std::make_unique<Parser>()) {}
RequestReader::~RequestReader() = default;

std::optional<RequestError> RequestReader::Read(std::string_view body, targeting::Arena& arena,
                                                EvaluationRequest* out) {
  return parser_->Read(body, arena, out);
}

}  // namespace weir::node::ofrep
