// SPDX-License-Identifier: Apache-2.0
#include "shared/codec/json.h"

#include <algorithm>
#include <set>

namespace weir::codec {
namespace {

constexpr size_t kDeepestJson = 64;

// Builds the tree from the parser's events, so that depth and repeated keys are checked on the way.
// (nlohmann's parser with a callback does the same, but looks over a whole list at the end of each
// item: ten thousand flags took it ten seconds.)
class TreeBuilder final : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return Put(nullptr) != nullptr; }
  bool boolean(bool value) override { return Put(value) != nullptr; }
  bool number_integer(int64_t value) override { return Put(value) != nullptr; }
  bool number_unsigned(uint64_t value) override { return Put(value) != nullptr; }
  bool number_float(double value, const std::string&) override { return Put(value) != nullptr; }
  bool string(std::string& value) override { return Put(std::move(value)) != nullptr; }
  bool binary(Json::binary_t&) override { return false; }
  bool start_object(size_t) override { return Open(Json::object()); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(std::string& name) override {
    const auto [at, fresh] = open_.back()->get_ref<Json::object_t&>().try_emplace(name);
    if (!fresh && error_.empty()) error_ = fmt::format("key \"{}\" is given twice", name);
    member_ = &at->second;
    return true;
  }
  bool parse_error(size_t, const std::string&, const Json::exception& e) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: …" without the first word.
    const std::string what = e.what();
    const size_t at = what.find("] ");
    error_ = "not JSON: " + (at == std::string::npos ? what : what.substr(at + 2));
    return false;
  }

  Json TakeTree() { return std::move(root_); }
  const std::string& error() const { return error_; }

 private:
  Json* Put(Json value) {
    Json* place = &root_;
    if (!open_.empty()) {
      Json& parent = *open_.back();
      place = parent.is_array() ? &parent.emplace_back() : member_;
    }
    *place = std::move(value);
    return place;
  }
  bool Open(Json empty) {
    if (open_.size() >= kDeepestJson) {
      error_ = fmt::format("nested deeper than {}", kDeepestJson);
      return false;
    }
    open_.push_back(Put(std::move(empty)));
    return true;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }

  Json root_;
  std::vector<Json*> open_;  // each inside the one before, as its last item
  Json* member_ = nullptr;   // of the innermost object: what the next value becomes
  std::string error_;
};

template <class T>
void ReadInteger(const Json& j, const std::string& path, T& out, Errors& errors) {
  const auto fail = [&] {
    errors.push_back({path, fmt::format("{}, but a whole number{} is expected", Show(j),
                                        std::is_signed_v<T> ? "" : " from 0")});
  };
  if (j.is_number_unsigned()) {
    const uint64_t value = j.get<uint64_t>();
    if (value > static_cast<uint64_t>(std::numeric_limits<T>::max())) return fail();
    out = static_cast<T>(value);
  } else if (j.is_number_integer()) {
    const int64_t value = j.get<int64_t>();
    if (value < 0 && !std::is_signed_v<T>) return fail();
    out = static_cast<T>(value);
  } else {
    fail();
  }
}

}  // namespace

Result<Json> ParseJson(std::string_view text) {
  TreeBuilder builder;
  if (Json::sax_parse(text, &builder) && builder.error().empty()) return builder.TakeTree();
  // The parser quotes what it read last, also bytes that are no UTF-8.
  const std::string quoted =
      Json(builder.error()).dump(-1, ' ', false, Json::error_handler_t::replace);
  return InvalidArgument("", Json::parse(quoted).get<std::string>());
}

Status ToStatus(const Errors& errors) {
  if (errors.empty()) return OkStatus();
  std::string message = errors[0].message;
  for (size_t i = 1; i < errors.size() && i < 20; ++i) {
    message += "; " + errors[i].path + ": " + errors[i].message;
  }
  return InvalidArgument(errors[0].path, message);
}

