// SPDX-License-Identifier: Apache-2.0
// Where one worker counts the requests of single tenants (header x-tenant-id), beside the series of
// their models. Anybody can make up tenants, so a worker counts only kMaxTenants at a time: one of
// which nothing was heard for kForgetMs makes way, further ones are not counted by tenant. On that
// worker's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/routing/recorder.h"

namespace weir::node::routing {

class Tenants {
 public:
  static constexpr size_t kMaxTenants = 64;
  static constexpr size_t kMaxSeries = 64;  // of one tenant
  static constexpr size_t kMaxName = 64;    // bytes of [A-Za-z0-9._-]
  static constexpr int64_t kForgetMs = 600'000;

  // `recorders` outlives the tenants.
  explicit Tenants(Recorders& recorders) : recorders_(recorders) {}

  // Null: no name of a tenant, or one too many. The recorder lasts until the next Prune. `now_ms`
  // is monotonic.
  Recorder* Find(std::string_view tenant, std::string_view model, const std::string& version,
                 const char* arm, int64_t now_ms);
  void Prune(int64_t now_ms);
  size_t size() const { return tenants_.size(); }

 private:
  struct Series {
    std::string model;
    std::string version;
    std::string arm;
    std::shared_ptr<Recorder> recorder;
  };
  struct Tenant {
    int64_t heard_ms = 0;
    std::vector<Series> series;  // few
  };

  Recorders& recorders_;
  std::map<std::string, Tenant, std::less<>> tenants_;
};

}  // namespace weir::node::routing
