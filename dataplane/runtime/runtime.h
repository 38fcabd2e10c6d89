// SPDX-License-Identifier: Apache-2.0
// The seam between serving and the libraries that compute. A Runtime loads versions, a Version
// answers requests through a Sink: OnHead, any number of OnChunk, OnEnd. A single answer is one
// chunk; a batched one too, with more rows; a streaming one has many. OnHead is the commit point:
// before it a request may still fail over, after it errors go in band.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/runtime/tensor.h"
#include "shared/base/status.h"
#include "shared/domain/resource.h"

namespace weir::node::runtime {

struct Request {
  std::span<const Tensor> inputs;
};

struct Usage {
  uint64_t tokens = 0;
};

// Called on the worker that called Start: inside Start by inline runtimes, later by others.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void OnHead() = 0;
  virtual void OnChunk(std::span<const TensorView> outputs) = 0;
  // Exactly once, last. A failure before OnHead is the version's error.
  virtual void OnEnd(Status status, const Usage& usage) = 0;
};

// One loaded version. Start may be called by several workers at once; everything else of a loaded
// version is constant. The last owner unloads it by letting go.
class Version {
 public:
  virtual ~Version() = default;

  // `request` and `sink` belong to the caller and live until OnEnd. Gives up with an error when
  // `deadline_ns` (monotonic) has passed or `stop` is requested.
  virtual void Start(const Request& request, int64_t deadline_ns, std::stop_token stop,
                     Sink& sink) = 0;
  // Start answers before it returns, and rows of several requests may come as one input: the
  // outputs' first dimension is then the rows.
  virtual bool TakesBatches() const { return false; }
  // One inference on an input of the version's own making, so that the library is proven to
  // predict and its lazy set-up is done. The loader's thread, before the version serves.
  virtual Status WarmUp() = 0;
  // What answers hold; -1 in a shape is any size.
  virtual const std::vector<domain::TensorSpec>& outputs() const = 0;
};

struct VersionSource {
  std::string_view model;
  std::string_view version;
  std::string_view bytes;  // the model file; valid during Load only
};

class Runtime {
 public:
  virtual ~Runtime() = default;
  virtual const char* name() const = 0;  // what `runtime:` of a version says
  // The loader's thread. InvalidArgument says why the bytes are no model.
  virtual Result<std::shared_ptr<Version>> Load(const VersionSource& source) = 0;
};

}  // namespace weir::node::runtime
