// SPDX-License-Identifier: Apache-2.0
// The people of an installation: what they change, drawn from the run's generator. Each call runs
// on the control plane's core thread; what is refused is refused as for anybody.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/sim/control_process.h"
#include "tests/sim/timeline.h"

namespace weir::sim {

control::catalog::Change Put(domain::Kind kind, const std::string& name, domain::Spec spec);

class Operator {
 public:
  explicit Operator(Timeline& timeline) : timeline_(timeline), random_(timeline.random()) {}

  // What the installation starts with.
  void Found(ControlProcess& control, control::Engine& engine);
  // Any change.
  void Act(ControlProcess& control, control::Engine& engine);
  // Lifts what emergencies are in force.
  void CalmDown(ControlProcess& control, control::Engine& engine);

 private:
  using Changes = std::vector<control::catalog::Change>;
  void Commit(ControlProcess& control, control::Engine& engine, Changes changes,
              const std::string& what);
  control::catalog::Change Flag(const std::string& name);
  control::catalog::Change Model(control::Engine& engine);
  control::catalog::Change Rollout();
  control::catalog::Change Emergency(bool is_calm);
  void Order(ControlProcess& control, control::Engine& engine);

  Timeline& timeline_;
  Random& random_;
  uint64_t asked_ = 0;
  uint64_t rollouts_ = 0;
};

}  // namespace weir::sim
