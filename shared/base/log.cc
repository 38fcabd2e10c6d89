// SPDX-License-Identifier: Apache-2.0
#include "shared/base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>

#include "shared/base/log_level.h"
#include "shared/base/text.h"

namespace weir {
namespace {

struct Settings {
  std::mutex mutex;  // loggers are made lazily from any thread
  spdlog::level::level_enum level = spdlog::level::info;
  std::map<std::string, spdlog::level::level_enum> areas;
  std::optional<spdlog::level::level_enum> for_now;
  std::map<std::string, std::shared_ptr<spdlog::logger>> loggers;
  spdlog::sink_ptr sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
};

Settings& Get() {
  static Settings* settings = new Settings;  // never destroyed: threads may log while exiting
  return *settings;
}

spdlog::level::level_enum LevelOf(const Settings& settings, const std::string& area) {
  const auto own = settings.areas.find(area);
  if (!settings.for_now.has_value()) {
    return own == settings.areas.end() ? settings.level : own->second;
  }
  return own == settings.areas.end() ? *settings.for_now : std::min(*settings.for_now, own->second);
}

// The message on one line, whatever it quotes: control characters are escaped, so that nobody
// writes lines of their own into the log. For JSON it is a string's inside.
class OneLine : public spdlog::custom_flag_formatter {
 public:
  explicit OneLine(bool is_json) : is_json_(is_json) {}
  void format(const spdlog::details::log_msg& msg, const std::tm&,
              spdlog::memory_buf_t& out) override {
    for (const char c : msg.payload) {
      if (is_json_ && (c == '"' || c == '\\')) {
        out.push_back('\\');
        out.push_back(c);
      } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
        fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<int>(c));
      } else {
        out.push_back(c);
      }
    }
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<OneLine>(is_json_);
  }

 private:
  const bool is_json_;
};

Result<spdlog::level::level_enum> ParseLevel(const std::string& name) {
  for (const char* known : {"trace", "debug", "info", "warn", "error", "off"}) {
    if (name == known) return spdlog::level::from_str(name);
  }
  return InvalidArgument("log_level",
                         "\"" + name + "\" is not one of trace, debug, info, warn, error, off");
}

}  // namespace

Status InitLogging(const std::string& program, const std::string& levels,
                   const std::string& format) {
  Settings& settings = Get();
  const std::lock_guard lock(settings.mutex);
  for (const std::string& part : Split(levels, ',')) {
    const size_t equals = part.find('=');
    WEIR_ASSIGN_OR_RETURN(const auto level,
                          ParseLevel(equals == std::string::npos ? part : part.substr(equals + 1)));
    if (equals == std::string::npos) {
      settings.level = level;
    } else {
      settings.areas[part.substr(0, equals)] = level;
    }
  }
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  if (format == "json") {
    formatter->add_flag<OneLine>('*', true).set_pattern(
        R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","program":")" + program +
        R"(","area":"%n","message":"%*"})");
  } else if (format == "text") {
    formatter->add_flag<OneLine>('*', false)
        .set_pattern("%Y-%m-%d %H:%M:%S.%e %^%L%$ " + program + " %n: %*");
  } else {
    return InvalidArgument("log_format", "\"" + format + "\" is not one of text, json");
  }
  settings.sink->set_formatter(std::move(formatter));
  return OkStatus();
}

Status SetLogLevelForNow(const std::string& level) {
  std::optional<spdlog::level::level_enum> for_now;
  if (!level.empty()) {
    WEIR_ASSIGN_OR_RETURN(for_now, ParseLevel(level));
  }
  Settings& settings = Get();
  const std::lock_guard lock(settings.mutex);
  settings.for_now = for_now;
  for (const auto& [area, logger] : settings.loggers) logger->set_level(LevelOf(settings, area));
  return OkStatus();
}

spdlog::logger& Log(const char* area) {
  Settings& settings = Get();
  const std::lock_guard lock(settings.mutex);
  std::shared_ptr<spdlog::logger>& logger = settings.loggers[area];
  if (logger == nullptr) {
    logger = std::make_shared<spdlog::logger>(area, settings.sink);
    logger->set_level(LevelOf(settings, area));
    logger->flush_on(spdlog::level::info);
  }
  return *logger;
}

}  // namespace weir
