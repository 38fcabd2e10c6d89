// SPDX-License-Identifier: Apache-2.0
#include "dataplane/front/infer_request.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "dataplane/front/open_parser.h"
#include "dataplane/front/tensor_data.h"

namespace weir::node::front {
namespace {

constexpr size_t kMaxRank = 8;
constexpr size_t kKeptBytes = 1024 * 1024;  // of a tensor's memory, from request to request

bool Fits(const std::vector<int64_t>& shape, const std::vector<int64_t>& declared) {
  return std::equal(shape.begin(), shape.end(), declared.begin(), declared.end(),
                    [](int64_t has, int64_t wants) { return wants == -1 || has == wants; });
}

Status CheckDeclared(const std::string& path, const Tensor& tensor,
                     std::span<const routing::DeclaredInput> declared) {
  if (declared.empty()) return OkStatus();
  const auto found = std::find_if(declared.begin(), declared.end(),
                                  [&](const auto& input) { return input.name == tensor.name; });
  if (found == declared.end()) {
    return InvalidArgument(path + ".name",
                           fmt::format("\"{}\" is no input of this model; \"{}\" is", tensor.name,
                                       declared.front().name));
  }
  if (found->datatype != tensor.datatype) {
    return InvalidArgument(path + ".datatype",
                           fmt::format("is {}; this model takes {}", DataTypeName(tensor.datatype),
                                       DataTypeName(found->datatype)));
  }
  if (!Fits(tensor.shape, found->shape)) {
    return InvalidArgument(
        path + ".shape", fmt::format("is [{}]; this model takes [{}]", fmt::join(tensor.shape, ","),
                                     fmt::join(found->shape, ",")));
  }
  return OkStatus();
}

}  // namespace

void InferRequest::Clear() {
  id.clear();
  user_id.clear();
  session_id.clear();
  request_id.clear();
  priority.reset();
  outputs.clear();
  for (Tensor& tensor : tensors) {
    if (tensor.data.capacity() > kKeptBytes) tensor.data = {};
  }
  if (tensors.size() > 16) tensors.resize(16);
  tensor_count = 0;
}

class InferReader::Parser {
 public:
  Status Read(std::string_view body, std::span<const routing::DeclaredInput> declared,
              InferRequest* out) {
    out_ = out;
    declared_ = declared;
    out->Clear();
    if (buffer_.size() < body.size() + simdjson::SIMDJSON_PADDING) {
      buffer_.resize(body.size() + simdjson::SIMDJSON_PADDING);
    }
    std::memcpy(buffer_.data(), body.data(), body.size());
    std::memset(buffer_.data() + body.size(), ' ', simdjson::SIMDJSON_PADDING);
    body_size_ = body.size();
    const Status status = ReadRoot();
    if (buffer_.size() > 2 * kKeptBytes) {
      buffer_ = {};
      parser_ = ondemand::parser();
    }
    return status;
  }

 private:
  Status ReadRoot() {
    ondemand::document document;
    if (const auto error =
            parser_.iterate(buffer_.data(), body_size_, buffer_.size()).get(document)) {
      return Malformed("body", error);
    }
    ondemand::object root;
    if (const auto error = document.get_object().get(root)) return Malformed("body", error);
    bool has_inputs = false;
    for (auto field : root) {
      std::string_view key;
      if (const auto error = field.unescaped_key().get(key)) return Malformed("body", error);
      ondemand::value value;
      if (const auto error = field.value().get(value)) return Malformed("body", error);
      if (key == "inputs") {
        if (std::exchange(has_inputs, true)) return InvalidArgument("inputs", "is given twice");
        WEIR_RETURN_IF_ERROR(ReadInputs(value));
      } else if (key == "id") {
        WEIR_RETURN_IF_ERROR(ReadText("id", value, &out_->id));
      } else if (key == "parameters") {
        WEIR_RETURN_IF_ERROR(ReadParameters(value));
      } else if (key == "outputs") {
        WEIR_RETURN_IF_ERROR(ReadOutputs(value));
      }
    }
    if (document.current_location().error() != simdjson::OUT_OF_BOUNDS)
      return InvalidArgument("body", "goes on after the request's object");
    if (!has_inputs) return InvalidArgument("inputs", "is missing");
    if (!declared_.empty() && out_->tensor_count != declared_.size()) {
      return InvalidArgument("inputs", fmt::format("has {} tensors; this model takes {}",
                                                   out_->tensor_count, declared_.size()));
    }
    return OkStatus();
  }

