// SPDX-License-Identifier: Apache-2.0
// What an evaluator says of one thing it watches; alert::Desk makes alerts of it.
#pragma once

#include <cstdint>
#include <string>

namespace weir::control::alert {

struct Observation {
  // Who says it of what: together the alert's identity.
  std::string policy;
  std::string slo;
  std::string model;    // "" of no model
  std::string version;  // "" of all versions together
  bool is_firing = false;
  std::string severity;  // info | warning | high | critical
  std::string summary;   // one sentence with the numbers
  std::string runbook_url;
  double value = 0;  // in the metric's unit
  double threshold = 0;
  // Not said again for so long, it has ended; 0: kLastsMs (desk.h).
  int64_t lasts_ms = 0;
  // False: whoever says it tells sinks by itself; the alert is listed and can be acknowledged.
  bool tells = true;
};

}  // namespace weir::control::alert
