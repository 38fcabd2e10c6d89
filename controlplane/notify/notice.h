// SPDX-License-Identifier: Apache-2.0
// What a sink is told: an event, how bad it is, and one sentence about it. Pure.
#pragma once

#include <cstdint>
#include <string>

#include "shared/codec/json.h"
#include "shared/domain/resource.h"

namespace weir::control::notify {

// An event of the event log.
struct Notice {
  std::string id;    // "1763683200-17"; the same at every attempt
  std::string type;  // "rollout"
  int64_t at_wall_ms = 0;
  codec::Json data;
};

// A field of its data as people read it, "" if there is none.
std::string Word(const codec::Json& data, const char* name);

// Whether any sink may want it (shared/domain/sink.h): not what somebody silenced or acknowledged
// already.
bool Notifies(const Notice& notice);

// `data.severity` if it is one, else by type: a rollout that is being taken back and an emergency
// are critical, what stopped or was refused is a warning.
std::string SeverityOf(const Notice& notice);

// "rollout fraud-1-2-0 is rolling_back (was progressing) at 0 %: error_rate: …".
std::string Summary(const Notice& notice);

// What it is about: "rollout/fraud-1-2-0", "policy/checkout", "node/n1", else its type.
std::string SubjectOf(const Notice& notice);
// Whether `older`, which waits, need not be told since `newer` is: it only repeats alerts that the
// newer tells of.
bool Supersedes(const Notice& newer, const Notice& older);

bool Wants(const domain::SinkSpec& sink, const Notice& notice);

// The body: {id, type, severity, at, summary, data}, or Slack's {text, blocks}. Of other formats:
// formats.h.
std::string Body(const std::string& format, const Notice& notice);

}  // namespace weir::control::notify
