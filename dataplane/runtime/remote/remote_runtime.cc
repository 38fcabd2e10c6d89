// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/remote/remote_runtime.h"

#include <fmt/format.h>

#include <utility>

#include "dataplane/runtime/remote/checker.h"
#include "dataplane/runtime/remote/desk.h"
#include "dataplane/runtime/remote/service.h"

namespace weir::node::runtime {
namespace {

using remote::Checker;
using remote::Desk;
using remote::Protocol;
using remote::Service;

class RemoteVersion final : public Version {
 public:
  RemoteVersion(std::shared_ptr<Service> service, std::weak_ptr<Checker> checker,
                std::stop_token stop, const Clock& clock)
      : service_(std::move(service)),
        checker_(std::move(checker)),
        stop_(std::move(stop)),
        clock_(clock),
        desks_(service_->options.workers) {}

  void Start(const Request& request, int64_t deadline_ns, std::stop_token stop,
             Sink& sink) override {
    if (request.worker == nullptr || request.worker_index >= desks_.size()) {
      return sink.OnEnd(Internal(fmt::format("worker {} calls no services", request.worker_index)),
                        {});
    }
    std::shared_ptr<Desk>& own = desks_[request.worker_index];
    if (own == nullptr) own = std::make_shared<Desk>(service_, *request.worker, clock_);
    // What is answered at once may let go of this version.
    const std::shared_ptr<Desk> desk = own;
    desk->Start(request, deadline_ns, std::move(stop), sink);
  }

  Status WarmUp() override {
    const std::shared_ptr<Checker> checker = checker_.lock();
    if (checker == nullptr) return Internal("its runtime is gone");
    return checker->WarmUp(service_, stop_);
  }
  Status Health() const override { return service_->Health(); }
  std::vector<Upstream> Upstreams() const override { return service_->Upstreams(); }
  const std::vector<domain::TensorSpec>& outputs() const override { return outputs_; }

 private:
  const std::shared_ptr<Service> service_;
  const std::weak_ptr<Checker> checker_;  // lives as long as the runtimes
  const std::stop_token stop_;            // of the warm-up
  const Clock& clock_;
  std::vector<std::shared_ptr<Desk>> desks_;  // each is its worker's; null until its first call
  const std::vector<domain::TensorSpec> outputs_;  // unknown
};

class RemoteRuntime final : public Runtime {
 public:
  RemoteRuntime(Protocol protocol, RemoteOptions options, std::shared_ptr<Checker> checker,
                const Clock& clock)
      : protocol_(protocol), options_(options), checker_(std::move(checker)), clock_(clock) {}

  const char* name() const override { return protocol_ == Protocol::kOip ? "oip" : "predict"; }
  bool NeedsFile() const override { return false; }

  Result<std::shared_ptr<Version>> Load(const VersionSource& source) override {
    WEIR_ASSIGN_OR_RETURN(auto service, Service::Make(protocol_, source, options_));
    return std::shared_ptr<Version>(
        std::make_shared<RemoteVersion>(std::move(service), checker_, source.stop, clock_));
  }

 private:
  const Protocol protocol_;
  const RemoteOptions options_;
  const std::shared_ptr<Checker> checker_;
  const Clock& clock_;
};

}  // namespace

std::vector<std::shared_ptr<Runtime>> MakeRemoteRuntimes(RemoteOptions options,
                                                         const Clock& clock) {
  const auto checker = std::make_shared<Checker>(options.check_interval_ms);
  return {std::make_shared<RemoteRuntime>(Protocol::kOip, options, checker, clock),
          std::make_shared<RemoteRuntime>(Protocol::kPredict, options, checker, clock)};
}

}  // namespace weir::node::runtime
