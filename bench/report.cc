// SPDX-License-Identifier: Apache-2.0
#include "bench/report.h"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "shared/base/build_info.h"
#include "shared/base/text.h"

namespace weir::bench {
namespace {

// The value behind "key: " of a file in /proc; "" if it is not there.
std::string ProcValue(const std::string& path, std::string_view key) {
  const Result<std::string> text = ReadFile(path);
  if (!text.ok()) return "";
  for (const std::string& line : Split(*text, '\n')) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || line.compare(0, key.size(), key) != 0) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

// Three significant digits, and whole numbers from a thousand up.
std::string Short(double value) {
  if (value == 0) return "0";
  const double size = std::abs(value);
  return size >= 100 ? fmt::format("{:.0f}", value)
                     : fmt::format("{:.{}f}", value,
                                   size >= 10  ? 1
                                   : size >= 1 ? 2
                                               : 3);
}

std::string Goal(const Figure& figure) {
  if (figure.goal == 0) return "";
  return fmt::format("{} {}{}", figure.more_is_better ? "≥" : "≤", Short(figure.goal),
                     figure.missed() ? "  MISSED" : "");
}

// Width on a terminal: bytes that continue a UTF-8 character take none.
size_t Width(const std::string& text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

std::string Rows(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string pad(widths[i] - Width(row[i]), ' ');
      const bool number = i == 1 || i == 4 || i == 5;
      line += (number ? pad + row[i] : row[i] + pad) + "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

}  // namespace

bool Figure::missed() const {
  if (goal == 0) return false;
  return more_is_better ? ratio() < goal : ratio() > goal;
}

nlohmann::json Machine() {
  utsname system{};
  ::uname(&system);
  const double pages = static_cast<double>(::sysconf(_SC_PHYS_PAGES));
  const double memory = pages * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1 << 30);
  return {{"cpu", ProcValue("/proc/cpuinfo", "model name")},
          {"cores", ::sysconf(_SC_NPROCESSORS_ONLN)},
          {"memory_gb", std::round(memory * 10) / 10},
          {"kernel", std::string(system.sysname) + " " + system.release},
          {"compiler", "GCC " __VERSION__},
          {"build", BuildType()}};
}

nlohmann::json ToJson(const Report& report) {
  nlohmann::json figures = nlohmann::json::array();
  for (const Figure& figure : report.figures) {
    nlohmann::json row = {{"name", figure.name},
                          {"value", figure.value},
                          {"unit", figure.unit},
                          {"yardstick", figure.yardstick},
                          {"yardstick_value", figure.yardstick_value},
                          {"ratio", figure.ratio()}};
    if (figure.goal != 0) {
      row["goal"] = figure.goal;
      row["missed"] = figure.missed();
    }
    figures.push_back(std::move(row));
  }
  return {{"machine", Machine()}, {"figures", std::move(figures)}, {"notes", report.notes}};
}

std::string ToTable(const Report& report) {
  const nlohmann::json machine = Machine();
  std::string out = fmt::format(
      "{}, {} cores, {} GB, {}, {}, {} build\n\n", machine["cpu"].get<std::string>(),
      machine["cores"].get<long>(), machine["memory_gb"].get<double>(),
      machine["kernel"].get<std::string>(), machine["compiler"].get<std::string>(), BuildType());
  std::vector<std::vector<std::string>> rows = {
      {"FIGURE", "VALUE", "UNIT", "YARDSTICK", "ITS VALUE", "RATIO", "GOAL"}};
  for (const Figure& figure : report.figures) {
    rows.push_back({figure.name, Short(figure.value), figure.unit, figure.yardstick,
                    figure.yardstick.empty() ? "" : Short(figure.yardstick_value),
                    figure.yardstick_value == 0 ? "" : fmt::format("{:.3f}", figure.ratio()),
                    Goal(figure)});
  }
  out += Rows(rows);
  if (!report.notes.empty()) out += "\n";
  for (const std::string& note : report.notes) out += note + "\n";
  return out;
}

double Quantile(std::vector<double>& values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double rank = std::ceil(q * static_cast<double>(values.size()));
  return values[static_cast<size_t>(std::max(rank, 1.0)) - 1];
}

}  // namespace weir::bench
