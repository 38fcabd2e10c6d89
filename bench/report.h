// SPDX-License-Identifier: Apache-2.0
// What bench/run prints: the machine, and figures beside their yardsticks. A yardstick is measured
// in the same run where one can be; otherwise it is the goal.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace weir::bench {

struct Figure {
  std::string name;
  double value = 0;
  std::string unit;
  std::string yardstick;
  double yardstick_value = 0;
  double goal = 0;              // of value / yardstick_value; 0: none
  bool more_is_better = false;  // the goal is a least ratio and not a greatest one

  double ratio() const { return yardstick_value == 0 ? 0 : value / yardstick_value; }
  bool missed() const;
};

struct Report {
  std::vector<Figure> figures;
  std::vector<std::string> notes;  // how a figure is to be read; one line each

  void Add(Figure figure) { figures.push_back(std::move(figure)); }
  void Note(std::string note) { notes.push_back(std::move(note)); }
};

// {cpu, cores, memory_gb, kernel, compiler, build}
nlohmann::json Machine();
// {machine, figures: [{name, value, unit, yardstick, yardstick_value, ratio, goal?, missed?}],
// notes}
nlohmann::json ToJson(const Report& report);
std::string ToTable(const Report& report);

// The q-quantile (0..1) of values, which it sorts; 0 of none.
double Quantile(std::vector<double>& values, double q);
inline double Median(std::vector<double> values) { return Quantile(values, 0.5); }

}  // namespace weir::bench
