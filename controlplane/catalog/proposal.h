// SPDX-License-Identifier: Apache-2.0
// The current resources with a batch laid over them: the set as it would be. Refers to both; cheap
// beside the set, and thrown away when the batch is refused.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "shared/domain/resource.h"
#include "shared/domain/validate.h"

namespace weir::control::catalog {

using ResourceMap = std::map<domain::ResourceKey, domain::Resource>;

class Proposal {
 public:
  explicit Proposal(const ResourceMap& current) : current_(current) {}

  void Set(domain::Resource resource) {
    const domain::ResourceKey key{resource.kind, resource.name};
    changed_[key] = std::move(resource);
  }
  void Remove(const domain::ResourceKey& key) { changed_[key].reset(); }

  // As it stands; null if it does not exist.
  const domain::Resource* Before(const domain::ResourceKey& key) const {
    const auto at = current_.find(key);
    return at == current_.end() ? nullptr : &at->second;
  }
  // As it would be.
  const domain::Resource* Find(domain::Kind kind, const std::string& name) const {
    const domain::ResourceKey key{kind, name};
    const auto at = changed_.find(key);
    if (at != changed_.end()) return at->second ? &*at->second : nullptr;
    return Before(key);
  }
  // In no particular order.
  void ForEach(domain::Kind kind, const std::function<void(const domain::Resource&)>& visit) const {
    for (auto at = current_.lower_bound({kind, ""}); at != current_.end(); ++at) {
      if (at->first.kind != kind) break;
      if (!changed_.contains(at->first)) visit(at->second);
    }
    for (auto at = changed_.lower_bound({kind, ""}); at != changed_.end(); ++at) {
      if (at->first.kind != kind) break;
      if (at->second) visit(*at->second);
    }
  }
  domain::Lookup lookup() const {
    return [this](domain::Kind kind, const std::string& name) { return Find(kind, name); };
  }
  domain::ForEach for_each() const {
    return [this](domain::Kind kind, const auto& visit) { ForEach(kind, visit); };
  }
  const ResourceMap& current() const { return current_; }
  // Absent: removed.
  const std::map<domain::ResourceKey, std::optional<domain::Resource>>& changed() const {
    return changed_;
  }

 private:
  const ResourceMap& current_;
  std::map<domain::ResourceKey, std::optional<domain::Resource>> changed_;
};

}  // namespace weir::control::catalog
