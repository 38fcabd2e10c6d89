// SPDX-License-Identifier: Apache-2.0
// One attempt to tell a sink. Blocks for at most the sink's time-out; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controlplane/notify/notice.h"
#include "shared/domain/resource.h"

namespace weir::control::notify {

struct Sent {
  enum class Result { kDelivered, kRetry, kFailed };
  Result result = Result::kRetry;
  std::string detail;  // "status 404: no such hook"; names no more of the address than its host
};

// What the control plane says of itself.
struct Surroundings {
  std::vector<std::string> commands{};  // files and folders that sinks of format exec may run
  std::string address{};                // "http://127.0.0.1:7080"; "" while it has none
};

// By the sink's format:
//   json, slack   POST. 2xx is delivered; 408, 429, 5xx and no answer are worth another attempt;
//                 anything else is final. Headers: X-Weir-Event (type), X-Weir-Delivery (the
//                 notice's id: one that came already can be dropped), and with a secret
//                 X-Weir-Timestamp (seconds since the Unix epoch) and X-Weir-Signature,
//                 sha256=<hex HMAC-SHA256 over "TIMESTAMP.BODY">.
//   alertmanager, pagerduty   the same with the bodies of formats.h, one after the other.
//   log           a line in this program's log.
//   exec          the command, with the body of json as its input and its head in WEIR_ALERT_TYPE,
//                 _SEVERITY, _SUMMARY, _DELIVERY, _STATUS, _POLICY, _TEAM, and of one alert _ID,
//                 _SLO, _MODEL, _VERSION and _RUNBOOK_URL. Exit code 0 is delivered, anything else
//                 is worth another attempt.
// The secret's file is read at every attempt; line breaks at its end are no part of it.
Sent Send(const domain::SinkSpec& sink, const Notice& notice, int64_t now_wall_ms,
          const Surroundings& surroundings = {});

}  // namespace weir::control::notify
