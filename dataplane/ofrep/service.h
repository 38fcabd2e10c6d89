// SPDX-License-Identifier: Apache-2.0
// One worker's OFREP 0.3 endpoints:
//
//   POST /ofrep/v1/evaluate/flags/{key}   one flag
//   POST /ofrep/v1/evaluate/flags         all flags, with an ETag and where to hear of changes
//   GET  /ofrep/v1/stream                 says when to ask again (streams.h)
//
// Off is off for the caller: a rollout flag always answers true or false. Everything on the
// worker's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/flags/desk.h"
#include "dataplane/ofrep/access.h"
#include "dataplane/ofrep/options.h"
#include "dataplane/ofrep/request.h"
#include "dataplane/ofrep/streams.h"
#include "shared/base/clock.h"
#include "shared/decision/ruleset.h"
#include "shared/http/server.h"

namespace weir::node::ofrep {

class Service {
 public:
  // `clock`, `desk` and `budget` outlive this.
  Service(const OfrepOptions& options, const Clock& clock, flags::Desk& desk, StreamBudget& budget,
          Streams::Later later);

  static bool Serves(std::string_view path) { return path.starts_with("/ofrep/"); }

  // Asks for tokens with the scope too. Right after construction; `guard` outlives this.
  void AlsoAsk(access::TokenGuard& guard) { access_.AlsoAsk(guard); }
  // Shows a token, or none is asked for: also for what else tells what flags answer.
  std::optional<access::Refusal> Check(const http::Request& request) const {
    return access_.Check(request);
  }
  void SetRules(std::shared_ptr<const decision::Ruleset> rules);
  // Tells the streams' clients of them, once whoever they then ask decides by them.
  void AnnounceRules(std::shared_ptr<const decision::Ruleset> rules) {
    streams_.SetRules(std::move(rules));
  }
  // The answer; absent when the request has become a stream, and is answered.
  std::optional<http::Response> Handle(const std::shared_ptr<http::Exchange>& exchange);
  // Ends the streams, and opens no more.
  void Drain() { streams_.Drain(); }

 private:
  http::Response EvaluateOne(const http::Request& request, std::string_view encoded_key);
  http::Response EvaluateAll(const http::Request& request);
  std::optional<http::Response> Stream(const std::shared_ptr<http::Exchange>& exchange);
  // OPTIONS, and everything but `method`; absent for what may go on.
  std::optional<http::Response> CheckMethod(const http::Request& request,
                                            std::string_view method) const;
  bool HasSnapshot() const { return rules_ != nullptr && rules_->HasSnapshot(); }
  bool IsEmergency() const { return rules_ != nullptr && rules_->IsEmergency(); }
  void AppendFlags(const EvaluationRequest& request, std::string* out);
  void AppendStreams(const http::Request& request, std::string* out) const;
  decision::FlagInputs Inputs(const EvaluationRequest& request);

  const Clock& clock_;
  flags::Desk& desk_;
  Access access_;
  Streams streams_;
  RequestReader reader_;
  std::shared_ptr<const decision::Ruleset> rules_;
  std::vector<const decision::Flag*> sorted_;  // rules_' flags by name; empty until asked for
  size_t bulk_size_ = 0;                       // of the last answer for all, in bytes
  uint64_t random_;
};

}  // namespace weir::node::ofrep