std::string Show(const Json& value) {
  std::string text = value.is_string() ? "\"" + value.get<std::string>() + "\""
                                       : value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > 60) {
    size_t end = 57;
    while ((text[end] & 0xc0) == 0x80) --end;  // not within a character
    text = text.substr(0, end) + "…";
  }
  switch (value.type()) {
    case Json::value_t::null:
      return "empty";
    case Json::value_t::object:
      return "a mapping";
    case Json::value_t::array:
      return "a list";
    case Json::value_t::string:
      return text + " is text";
    case Json::value_t::boolean:
      return text + " is true/false";
    default:
      return text + " is a number";
  }
}

void JsonReader::Read(const Json& j, const std::string&, domain::JsonText& out, Errors&) {
  out.text = j.is_null() ? "" : j.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json JsonWriter::Write(const domain::JsonText& value) {
  return value.empty() ? Json() : Json::parse(value.text, nullptr, false);
}

void JsonReader::WrongType(const Json& j, const std::string& path, const char* wanted,
                           Errors& errors) {
  errors.push_back({path, fmt::format("{}, but {} is expected", Show(j), wanted)});
}

const std::string* JsonReader::Find(const char* name, const Field& options) {
  known_.emplace_back(name);
  const std::string* found = nullptr;
  for (const char* spelling : {name, options.aliases[0], options.aliases[1], options.aliases[2]}) {
    if (spelling == nullptr) continue;
    const auto at = object_.find(spelling);
    if (at == object_.end()) continue;
    taken_.emplace_back(spelling);
    if (found != nullptr)
      Fail(Child(spelling), fmt::format("means the same as {}; give one of them", *found));
    found = &at.key();
  }
  return found;
}

void JsonReader::Finish() {
  for (const auto& [key, value] : object_.items()) {
    if (std::find(taken_.begin(), taken_.end(), key) != taken_.end()) continue;
    Fail(Child(key), fmt::format("is not a known key{}; known: {}", DidYouMean(key, known_),
                                 Join(known_, ", ")));
  }
}

void JsonReader::Read(const Json& j, const std::string& path, bool& out, Errors& errors) {
  if (!j.is_boolean()) return WrongType(j, path, "true or false", errors);
  out = j.get<bool>();
}

void JsonReader::Read(const Json& j, const std::string& path, double& out, Errors& errors) {
  if (!j.is_number() || !std::isfinite(j.get<double>()))
    return WrongType(j, path, "a number", errors);
  out = j.get<double>();
}

void JsonReader::Read(const Json& j, const std::string& path, std::string& out, Errors& errors) {
  if (j.is_number()) return WrongType(j, path, "text (write it in quotes)", errors);
  if (!j.is_string()) return WrongType(j, path, "text", errors);
  out = j.get<std::string>();
}

void JsonReader::Read(const Json& j, const std::string& path, int64_t& out, Errors& errors) {
  ReadInteger(j, path, out, errors);
}
void JsonReader::Read(const Json& j, const std::string& path, uint64_t& out, Errors& errors) {
  ReadInteger(j, path, out, errors);
}
void JsonReader::Read(const Json& j, const std::string& path, uint32_t& out, Errors& errors) {
  ReadInteger(j, path, out, errors);
}

void JsonReader::Read(const Json& j, const std::string& path, domain::DurationMs& out,
                      Errors& errors) {
  if (!j.is_string() && !j.is_number())
    return WrongType(j, path, "a duration (30s, 5m, 24h)", errors);
  const Result<int64_t> ms = ParseDurationMs(j.is_string() ? j.get<std::string>() : j.dump());
  if (!ms.ok()) {
    errors.push_back({path, ms.status().message()});
  } else {
    out.ms = *ms;
  }
}

void JsonReader::Read(const Json& j, const std::string& path, domain::TimeMs& out, Errors& errors) {
  if (!j.is_string()) return WrongType(j, path, "a time (2026-11-20T14:05:00Z)", errors);
  const Result<int64_t> ms = ParseTimeMs(j.get<std::string>());
  if (!ms.ok()) {
    errors.push_back({path, ms.status().message()});
  } else {
    out.ms = *ms;
  }
}

}  // namespace weir::codec
