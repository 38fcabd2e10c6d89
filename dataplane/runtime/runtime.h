// SPDX-License-Identifier: Apache-2.0
// The seam between serving and the libraries that compute. A Runtime loads versions, a Version
// answers requests through a Sink: OnHead, any number of OnChunk, OnEnd. A single answer is one
// chunk; a batched one too, with more rows; a streaming one has many. OnHead is the commit point:
// before it a request may still fail over, after it errors go in band.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/breaker/breaker.h"
#include "dataplane/runtime/tensor.h"
#include "shared/base/executor.h"
#include "shared/base/status.h"
#include "shared/domain/snapshot.h"

namespace weir::node::runtime {

struct Request {
  std::span<const Tensor> inputs{};
  // What services need, beside the tensors or instead of them.
  std::string_view body{};                 // as the client sent it
  std::span<const std::string> outputs{};  // wanted ones; empty: all
  bool is_predict = false;                 // the body is of /predict/<model>, no tensors
  Executor* worker = nullptr;              // whose thread this is
  size_t worker_index = 0;                 // of it, from 0
  std::string_view request_id{};           // OIP's id
  std::string_view key{};  // that was bucketed, passed on as x-user-id if it was one
  uint32_t key_hash = 0;   // whose request it is
  std::string_view traceparent{};
  std::string_view flags{};  // "a=on,b=off", of the model's flags; "" for none
};

// An answer that is JSON already. Views are valid while the call that hands it over lasts.
struct JsonAnswer {
  std::string_view outputs;           // OIP: the array as text; "" of /predict
  std::string_view parameters;        // OIP: the object as text; "" if absent
  std::string_view body;              // of /predict, passed on as it is
  std::optional<double> first_value;  // the first number among the outputs, for drift
  uint64_t tokens = 0;                // made for it, where the answer says so
  // From the service's start to the first token, where the answer says so; finite, >= 0.
  std::optional<double> first_token_ms{};
};

struct Usage {
  uint64_t tokens = 0;
  int64_t first_token_ns = 0;  // monotonic, when it was there; 0: the answer came in one piece
  bool is_late = false;        // gave up because time had run out: 504
  bool unreached = false;      // of a service: no connection could be made
};

// Called on the worker that called Start: inside Start by inline runtimes, later by others.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void OnHead() = 0;
  virtual void OnChunk(std::span<const TensorView> outputs) = 0;
  // Instead of OnChunk, once, by versions that are services.
  virtual void OnJson(const JsonAnswer& /*answer*/) {}
  // Exactly once, last. A failure before OnHead is the version's error, but for InvalidArgument (a
  // service says that the request is wrong, in what nobody could check: the client's 400) and
  // ResourceExhausted (a service sheds, or too many calls wait for it: 429).
  virtual void OnEnd(Status status, const Usage& usage) = 0;
};

// One address of a version that is a service.
struct Upstream {
  std::string url;
  breaker::State state = breaker::State::kClosed;  // open: left out, for it answered badly
};

// One loaded version. Start may be called by several workers at once; everything else of a loaded
// version is constant. The last owner unloads it by letting go.
class Version {
 public:
  virtual ~Version() = default;

  // `request` and `sink` belong to the caller and live until OnEnd, and so does the version: what
  // is under way when it is let go never ends. Gives up with an error when `deadline_ns`
  // (monotonic) has passed or `stop` is requested, which the worker's thread alone does: OnEnd may
  // come while it does.
  virtual void Start(const Request& request, int64_t deadline_ns, std::stop_token stop,
                     Sink& sink) = 0;
  // Start answers before it returns, and rows of several requests may come as one input: the
  // outputs' first dimension is then the rows.
  virtual bool TakesBatches() const { return false; }
  // One inference on an input of the version's own making, so that the library is proven to
  // predict and its lazy set-up is done. The loader's thread, before the version serves.
  // Unavailable: may do better later.
  virtual Status WarmUp() = 0;
  // Whether it can answer at present; any thread, cheap. A version that says no is FAILED with that
  // reason until it says yes again.
  virtual Status Health() const { return OkStatus(); }
  // Of a service; any thread.
  virtual std::vector<Upstream> Upstreams() const { return {}; }
  // What answers hold; -1 in a shape is any size.
  virtual const std::vector<domain::TensorSpec>& outputs() const = 0;
};

struct VersionSource {
  std::string_view model;
  std::string_view version;
  std::string_view bytes;  // the model file, "" of a service; valid during Load only
  const domain::VersionEntry* entry = nullptr;  // valid during Load only
  bool declares_inputs = false;  // the model does: requests fit before a version runs
  std::stop_token stop{};        // once requested, WarmUp need not wait for anything any more
};

class Runtime {
 public:
  virtual ~Runtime() = default;
  virtual const char* name() const = 0;  // what `runtime:` of a version says
  virtual bool NeedsFile() const { return true; }
  // The loader's thread. InvalidArgument says why the bytes are no model, or the entry no service.
  virtual Result<std::shared_ptr<Version>> Load(const VersionSource& source) = 0;
};

}  // namespace weir::node::runtime