  static Status ReadText(const std::string& path, ondemand::value value, std::string* out) {
    std::string_view text;
    if (value.get_string().get(text) != simdjson::SUCCESS) {
      return InvalidArgument(path, "is no text");
    }
    out->assign(text);
    return OkStatus();
  }

  // Keys may be text or whole numbers.
  static Status ReadKey(const std::string& path, ondemand::value value, std::string* out) {
    ondemand::json_type type{};
    if (value.type().get(type) == simdjson::SUCCESS && type == ondemand::json_type::number) {
      std::string_view token = value.raw_json_token();
      token = token.substr(0, token.find_last_not_of(" \t\r\n") + 1);
      if (token.find_first_not_of("-0123456789") != std::string_view::npos) {
        return InvalidArgument(path, "is neither text nor a whole number");
      }
      out->assign(token);
      return OkStatus();
    }
    return ReadText(path, value, out);
  }

  Status ReadParameters(ondemand::value value) {
    ondemand::object parameters;
    if (value.get_object().get(parameters) != simdjson::SUCCESS) {
      return InvalidArgument("parameters", "is no object");
    }
    for (auto field : parameters) {
      std::string_view key;
      if (const auto error = field.unescaped_key().get(key)) return Malformed("parameters", error);
      ondemand::value item;
      if (const auto error = field.value().get(item)) return Malformed("parameters", error);
      if (key == "user_id") {
        WEIR_RETURN_IF_ERROR(ReadKey("parameters.user_id", item, &out_->user_id));
      } else if (key == "session_id") {
        WEIR_RETURN_IF_ERROR(ReadKey("parameters.session_id", item, &out_->session_id));
      } else if (key == "request_id") {
        WEIR_RETURN_IF_ERROR(ReadKey("parameters.request_id", item, &out_->request_id));
      } else if (key == "priority") {
        int64_t priority = 0;
        if (item.get_int64().get(priority) == simdjson::SUCCESS) out_->TakePriority(priority);
      }
    }
    return OkStatus();
  }

  Status ReadOutputs(ondemand::value value) {
    ondemand::array outputs;
    if (value.get_array().get(outputs) != simdjson::SUCCESS) {
      return InvalidArgument("outputs", "is no list");
    }
    for (auto item : outputs) {
      ondemand::object output;
      if (item.get_object().get(output) != simdjson::SUCCESS) {
        return InvalidArgument("outputs", "holds something that is no object");
      }
      ondemand::value name;
      if (output.find_field_unordered("name").get(name) != simdjson::SUCCESS) {
        return InvalidArgument("outputs[].name", "is missing");
      }
      WEIR_RETURN_IF_ERROR(ReadText("outputs[].name", name, &out_->outputs.emplace_back()));
    }
    return OkStatus();
  }

  Status ReadInputs(ondemand::value value) {
    ondemand::array inputs;
    if (value.get_array().get(inputs) != simdjson::SUCCESS) {
      return InvalidArgument("inputs", "is no list");
    }
    for (auto item : inputs) {
      ondemand::object input;
      const size_t index = out_->tensor_count;
      if (item.get_object().get(input) != simdjson::SUCCESS) {
        return InvalidArgument(fmt::format("inputs[{}]", index), "is no object");
      }
      if (out_->tensors.size() == index) out_->tensors.emplace_back();
      WEIR_RETURN_IF_ERROR(
          ReadInput(fmt::format("inputs[{}]", index), input, out_->tensors[index]));
      for (const Tensor& before : out_->inputs()) {
        if (before.name == out_->tensors[index].name) {
          return InvalidArgument(fmt::format("inputs[{}].name", index),
                                 fmt::format("\"{}\" is given twice", before.name));
        }
      }
      ++out_->tensor_count;
    }
    return OkStatus();
  }

