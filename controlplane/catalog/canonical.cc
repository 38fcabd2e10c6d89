// SPDX-License-Identifier: Apache-2.0
#include "controlplane/catalog/canonical.h"

#include "shared/codec/domain_fields.h"
#include "shared/codec/resource.h"

namespace weir::control::catalog {
namespace {

using codec::Json;

template <class T>
concept Described = requires(codec::JsonWriter& writer, T& value) {
  codec::Describe(writer, value);
};

// Visits a type's fields and carries over those that the tree names. Types were checked before.
class Canonical {
 public:
  explicit Canonical(const Json& in) : in_(in) {}

  template <class T>
  void operator()(uint32_t, const char* name, T& field, const codec::Field& options = {}) {
    for (const char* spelling :
         {name, options.aliases[0], options.aliases[1], options.aliases[2]}) {
      if (spelling != nullptr && in_.contains(spelling)) out_[name] = Of(in_.at(spelling), field);
    }
  }

  // `type` only says which.
  template <class T>
  static Json Of(const Json& in, T&) {
    if (in.is_null()) return in;
    if constexpr (Described<T>) {
      T value{};
      Canonical fields(in);
      codec::Describe(fields, value);
      return fields.out_;
    } else {
      T value{};
      codec::Errors ignored;
      codec::JsonReader::Read(in, "", value, ignored);
      return codec::JsonWriter::Write(value);
    }
  }
  template <class T>
  static Json Of(const Json& in, std::optional<T>&) {
    T value{};
    return Of(in, value);
  }
  template <class T>
  static Json Of(const Json& in, std::map<std::string, T>&) {
    Json out = Json::object();
    T value{};
    for (const auto& [key, item] : in.items()) out[key] = Of(item, value);
    return out;
  }

 private:
  const Json& in_;
  Json out_ = Json::object();
};

}  // namespace

Json CanonicalSpec(domain::Kind kind, const Json& spec, codec::Errors& errors) {
  const size_t before = errors.size();
  domain::Spec typed = codec::SpecFromJson(kind, spec, errors);
  if (errors.size() != before) return Json::object();
  return std::visit([&](auto& type) { return Canonical::Of(spec, type); }, typed);
}

}  // namespace weir::control::catalog
