// SPDX-License-Identifier: Apache-2.0
// GET /v1/events as server-sent events: every open stream gets every new event. Core thread; what
// is written goes to the stream's HTTP worker.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "controlplane/api/event_log.h"
#include "shared/base/clock.h"
#include "shared/codec/json.h"
#include "shared/http/server.h"

namespace weir::control::api {

class EventStreams {
 public:
  using PostToWorker = std::function<void(int worker, std::function<void()>)>;

  EventStreams(EventLog& log, const Clock& clock, PostToWorker post);
  ~EventStreams();

  // Answers the exchange: first what came after `since` ("" for nothing), then what comes.
  // `on_close` runs on the worker when the client goes.
  uint64_t Open(const std::shared_ptr<http::Exchange>& exchange, const std::string& since,
                std::function<void(uint64_t id)> on_close);
  void Close(uint64_t id) { streams_.erase(id); }
  void EndAll();
  // A comment every 10 s, so that nothing on the way takes a quiet stream for dead.
  void Tick();
  size_t size() const { return streams_.size(); }

 private:
  void Send(const std::shared_ptr<http::Exchange>& exchange, std::string chunk);

  EventLog& log_;
  const Clock& clock_;
  const PostToWorker post_;
  uint64_t listener_ = 0;  // of the log
  uint64_t last_id_ = 0;
  int64_t kept_alive_ms_ = 0;
  std::map<uint64_t, std::shared_ptr<http::Exchange>> streams_;
};

// {id, type, at, data}
codec::Json ToJson(const Event& event);

}  // namespace weir::control::api
