// SPDX-License-Identifier: Apache-2.0
// A control plane and nodes for one group of figures: the real programs on free loopback ports, in
// a temporary directory that goes with it. One thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "controlplane/cli/api_client.h"
#include "controlplane/cli/cluster.h"
#include "shared/base/status.h"
#include "shared/codec/json.h"

namespace weir::bench {

inline constexpr char kModel[] = "fraud_detection";
inline constexpr char kStable[] = "1.1.0";
inline constexpr char kCandidate[] = "1.1.1";  // the same file: a canary that is no worse

class Stage {
 public:
  static Result<std::unique_ptr<Stage>> Open(int nodes);
  ~Stage();
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  const std::string& dir() const { return dir_; }
  const control::cli::Cluster& cluster() const { return *cluster_; }
  control::cli::ApiClient& api() { return *api_; }
  std::vector<std::string> NodeAddresses() const;

  // kStable and kCandidate, and waits until both are READY on every node.
  Status PushModel();
  // kStable as a service at `url`, and waits likewise.
  Status PushService(const std::string& url);
  // The candidate for `percentage` of users, for as long as the benchmark runs.
  Status StartRollout(const std::string& name, double percentage);

 private:
  Stage() = default;
  Status PutModel(const codec::Json& versions);

  std::string dir_;
  std::unique_ptr<control::cli::Cluster> cluster_;
  std::unique_ptr<control::cli::ApiClient> api_;
};

// Requests of config/models, one Open Inference Protocol body each.
Result<std::vector<std::string>> RequestBodies();
// Of that version, from config/models.
Result<std::string> ModelFile();

}  // namespace weir::bench
