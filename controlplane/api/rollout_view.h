// SPDX-License-Identifier: Apache-2.0
// A rollout's status as the API shows it: where it is, what it waits for, what both arms do and how
// far each trigger is from acting. Core thread.
#pragma once

#include "controlplane/analysis/judge.h"
#include "controlplane/api/resource_view.h"
#include "controlplane/rollout/driver.h"
#include "shared/codec/json.h"

namespace weir::control::api {

// {requests, bad, error_rate?, p50_latency_ms?, …}
codec::Json ArmView(const analysis::ArmStats& stats);

// RolloutStatus, and: phase_name, phase_age_ms, phase_requests, stats {stable, canary, worse,
// evidence_ratio}, share {desired, actual?} in percent, nodes {live, applied},
// quorum {min_nodes, max_node_share, nodes, counted_requests, by_node [{node, requests, bad,
// share}], alone?},
// phases [{name, percentage, mode, state, since?, age_ms?}], gates [{name, type, state, since,
// reason}], triggers [{name, metric, family, comparison, threshold, action, severity, canary?,
// stable?, exceeded, evidence_ratio, firing, needs?, trend?}], and where there is data drift {psi,
// ks, canary_values, stable_values}, outcomes {metric: {canary?, stable?, canary_n, stable_n}},
// shadow {compared, differed}. What is stored alone when the driver does not know the rollout.
codec::Json RolloutStatusView(const domain::Resource& rollout, const World& world);

}  // namespace weir::control::api
