// SPDX-License-Identifier: Apache-2.0
// The settings of a program from one field description (codec/fields.h). A field `cfg_listen` is
//   --cfg-listen VALUE (or =VALUE) > WEIR_CONTROL_CFG_LISTEN > `cfg_listen:` of --config FILE
//   (YAML)
// > what the struct holds when Load is called. Fields are text, bool, numbers, domain::DurationMs
// ("30s"), a list of text (comma-separated, flag repeatable) or a map of text, which is given as
// `--label k=v` (repeatable, the field's name without its plural s), `a=1,b=2` in the environment,
// and a mapping in the file. A list or map of a higher place replaces that of a lower one. A secret
// can also be read from a file: --enroll-token-file, …_ENROLL_TOKEN_FILE, `enroll_token_file:`.
// Unknown flags and keys are errors; unknown variables are not, because Kubernetes makes some of
// its own (WEIR_CONTROL_PORT of a service weir-control).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "shared/base/status.h"
#include "shared/codec/fields.h"
#include "shared/codec/json.h"
#include "shared/domain/units.h"

namespace weir::settings {

struct Help {
  const char* name;        // of the field: "cfg_listen"
  const char* value;       // what stands for the value in the usage: "HOST:PORT"
  const char* text;        // one line
  bool is_secret = false;  // also …_file; its default is never shown
};

struct Program {
  const char* name;        // "weir-control"
  const char* env_prefix;  // "WEIR_CONTROL"
  const char* summary;     // one line
  std::vector<Help> help;  // of every field, in the order of the usage
  std::vector<const char*> examples;
};

// What to do after Load. --help, --version and --check have printed to stdout already.
struct Outcome {
  bool run = true;    // false: exit with exit_code
  int exit_code = 0;  // 0 after --help, --version and --check
};

namespace internal {

using Json = codec::Json;

// One field, without its type.
struct Setting {
  enum class Shape { kValue, kSwitch, kList, kMap };
  std::string name;
  Shape shape = Shape::kValue;
  std::string default_text;
  // Sets the field; a Status says what is wrong with the value, without naming the field.
  std::function<Status(const Json&)> set;
  // Text as flags and variables give it → what `set` takes.
  std::function<Result<Json>(const std::string&)> parse;
};

Result<Json> ParseInteger(const std::string& text);
Result<Json> ParseNumber(const std::string& text);
Result<Json> ParseSwitch(const std::string& text);
Result<Json> ParseList(const std::string& text);
Result<Json> ParseMap(const std::string& text);

// The visitor that takes the description apart.
class Collector {
 public:
  template <class T>
  void operator()(uint32_t, const char* name, T& field, const codec::Field& = {}) {
    Setting setting;
    setting.name = name;
    setting.set = [&field](const Json& value) {
      codec::Errors errors;
      T read{};
      codec::JsonReader::Read(value, "", read, errors);
      if (!errors.empty()) return codec::ToStatus(errors);
      field = std::move(read);
      return OkStatus();
    };
    if constexpr (std::is_same_v<T, bool>) {
      setting.shape = Setting::Shape::kSwitch;
      setting.parse = ParseSwitch;
    } else if constexpr (std::is_integral_v<T>) {
      setting.parse = ParseInteger;
    } else if constexpr (std::is_floating_point_v<T>) {
      setting.parse = ParseNumber;
    } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      setting.shape = Setting::Shape::kList;
      setting.parse = ParseList;
    } else if constexpr (std::is_same_v<T, std::map<std::string, std::string>>) {
      setting.shape = Setting::Shape::kMap;
      setting.parse = ParseMap;
    } else {
      static_assert(std::is_same_v<T, std::string> || std::is_same_v<T, domain::DurationMs>);
      setting.parse = [](const std::string& text) -> Result<Json> { return Json(text); };
    }
    const Json now = codec::JsonWriter::Write(field);
    setting.default_text = now.is_string() ? now.get<std::string>() : now.dump();
    if (now.is_structured() && now.empty()) setting.default_text.clear();
    settings.push_back(std::move(setting));
  }
  std::vector<Setting> settings;
};

Result<Outcome> Load(const std::vector<Setting>& settings, int argc, char** argv,
                     const Program& program, const std::function<Status()>& validate);

}  // namespace internal

// Fills `out`, which holds the defaults. An error says where the wrong value stands
// ("control.yaml:3: listen: …", "WEIR_CONTROL_LISTEN: …", "--listen: …"); the caller prints it and
// exits with 2, and `out` is not to be used. `validate` looks at the whole afterwards; the field of
// its Status, if it is one of ours, is replaced by the place where that value came from. Reads the
// process's environment: before there are other threads.
template <class T>
Result<Outcome> Load(T& out, int argc, char** argv, const Program& program,
                     const std::function<Status(const T&)>& validate = nullptr) {
  internal::Collector collector;
  Describe(collector, out);
  return internal::Load(collector.settings, argc, argv, program,
                        [&] { return validate ? validate(out) : OkStatus(); });
}

}  // namespace weir::settings
