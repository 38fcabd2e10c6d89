// SPDX-License-Identifier: Apache-2.0
// Internal: one worker's connections to a service, and its calls. Everything on that worker's
// thread, but that the last owner may let go anywhere.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "dataplane/breaker/window.h"
#include "dataplane/runtime/remote/answer.h"
#include "dataplane/runtime/remote/service.h"
#include "shared/base/clock.h"
#include "shared/base/executor.h"
#include "shared/http/upstream.h"

namespace weir::node::runtime::remote {

// Calls that are under way when it goes end without a word.
class Desk : public std::enable_shared_from_this<Desk> {
 public:
  Desk(std::shared_ptr<Service> service, Executor& worker, const Clock& clock);

  // As Version::Start.
  void Start(const Request& request, int64_t deadline_ns, std::stop_token stop, Sink& sink);

 private:
  class Call;

  struct Choice {
    size_t place = 0;
    bool is_probe = false;  // EndProbe of the service follows
  };
  // What one place answered to this worker, since it was last ejected.
  struct Answers {
    uint32_t ejections = 0;
    breaker::Window window;
  };

  // The place to ask next: of those not tried that have room, the healthy one with the fewest of
  // this worker's calls; if none is healthy, the one whose time aside ends first. Absent: no place
  // is left.
  std::optional<Choice> Choose(const std::vector<bool>& tried);
  // How a call that was no probe was answered.
  void Note(size_t place, breaker::Outcome outcome, uint32_t key_hash, int64_t now_ns);
  size_t Busy(size_t place) const;
  Result<http::Upstream*> UpstreamTo(size_t place);

  const std::shared_ptr<Service> service_;
  Executor& worker_;
  const Clock& clock_;
  std::vector<std::shared_ptr<http::Upstream>> upstreams_;  // by place; null until it is called
  std::vector<Answers> answers_;                            // by place
  size_t turn_ = 0;                                         // where Choose begins
  AnswerReader reader_;
};

}  // namespace weir::node::runtime::remote