  Status ReadInput(const std::string& path, ondemand::object input, Tensor& tensor) {
    ondemand::value value;
    if (const auto error = input.find_field_unordered("name").get(value)) {
      return Absent(path + ".name", error);
    }
    WEIR_RETURN_IF_ERROR(ReadText(path + ".name", value, &tensor.name));
    if (const auto error = input.find_field_unordered("shape").get(value)) {
      return Absent(path + ".shape", error);
    }
    WEIR_ASSIGN_OR_RETURN(const size_t count, ReadShape(path + ".shape", value, tensor.shape));
    std::string_view datatype;
    if (const auto error = input.find_field_unordered("datatype").get_string().get(datatype)) {
      return Absent(path + ".datatype", error);
    }
    const std::optional<DataType> known = runtime::ParseDataType(datatype);
    if (!known.has_value()) {
      return InvalidArgument(path + ".datatype", fmt::format("\"{}\" is unknown or not supported",
                                                             datatype.substr(0, 32)));
    }
    tensor.datatype = *known;
    WEIR_RETURN_IF_ERROR(CheckDeclared(path, tensor, declared_));
    ondemand::array data;
    if (const auto error = input.find_field_unordered("data").get_array().get(data)) {
      return Absent(path + ".data", error);
    }
    return ReadData(path + ".data", data, tensor, count);
  }

  static Status Absent(std::string path, simdjson::error_code error) {
    if (error == simdjson::NO_SUCH_FIELD) return InvalidArgument(std::move(path), "is missing");
    return Malformed(std::move(path), error);
  }

  // The number of elements; at most as many as the body could hold.
  Result<size_t> ReadShape(const std::string& path, ondemand::value value,
                           std::vector<int64_t>& shape) const {
    ondemand::array dimensions;
    shape.clear();
    if (value.get_array().get(dimensions) != simdjson::SUCCESS) {
      return InvalidArgument(path, "is no list");
    }
    size_t count = 1;
    for (auto item : dimensions) {
      int64_t dimension = 0;
      if (item.get_int64().get(dimension) != simdjson::SUCCESS || dimension < 1) {
        return InvalidArgument(path, "holds something that is no positive whole number");
      }
      if (shape.size() == kMaxRank) {
        return InvalidArgument(path, fmt::format("has more than {} dimensions", kMaxRank));
      }
      shape.push_back(dimension);
      if (static_cast<uint64_t>(dimension) > body_size_ / count) {
        return InvalidArgument(path, "holds more elements than the body has");
      }
      count *= static_cast<size_t>(dimension);
    }
    if (shape.empty()) return InvalidArgument(path, "is empty");
    return count;
  }

  ondemand::parser parser_;
  std::vector<char> buffer_;
  size_t body_size_ = 0;
  std::span<const routing::DeclaredInput> declared_;
  InferRequest* out_ = nullptr;
};

InferReader::InferReader()
    : parser_(std::make_unique<Parser>()), open_parser_(std::make_unique<OpenParser>()) {}
InferReader::~InferReader() = default;

Status InferReader::Read(std::string_view body, std::span<const routing::DeclaredInput> declared,
                         InferRequest* out) {
  return parser_->Read(body, declared, out);
}

Status InferReader::ReadOpen(std::string_view body, InferRequest* out) {
  return open_parser_->ReadOpen(body, out);
}

Status InferReader::ReadPredict(std::string_view body, InferRequest* out) {
  return open_parser_->ReadPredict(body, out);
}

}  // namespace weir::node::front
