// SPDX-License-Identifier: Apache-2.0
// Described types ↔ JSON trees. Readers are strict: unknown keys (with the nearest known one),
// wrong types and missing required fields are errors, all of them collected with their paths.
// Writers leave out what is absent or empty. YAML goes through the same trees (yaml.h).
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "shared/base/clock.h"
#include "shared/base/status.h"
#include "shared/base/text.h"
#include "shared/codec/fields.h"
#include "shared/domain/units.h"
#include "shared/domain/validate.h"

namespace weir::codec {

using Json = nlohmann::json;
using Errors = std::vector<domain::Violation>;

// Text → tree. Duplicate keys, depth above 64 and anything after the value are InvalidArgument.
Result<Json> ParseJson(std::string_view text);
// Several errors as one Status: the first with its path, and how many more there are.
Status ToStatus(const Errors& errors);
// "12 is a number", "\"x\" is text", … for messages.
std::string Show(const Json& value);

class JsonReader {
 public:
  JsonReader(const Json& object, std::string path, Errors& errors)
      : object_(object), path_(std::move(path)), errors_(errors) {}

  template <class T>
  void operator()(uint32_t, const char* name, T& field, const Field& options = {}) {
    const std::string* found = Find(name, options);
    if (found == nullptr) {
      if (options.required) Fail(Child(name), "is missing");
      return;
    }
    Read(object_.at(*found), Child(*found), field, errors_);
  }
  // After Describe: every key that no field took is an error.
  void Finish();

  static void Read(const Json& j, const std::string& path, bool& out, Errors& errors);
  static void Read(const Json& j, const std::string& path, double& out, Errors& errors);
  static void Read(const Json& j, const std::string& path, std::string& out, Errors& errors);
  static void Read(const Json& j, const std::string& path, int64_t& out, Errors& errors);
  static void Read(const Json& j, const std::string& path, uint64_t& out, Errors& errors);
  static void Read(const Json& j, const std::string& path, uint32_t& out, Errors& errors);
  static void Read(const Json& j, const std::string& path, domain::DurationMs& out, Errors& errors);
  static void Read(const Json& j, const std::string& path, domain::TimeMs& out, Errors& errors);
  static void Read(const Json& j, const std::string&, Json& out, Errors&) { out = j; }
  static void Read(const Json& j, const std::string& path, domain::JsonText& out, Errors& errors);

  template <class T>
  static void Read(const Json& j, const std::string& path, std::optional<T>& out, Errors& errors) {
    if (j.is_null()) {
      out.reset();
      return;
    }
    Read(j, path, out.emplace(), errors);
  }
  template <class T>
  static void Read(const Json& j, const std::string& path, std::vector<T>& out, Errors& errors) {
    if (!j.is_array()) return WrongType(j, path, "a list", errors);
    out.clear();
    for (size_t i = 0; i < j.size(); ++i) {
      T item{};
      Read(j[i], fmt::format("{}[{}]", path, i), item, errors);
      out.push_back(std::move(item));
    }
  }
  template <class T>
  static void Read(const Json& j, const std::string& path, std::map<std::string, T>& out,
                   Errors& errors) {
    if (!j.is_object()) return WrongType(j, path, "a mapping", errors);
    out.clear();
    for (const auto& [key, value] : j.items()) Read(value, path + "." + key, out[key], errors);
  }
  template <class T>
  requires std::is_class_v<T>
  static void Read(const Json& j, const std::string& path, T& out, Errors& errors) {
    if (!j.is_object()) return WrongType(j, path, "a mapping", errors);
    JsonReader reader(j, path, errors);
    Describe(reader, out);
    reader.Finish();
  }

 private:
  const std::string* Find(const char* name, const Field& options);
  std::string Child(const std::string& name) const {
    return path_.empty() ? name : path_ + "." + name;
  }
  void Fail(std::string path, std::string message) {
    errors_.push_back({std::move(path), std::move(message)});
  }
  static void WrongType(const Json& j, const std::string& path, const char* wanted, Errors& errors);

  const Json& object_;
  std::string path_;
  Errors& errors_;
  std::vector<std::string> known_;
  std::vector<std::string> taken_;
};

class JsonWriter {
 public:
  template <class T>
  void operator()(uint32_t, const char* name, T& field, const Field& options = {}) {
    if constexpr (!std::is_same_v<T, Json>) {
      if (options.omit_zero && field == T{}) return;
    }
    Json value = Write(field);
    const bool empty = value.is_null() ||
                       ((value.is_object() || value.is_array()) && value.empty()) ||
                       (value.is_string() && value.get_ref<const std::string&>().empty());
    if (!empty) object_[name] = std::move(value);
  }
  Json Take() { return std::move(object_); }

  static Json Write(bool value) { return value; }
  static Json Write(double value) { return value; }
  static Json Write(const std::string& value) { return value; }
  static Json Write(int64_t value) { return value; }
  static Json Write(uint64_t value) { return value; }
  static Json Write(uint32_t value) { return value; }
  static Json Write(const domain::DurationMs& value) { return FormatDurationMs(value.ms); }
  static Json Write(const domain::TimeMs& value) {
    return value.ms == 0 ? Json() : Json(FormatTimeMs(value.ms));
  }
  static Json Write(const Json& value) { return value; }
  static Json Write(const domain::JsonText& value);
  template <class T>
  static Json Write(const std::optional<T>& value) {
    return value.has_value() ? Write(*value) : Json();
  }
  template <class T>
  static Json Write(const std::vector<T>& items) {
    Json array = Json::array();
    for (const T& item : items) array.push_back(Write(item));
    return array;
  }
  template <class T>
  static Json Write(const std::map<std::string, T>& items) {
    Json object = Json::object();
    for (const auto& [key, value] : items) object[key] = Write(value);
    return object;
  }
  template <class T>
  requires std::is_class_v<T>
  static Json Write(const T& value) {
    JsonWriter writer;
    Describe(writer,
             const_cast<T&>(value));  // a description visits by reference; writers only read
    return writer.Take();
  }

 private:
  Json object_ = Json::object();
};

template <class T>
Json ToJson(const T& value) {
  return JsonWriter::Write(value);
}

template <class T>
T FromJson(const Json& json, const std::string& path, Errors& errors) {
  T value{};
  JsonReader::Read(json, path, value, errors);
  return value;
}

template <class T>
Result<T> FromJson(const Json& json, const std::string& path = "") {
  Errors errors;
  T value = FromJson<T>(json, path, errors);
  if (!errors.empty()) return ToStatus(errors);
  return value;
}

}  // namespace weir::codec
