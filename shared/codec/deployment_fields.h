// SPDX-License-Identifier: Apache-2.0
// Internal to deployment_file.cc: the blocks of the source documents' production_deployment.yaml.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "shared/codec/json.h"
#include "shared/domain/resource.h"

namespace weir::codec {

struct Deployment {
  std::string name;
  std::string model;
  std::string candidate;
  std::string flag;
  std::string hash_key;
  std::string hash_seed;
  domain::Labels nodes;
  Json phases;
  Json experiments;
  Json monitoring;
  Json rollback;
  Json emergency_contacts;
};
template <class V>
void Describe(V& v, Deployment& f) {
  v(2, "name", f.name);
  v(4, "model", f.model);
  v(6, "candidate", f.candidate);
  v(8, "flag", f.flag);
  v(10, "hash_key", f.hash_key, Aliases("hashKey"));
  v(12, "hash_seed", f.hash_seed, Aliases("hashSeed"));
  v(14, "nodes", f.nodes);
  v(16, "phases", f.phases, Required());
  v(18, "experiments", f.experiments);
  v(20, "monitoring", f.monitoring);
  v(22, "rollback", f.rollback);
  v(24, "emergency_contacts", f.emergency_contacts);
}

struct Levels {
  Json warning;
  Json critical;
};
template <class V>
void Describe(V& v, Levels& f) {
  v(2, "warning", f.warning);
  v(4, "critical", f.critical);
}

struct Monitoring {
  std::map<std::string, Levels> alerts;
  std::vector<std::string> dashboards;
};
template <class V>
void Describe(V& v, Monitoring& f) {
  v(2, "alerts", f.alerts);
  v(4, "dashboards", f.dashboards);
}

struct Contact {
  std::string team;
  bool oncall = false;
};
template <class V>
void Describe(V& v, Contact& f) {
  v(2, "team", f.team, Required());
  v(4, "oncall", f.oncall);
}

struct Group {
  std::string name;  // of a list's item
  uint64_t weight = 1;
  Json configuration;
};
template <class V>
void Describe(V& v, Group& f) {
  v(2, "name", f.name);
  v(4, "weight", f.weight);
  v(6, "configuration", f.configuration);
}

struct ExperimentBlock {
  bool enabled = true;
  std::string hash_key;
  std::string hash_seed;
  std::string description;
  Json groups;
  std::vector<std::string> success_metrics;
  std::string duration;
  uint64_t minimum_sample_size = 0;
};
template <class V>
void Describe(V& v, ExperimentBlock& f) {
  v(2, "enabled", f.enabled);
  v(4, "hash_key", f.hash_key, Aliases("hashKey"));
  v(6, "hash_seed", f.hash_seed, {.aliases = {"hashSeed", "seed"}});
  v(8, "description", f.description);
  v(10, "groups", f.groups, Required());
  v(12, "success_metrics", f.success_metrics);
  v(14, "duration", f.duration);
  v(16, "minimum_sample_size", f.minimum_sample_size);
}

}  // namespace weir::codec
