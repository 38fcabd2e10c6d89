// SPDX-License-Identifier: Apache-2.0
#include "shared/settings/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "shared/base/build_info.h"
#include "shared/base/text.h"
#include "shared/codec/yaml.h"

namespace weir::settings::internal {
namespace {

using Shape = Setting::Shape;

constexpr char kFile[] = "_file";

Status At(const std::string& place, const Status& status) {
  const std::string inner = status.field().empty() ? status.message() : status.ToString();
  return {status.code(), inner, place};
}

std::string Dashed(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

// "labels" → "label": one flag gives one item.
std::string FlagName(const Setting& setting) {
  const bool many = setting.shape == Shape::kMap || setting.shape == Shape::kList;
  const std::string& name = setting.name;
  return "--" + Dashed(many && name.ends_with('s') ? name.substr(0, name.size() - 1) : name);
}

std::string VariableName(const Program& program, const std::string& name) {
  std::string variable = std::string(program.env_prefix) + "_" + name;
  std::transform(variable.begin(), variable.end(), variable.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return variable;
}

const Help& HelpOf(const Program& program, const Setting& setting) {
  const auto found = std::find_if(program.help.begin(), program.help.end(),
                                  [&](const Help& help) { return setting.name == help.name; });
  WEIR_CHECK(found != program.help.end());
  return *found;
}

class Loader {
 public:
  Loader(const std::vector<Setting>& settings, const Program& program)
      : settings_(settings), program_(program) {}

  Result<Outcome> Run(int argc, char** argv, const std::function<Status()>& validate);

 private:
  struct Given {
    const Setting* setting;
    std::string flag;
    std::string text;
    bool from_file;
  };

  Status ReadFlags(int argc, char** argv);
  Status ReadFlag(const std::string& argument, int argc, char** argv, int& at);
  Status ReadConfig();
  Status ReadKey(const std::string& key, const Json& value, const std::string& place);
  Status ReadEnvironment();
  Status ApplyFlags();
  Status SetText(const Setting& setting, const std::string& text, const std::string& place);
  Status SetFromFile(const Setting& setting, const std::string& path, const std::string& place);
  Status Set(const Setting& setting, const Json& value, const std::string& place);
  // The setting of that name; with `from_file`, also of a secret's name_file.
  const Setting* Find(const std::string& name, bool& from_file) const;
  std::vector<std::string> KnownKeys() const;
  void PrintUsage() const;

  const std::vector<Setting>& settings_;
  const Program& program_;
  std::string config_;
  bool help_ = false, version_ = false, check_ = false;
  std::vector<Given> given_;
  std::map<std::string, std::string> places_;  // name → where its value came from
};

Result<Outcome> Loader::Run(int argc, char** argv, const std::function<Status()>& validate) {
  for (const Setting& setting : settings_) HelpOf(program_, setting);
  WEIR_RETURN_IF_ERROR(ReadFlags(argc, argv));
  if (help_) {
    PrintUsage();
    return Outcome{.run = false};
  }
  if (version_) {
    fmt::print("{} {}\n", program_.name, BuildVersion());
    return Outcome{.run = false};
  }
  if (config_.empty()) {
    const char* variable = std::getenv(VariableName(program_, "config").c_str());
    if (variable != nullptr) config_ = variable;
  }
  if (!config_.empty()) WEIR_RETURN_IF_ERROR(ReadConfig());
  WEIR_RETURN_IF_ERROR(ReadEnvironment());
  WEIR_RETURN_IF_ERROR(ApplyFlags());
  if (const Status status = validate(); !status.ok()) {
    const auto place = places_.find(status.field());
    if (place == places_.end()) return status;
    return Status(status.code(), status.message(), place->second);
  }
  if (check_) fmt::print("{}: the settings are valid\n", program_.name);
  return Outcome{.run = !check_};
}

const Setting* Loader::Find(const std::string& name, bool& from_file) const {
  for (const Setting& setting : settings_) {
    from_file = HelpOf(program_, setting).is_secret && name == setting.name + kFile;
    if (from_file || name == setting.name) return &setting;
  }
  return nullptr;
}

std::vector<std::string> Loader::KnownKeys() const {
  std::vector<std::string> known;
  for (const Setting& setting : settings_) {
    known.push_back(setting.name);
    if (HelpOf(program_, setting).is_secret) known.push_back(setting.name + kFile);
  }
  return known;
}

Status Loader::ReadFlags(int argc, char** argv) {
  for (int at = 1; at < argc; ++at) {
    const std::string argument = argv[at];
    if (argument == "--help" || argument == "-h") {
      help_ = true;
    } else if (argument == "--version") {
      version_ = true;
    } else if (argument == "--check") {
      check_ = true;
    } else {
      WEIR_RETURN_IF_ERROR(ReadFlag(argument, argc, argv, at));
    }
  }
  return OkStatus();
}

Status Loader::ReadFlag(const std::string& argument, int argc, char** argv, int& at) {
  if (!argument.starts_with("--"))
    return InvalidArgument("", fmt::format("\"{}\" is not a flag; see --help", argument));
  const size_t equals = argument.find('=');
  const std::string flag = argument.substr(0, equals);
  const auto value = [&]() -> std::optional<std::string> {
    if (equals != std::string::npos) return argument.substr(equals + 1);
    if (at + 1 < argc) return argv[++at];
    return std::nullopt;
  };
  const auto missing = [&] { return InvalidArgument(flag, "needs a value"); };
  if (flag == "--config") {
    const auto path = value();
    if (!path.has_value()) return missing();
    config_ = *path;
    return OkStatus();
  }
  std::vector<std::string> known = {"--config", "--help", "--version", "--check"};
  for (const Setting& setting : settings_) {
    const std::string names[] = {FlagName(setting), "--" + Dashed(setting.name),
                                 "--" + Dashed(setting.name + kFile)};
    const bool is_secret = HelpOf(program_, setting).is_secret;
    const bool from_file = is_secret && flag == names[2];
    known.push_back(names[0]);
    if (is_secret) known.push_back(names[2]);
    if (flag != names[0] && flag != names[1] && !from_file) continue;
    const bool bare = setting.shape == Shape::kSwitch && equals == std::string::npos;
    const std::optional<std::string> text = bare ? "true" : value();
    if (!text.has_value()) return missing();
    given_.push_back({&setting, flag, *text, from_file});
    return OkStatus();
  }
  return InvalidArgument(flag, "is not a known flag" + DidYouMean(flag, known) + "; see --help");
}

Status Loader::ReadConfig() {
  const Result<std::string> text = ReadFile(config_);
  if (!text.ok()) return At("--config", text.status());
  const auto documents = codec::ParseYaml(*text);
  if (!documents.ok()) return At(config_, documents.status());
  if (documents->empty()) return OkStatus();
  if (documents->size() > 1) return InvalidArgument(config_, "has more than one document");
  const codec::YamlDocument& document = documents->front();
  if (!document.value.is_object())
    return InvalidArgument(config_, codec::Show(document.value) + ", but a mapping is expected");
  for (const auto& [key, value] : document.value.items()) {
    const std::string place = fmt::format("{}:{}: {}", config_, document.LineOf(key), key);
    WEIR_RETURN_IF_ERROR(ReadKey(key, value, place));
  }
  return OkStatus();
}

Status Loader::ReadKey(const std::string& key, const Json& value, const std::string& place) {
  bool from_file = false;
  const Setting* setting = Find(key, from_file);
  if (setting == nullptr)
    return InvalidArgument(place, "is not a known key" + DidYouMean(key, KnownKeys()));
  if (!from_file) return Set(*setting, value, place);
  if (!value.is_string())
    return InvalidArgument(place, codec::Show(value) + ", but a path is expected");
  return SetFromFile(*setting, value.get<std::string>(), place);
}

Status Loader::ReadEnvironment() {
  for (const std::string& key : KnownKeys()) {
    const std::string variable = VariableName(program_, key);
    const char* text = std::getenv(variable.c_str());
    if (text == nullptr) continue;
    bool from_file = false;
    const Setting* setting = Find(key, from_file);
    WEIR_RETURN_IF_ERROR(from_file ? SetFromFile(*setting, text, variable)
                                   : SetText(*setting, text, variable));
  }
  return OkStatus();
}

Status Loader::ApplyFlags() {
  std::map<const Setting*, Json> gathered;  // lists and maps: all flags of one setting together
  for (const Given& given : given_) {
    if (given.from_file) {
      WEIR_RETURN_IF_ERROR(SetFromFile(*given.setting, given.text, given.flag));
      continue;
    }
    auto parsed = given.setting->parse(given.text);
    if (!parsed.ok()) return At(given.flag, parsed.status());
    if (parsed->is_array() || parsed->is_object()) {
      Json& all = gathered.try_emplace(given.setting, parsed->type()).first->second;
      if (parsed->is_object()) all.update(*parsed);
      if (parsed->is_array()) all.insert(all.end(), parsed->begin(), parsed->end());
      *parsed = all;
    }
    WEIR_RETURN_IF_ERROR(Set(*given.setting, *parsed, given.flag));
  }
  return OkStatus();
}

Status Loader::SetText(const Setting& setting, const std::string& text, const std::string& place) {
  const auto parsed = setting.parse(text);
  if (!parsed.ok()) return At(place, parsed.status());
  return Set(setting, *parsed, place);
}

Status Loader::SetFromFile(const Setting& setting, const std::string& path,
                           const std::string& place) {
  auto text = ReadFile(path);
  if (!text.ok()) return At(place, text.status());
  text->erase(text->find_last_not_of(" \t\r\n") + 1);
  return SetText(setting, *text, place);
}

Status Loader::Set(const Setting& setting, const Json& value, const std::string& place) {
  const Status status = setting.set(value);
  if (!status.ok() && HelpOf(program_, setting).is_secret)
    return InvalidArgument(place, "is not text (in quotes); the value is not shown");
  if (!status.ok()) return At(place, status);
  places_[setting.name] = place;
  return OkStatus();
}

void Loader::PrintUsage() const {
  fmt::print("{} - {}\n\nUsage: {} [--config FILE] [flags]\n\nFlags:\n", program_.name,
             program_.summary, program_.name);
  const auto print = [](const std::string& flag, const std::string& text) {
    fmt::print("  {:<32} {}\n", flag, text);
  };
  for (const Help& help : program_.help) {
    for (const Setting& setting : settings_) {
      if (setting.name != help.name) continue;
      const bool shown = !help.is_secret && setting.shape != Shape::kSwitch &&
                         !setting.default_text.empty() && setting.default_text != "\"\"";
      print(FlagName(setting) + (*help.value == '\0' ? "" : " ") + help.value,
            help.text + (shown ? " (default " + setting.default_text + ")" : ""));
      if (help.is_secret) print("--" + Dashed(setting.name + kFile) + " FILE", "… read from FILE");
    }
  }
  print("--config FILE", "settings as YAML, with the names of the flags and _ for -");
  print("--check", "check the settings and exit");
  print("--version", "print the version and exit");
  print("--help", "print this and exit");
  fmt::print("\nEach flag --a-b can also be the variable {}_A_B or the key a_b of the file;\n",
             program_.env_prefix);
  fmt::print("a flag wins over a variable, a variable over the file.\n");
  if (!program_.examples.empty()) fmt::print("\nExamples:\n");
  for (const char* example : program_.examples) fmt::print("  {}\n", example);
}

}  // namespace

Result<Json> ParseInteger(const std::string& text) {
  const char* last = text.data() + text.size();
  uint64_t natural = 0;
  if (const auto r = std::from_chars(text.data(), last, natural);
      r.ec == std::errc() && r.ptr == last)
    return Json(natural);
  int64_t integer = 0;
  if (const auto r = std::from_chars(text.data(), last, integer);
      r.ec == std::errc() && r.ptr == last)
    return Json(integer);
  return InvalidArgument("", fmt::format("\"{}\" is not a whole number", text));
}

Result<Json> ParseNumber(const std::string& text) {
  const char* last = text.data() + text.size();
  double number = 0;
  const auto r = std::from_chars(text.data(), last, number);
  if (r.ec == std::errc() && r.ptr == last) return Json(number);
  return InvalidArgument("", fmt::format("\"{}\" is not a number", text));
}

Result<Json> ParseSwitch(const std::string& text) {
  if (text == "true" || text == "1") return Json(true);
  if (text == "false" || text == "0") return Json(false);
  return InvalidArgument("", fmt::format("\"{}\" is neither true nor false", text));
}

Result<Json> ParseList(const std::string& text) { return Json(Split(text, ',')); }

Result<Json> ParseMap(const std::string& text) {
  Json map = Json::object();
  for (const std::string& item : Split(text, ',')) {
    const size_t equals = item.find('=');
    if (equals == std::string::npos || equals == 0)
      return InvalidArgument("", fmt::format("\"{}\" is not of the form key=value", item));
    map[item.substr(0, equals)] = item.substr(equals + 1);
  }
  return map;
}

Result<Outcome> Load(const std::vector<Setting>& settings, int argc, char** argv,
                     const Program& program, const std::function<Status()>& validate) {
  return Loader(settings, program).Run(argc, argv, validate);
}

}  // namespace weir::settings::internal
