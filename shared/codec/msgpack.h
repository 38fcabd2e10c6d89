// SPDX-License-Identifier: Apache-2.0
// Described types ↔ msgpack maps with integer keys, read under the wire's limits before anything is
// allocated: array 4096 (or the field's own), map 256, string and binary 1 MiB, depth 16, no ext.
// An unknown even key is an error, an unknown odd one is skipped; a repeated key is an error.
// Writers leave out what is absent or empty, and write fields in the order of Describe: one value
// has one encoding.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "shared/base/status.h"
#include "shared/codec/fields.h"
#include "shared/domain/units.h"

namespace weir::codec {

struct MsgpackLimits {
  static constexpr uint32_t kMaxMap = 256;
  static constexpr uint32_t kMaxText = 1 << 20;
  static constexpr int kMaxDepth = 16;
};

// Appends msgpack to a string.
class MsgpackWriter {
 public:
  explicit MsgpackWriter(std::string& out) : out_(out) {}

  void Write(bool value) { out_ += static_cast<char>(value ? 0xc3 : 0xc2); }
  void Write(uint64_t value);
  void Write(uint32_t value) { Write(uint64_t{value}); }
  void Write(int64_t value);
  void Write(double value);
  void Write(const std::string& value);
  void Write(const Bytes& value);
  void Write(const domain::DurationMs& value) { Write(value.ms); }
  void Write(const domain::JsonText& value) { Write(value.text); }
  void Write(const domain::TimeMs& value) { Write(value.ms); }
  template <class T>
  void Write(const std::vector<T>& items) {
    Header(items.size(), 0x90, 15, 0xdc);
    for (const T& item : items) Write(item);
  }
  template <class T>
  void Write(const std::map<std::string, T>& items) {
    Header(items.size(), 0x80, 15, 0xde);
    for (const auto& [key, value] : items) {
      Write(key);
      Write(value);
    }
  }
  template <class T>
  requires std::is_class_v<T>
  void Write(const T& value) {
    T& fields = const_cast<T&>(value);  // a description visits by reference; writers only read
    Counter counter;
    Describe(counter, fields);
    Header(counter.count, 0x80, 15, 0xde);
    Describe(*this, fields);
  }
  // The visitor's face.
  template <class T>
  void operator()(uint32_t key, const char*, T& field, const Field& = {}) {
    if (IsEmpty(field)) return;
    Write(uint64_t{key});
    if constexpr (requires { field.has_value(); }) {
      Write(*field);
    } else {
      Write(field);
    }
  }

 private:
  template <class T>
  static bool IsEmpty(const T& field) {
    if constexpr (requires { field.has_value(); }) {
      return !field.has_value();
    } else if constexpr (requires { field.empty(); }) {
      return field.empty();
    } else {
      return false;
    }
  }
  struct Counter {
    size_t count = 0;
    template <class T>
    void operator()(uint32_t, const char*, T& field, const Field& = {}) {
      count += IsEmpty(field) ? 0 : 1;
    }
  };
  void Header(size_t size, uint8_t fix, size_t fix_max, uint8_t wide);
  void BigEndian(uint64_t value, int bytes);

  std::string& out_;
};

// Reads from a view; remembers the first error and then does nothing more.
class MsgpackReader {
 public:
  explicit MsgpackReader(std::string_view in) : in_(in) {}

  bool ok() const { return error_.empty(); }
  // The first error, or trailing bytes.
  Status Finish() const;

  void Read(bool& out);
  void Read(uint64_t& out);
  void Read(uint32_t& out);
  void Read(int64_t& out);
  void Read(double& out);
  void Read(std::string& out);
  void Read(Bytes& out);
  void Read(domain::DurationMs& out) { Read(out.ms); }
  void Read(domain::JsonText& out) { Read(out.text); }
  void Read(domain::TimeMs& out) { Read(out.ms); }
  template <class T>
  void Read(std::optional<T>& out) {
    Read(out.emplace());
  }
  template <class T>
  void Read(std::vector<T>& out, uint32_t max_items = 4096) {
    const uint32_t count = ArrayHeader(max_items);
    out.clear();
    for (uint32_t i = 0; i < count && ok(); ++i) Read(out.emplace_back());
    --depth_;
  }
  template <class T>
  void Read(std::map<std::string, T>& out) {
    const uint32_t count = MapHeader();
    out.clear();
    for (uint32_t i = 0; i < count && ok(); ++i) {
      std::string key;
      Read(key);
      const auto [at, fresh] = out.try_emplace(std::move(key));
      if (!fresh) Fail("a key is given twice");
      Read(at->second);
    }
    --depth_;
  }
  template <class T>
  requires std::is_class_v<T>
  void Read(T& out) {
    const uint32_t count = MapHeader();
    uint64_t seen_low = 0;  // keys 0..63 that were there
    for (uint32_t i = 0; i < count && ok(); ++i) {
      uint64_t key = 0;
      Read(key);
      if (!ok()) break;
      if (key < 64 && ((seen_low >> key) & 1) != 0) return Fail("a key is given twice");
      if (key < 64) seen_low |= uint64_t{1} << key;
      FieldMatch match{*this, key};
      Describe(match, out);
      if (!match.found) Unknown(key);
    }
    --depth_;
  }

 private:
  struct FieldMatch {
    MsgpackReader& reader;
    uint64_t key;
    bool found = false;
    template <class T>
    void operator()(uint32_t field_key, const char*, T& field, const Field& options = {}) {
      if (found || field_key != key) return;
      found = true;
      if constexpr (requires { reader.Read(field, options.max_items); }) {
        reader.Read(field, options.max_items);
      } else {
        reader.Read(field);
      }
    }
  };
  void Unknown(uint64_t key);
  void Skip();
  uint32_t ArrayHeader(uint32_t max_items);
  uint32_t MapHeader();
  uint32_t TextHeader();
  std::string_view Take(size_t bytes);
  uint8_t Byte();
  uint64_t BigEndian(int bytes);
  void Enter();
  void Fail(std::string what);

  std::string_view in_;
  size_t at_ = 0;
  int depth_ = 0;
  std::string error_;
};

template <class T>
std::string ToMsgpack(const T& value) {
  std::string out;
  MsgpackWriter(out).Write(value);
  return out;
}

// DataLoss with the byte offset and what is wrong.
template <class T>
Result<T> FromMsgpack(std::string_view bytes) {
  MsgpackReader reader(bytes);
  T value{};
  reader.Read(value);
  WEIR_RETURN_IF_ERROR(reader.Finish());
  return value;
}

}  // namespace weir::codec
