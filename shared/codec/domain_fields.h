// SPDX-License-Identifier: Apache-2.0
// The fields of the domain's types. Keys never change their meaning; see fields.h.
#pragma once

#include "shared/codec/fields.h"
#include "shared/domain/resource.h"
#include "shared/domain/snapshot.h"

namespace weir::codec {

template <class V>
void Describe(V& v, domain::FlagChange& f) {
  v(2, "enabled", f.enabled);
  v(4, "rollout_percentage", f.rollout_percentage, Aliases("percentage", "rolloutPercentage"));
  v(6, "default_variant", f.default_variant, Aliases("defaultVariant"));
}

template <class V>
void Describe(V& v, domain::ScheduledChange& f) {
  v(2, "at", f.at, Required());
  v(4, "set", f.set, Required());
}

template <class V>
void Describe(V& v, domain::FlagSpec& f) {
  v(2, "enabled", f.enabled);
  v(4, "rollout_percentage", f.rollout_percentage, Aliases("percentage", "rolloutPercentage"));
  v(6, "hash_seed", f.hash_seed, Aliases("hashSeed"));
  v(8, "strategy", f.strategy);
  v(10, "allowlist_only", f.allowlist_only);
  v(12, "allowlist", f.allowlist);
  v(14, "requires", f.prerequisites);
  v(16, "schedule", f.schedule);
  v(18, "variants", f.variants);
  v(20, "default_variant", f.default_variant, Aliases("defaultVariant"));
  v(22, "off_variant", f.off_variant, Aliases("offVariant"));
  v(24, "targeting", f.targeting);
  v(26, "malformed", f.malformed);
  v(1, "description", f.description);
  v(3, "owner", f.owner);
  v(5, "tags", f.tags);
  v(7, "expires", f.expires);
  v(9, "metadata", f.metadata);
}

template <class V>
void Describe(V& v, domain::Fault& f) {
  v(2, "error_rate", f.error_rate);
  v(4, "delay", f.delay);
  v(6, "expires", f.expires);
}

template <class V>
void Describe(V& v, domain::VersionSpec& f) {
  v(2, "runtime", f.runtime);
  v(4, "uri", f.uri);
  v(6, "blob", f.blob);
  v(8, "fault", f.fault);
  v(10, "urls", f.urls);
  v(26, "url", f.url);
  v(12, "remote_model", f.remote_model);
  v(14, "remote_version", f.remote_version);
  v(16, "timeout", f.timeout, OmitZero());
  v(18, "health", f.health);
  v(20, "max_connections", f.max_connections, OmitZero());
  v(22, "blocked", f.blocked);
  v(24, "unloaded", f.unloaded, OmitZero());
}

template <class V>
void Describe(V& v, domain::TensorSpec& f) {
  v(2, "name", f.name, Required());
  v(4, "datatype", f.datatype, Required());
  v(6, "shape", f.shape, Required());
}

template <class V>
void Describe(V& v, domain::ModelSpec& f) {
  v(2, "stable", f.stable);
  v(4, "versions", f.versions);
  v(6, "inputs", f.inputs);
  v(8, "pinned", f.pinned);
  v(10, "flags", f.flags);
}

template <class V>
void Describe(V& v, domain::Gate& f) {
  v(2, "type", f.type, Required());
  v(4, "metric", f.metric);
  v(6, "condition", f.condition);
  v(8, "min_requests", f.min_requests);
  v(10, "name", f.name);
  v(12, "approvers", f.approvers);
  v(14, "approvals", f.approvals, OmitZero());
  v(16, "command", f.command);
  v(18, "url", f.url);
  v(20, "timeout", f.timeout, OmitZero());
  v(22, "every", f.every, OmitZero());
  v(24, "duration", f.duration, OmitZero());
  v(26, "days", f.days);
  v(28, "from", f.from);
  v(30, "to", f.to);
  v(32, "time_zone", f.time_zone);
  v(34, "query", f.query);
  v(36, "on_no_data", f.on_no_data);
  v(38, "allow_author", f.allow_author);
}

template <class V>
void Describe(V& v, domain::TriggerSpec& f) {
  v(2, "name", f.name);
  v(4, "metric", f.metric, Required());
  v(6, "family", f.family);
  v(8, "comparison", f.comparison);
  v(10, "threshold", f.threshold);
  v(12, "window", f.window);
  v(14, "min_requests", f.min_requests, OmitZero());
  v(16, "for", f.for_ms, OmitZero());
  v(18, "severity", f.severity);
  v(20, "do", f.action, Aliases("action"));
  v(22, "raw", f.raw, OmitZero());
}

template <class V>
void Describe(V& v, domain::PhaseRollback& f) {
  v(2, "error_rate", f.error_rate, Aliases("errorRateThreshold"));
  v(4, "p99_latency_ms", f.p99_latency_ms, Aliases("p99LatencyThreshold"));
  v(6, "performance_degradation", f.performance_degradation);
}

template <class V>
void Describe(V& v, domain::GradualRollback& f) {
  v(2, "to", f.to, Required());
  v(4, "every", f.every);
}

template <class V>
void Describe(V& v, domain::WhenUnwatched& f) {
  v(2, "after", f.after);
  v(4, "do", f.action, Aliases("action"));
}

template <class V>
void Describe(V& v, domain::SinkSpec& f) {
  v(2, "url", f.url);
  v(4, "format", f.format);
  v(6, "events", f.events);
  v(8, "min_severity", f.min_severity);
  v(10, "secret_file", f.secret_file);
  v(12, "timeout", f.timeout);
  v(14, "enabled", f.enabled);
  v(16, "command", f.command);
  v(18, "team", f.team);
  v(20, "on_call", f.on_call, {.aliases = {"oncall"}, .omit_zero = true});
  v(22, "escalate_after", f.escalate_after, OmitZero());
  v(24, "repeat_every", f.repeat_every, OmitZero());
}

template <class V>
void Describe(V& v, domain::SloSpec& f) {
  v(2, "name", f.name);
  v(4, "metric", f.metric, Required());
  v(6, "comparison", f.comparison);
  v(8, "threshold", f.threshold);
  v(10, "warning", f.warning);
  v(12, "target", f.target);
  v(14, "window", f.window);
  v(16, "severity", f.severity);
  v(18, "model", f.model, Aliases("modelId", "model_id"));
  v(20, "version", f.version);
  v(22, "arm", f.arm);
  v(24, "tenant", f.tenant, Aliases("tenantId", "tenant_id"));
  v(26, "min_samples", f.min_samples, {.aliases = {"minSamples"}, .omit_zero = true});
  v(28, "for", f.for_ms, OmitZero());
  v(30, "horizon", f.horizon, OmitZero());
  v(32, "keep_firing_for", f.keep_firing_for);
}

template <class V>
void Describe(V& v, domain::RemediationSpec& f) {
  v(2, "action", f.action, {.aliases = {"type"}, .required = true});
  v(4, "target", f.target);
  v(6, "slos", f.slos);
  v(8, "min_severity", f.min_severity);
  v(10, "percentage", f.percentage);
  v(12, "step", f.step, Aliases("increment"));
  v(14, "factor", f.factor);
  v(16, "share", f.share);
  v(18, "caller_requests_per_second", f.caller_requests_per_second);
  v(20, "caller_concurrent", f.caller_concurrent);
  v(22, "version", f.version);
  v(24, "duration", f.duration, OmitZero());
  v(1, "reason", f.reason);
}

template <class V>
void Describe(V& v, domain::PolicySpec& f) {
  v(2, "enabled", f.enabled);
  v(4, "priority", f.priority);
  v(6, "dry_run", f.dry_run, Aliases("dryRun"));
  v(8, "selector", f.selector);
  v(10, "slos", f.slos);
  v(12, "remediations", f.remediations);
  v(14, "cooldown", f.cooldown);
  v(16, "max_executions", f.max_executions, Aliases("maxExecutions"));
  v(18, "budget_window", f.budget_window);
  v(1, "description", f.description);
  v(3, "runbook_url", f.runbook_url);
}

template <class V>
void Describe(V& v, domain::LimitAct& f) {
  v(2, "policy", f.policy);
  v(4, "action", f.action, Required());
  v(6, "version", f.version);
  v(8, "value", f.value);
  v(10, "caller_requests_per_second", f.caller_requests_per_second, OmitZero());
  v(12, "caller_concurrent", f.caller_concurrent, OmitZero());
  v(14, "since", f.since);
  v(16, "until", f.until);
  v(18, "node", f.node);
  v(1, "reason", f.reason);
}

template <class V>
void Describe(V& v, domain::LimitSpec& f) {
  v(2, "max_concurrent", f.max_concurrent);
  v(4, "max_queue", f.max_queue, OmitZero());
  v(6, "min_concurrent", f.min_concurrent);
  v(8, "most_concurrent", f.most_concurrent, OmitZero());
  v(10, "requests_per_second", f.requests_per_second, OmitZero());
  v(12, "caller_requests_per_second", f.caller_requests_per_second, OmitZero());
  v(14, "caller_concurrent", f.caller_concurrent, OmitZero());
  v(16, "target_delay", f.target_delay);
  v(18, "replicas", f.replicas);
  v(20, "acts", f.acts);
  v(1, "description", f.description);
}

template <class V>
void Describe(V& v, domain::SilenceSpec& f) {
  v(2, "matchers", f.matchers);
  v(4, "starts", f.starts);
  v(6, "until", f.until, Required());
  v(1, "comment", f.comment);
}

template <class V>
void Describe(V& v, domain::TokenSpec& f) {
  v(2, "hash", f.hash);
  v(4, "role", f.role);
  v(6, "scopes", f.scopes);
  v(8, "expires", f.expires);
  v(1, "description", f.description);
}

template <class V>
void Describe(V& v, domain::Phase& f) {
  v(2, "name", f.name, Required());
  v(4, "percentage", f.percentage,
    {.aliases = {"rollout_percentage", "user_percentage"}, .required = true});
  v(6, "duration", f.duration);
  v(8, "min_requests", f.min_requests);
  v(10, "gates", f.gates);
  v(12, "mode", f.mode);
  v(14, "nodes", f.nodes);
  v(16, "rollback", f.rollback, Aliases("rollback_threshold"));
  v(18, "flags", f.flags, Aliases("feature_flags"));
  v(20, "log_level", f.log_level, Aliases("monitoring_level"));
  v(22, "min_nodes", f.min_nodes, OmitZero());
  v(24, "max_node_share", f.max_node_share, OmitZero());
}

template <class V>
void Describe(V& v, domain::RollbackSpec& f) {
  v(2, "enabled", f.enabled);
  v(4, "error_rate", f.error_rate, Aliases("errorRateThreshold"));
  v(6, "p99_latency_ms", f.p99_latency_ms, Aliases("p99LatencyThreshold"));
  v(8, "evaluation_window", f.evaluation_window, Aliases("evaluationWindow"));
  v(10, "cooldown", f.cooldown, Aliases("cooldownPeriod"));
  v(12, "min_requests", f.min_requests);
  v(14, "performance_degradation", f.performance_degradation);
  v(16, "triggers", f.triggers);
  v(18, "gradual", f.gradual);
  v(20, "on_failure", f.on_failure);
  v(22, "keep_previous", f.keep_previous);
  v(24, "one_node", f.one_node);
}

template <class V>
void Describe(V& v, domain::RolloutSpec& f) {
  v(2, "model", f.model);
  v(4, "flag", f.flag);
  v(6, "candidate", f.candidate);
  v(8, "hash_key", f.hash_key, Aliases("hashKey"));
  v(10, "hash_seed", f.hash_seed, Aliases("hashSeed"));
  v(12, "strategy", f.strategy);
  v(14, "nodes", f.nodes);
  v(16, "phases", f.phases);
  v(18, "rollback", f.rollback);
  v(20, "start", f.start);
  v(22, "mode", f.mode);
  v(24, "fallback", f.fallback);
  v(26, "when_unwatched", f.when_unwatched);
  v(28, "attribution_window", f.attribution_window);
  v(30, "min_nodes", f.min_nodes, OmitZero());
  v(32, "max_node_share", f.max_node_share, OmitZero());
  v(1, "description", f.description);
}

template <class V>
void Describe(V& v, domain::VerdictRecord& f) {
  v(1, "trigger", f.trigger);
  v(3, "action", f.action);
  v(5, "evidence", f.evidence);
  v(7, "canary_rate", f.canary_rate);
  v(9, "stable_rate", f.stable_rate);
  v(11, "canary_requests", f.canary_requests);
  v(13, "canary_bad", f.canary_bad);
  v(15, "stable_requests", f.stable_requests);
  v(17, "stable_bad", f.stable_bad);
  v(19, "first_bad_at", f.first_bad_at);
  v(21, "detected_at", f.detected_at);
}

template <class V>
void Describe(V& v, domain::Approval& f) {
  v(1, "actor", f.actor);
  v(3, "phase", f.phase);
  v(5, "at", f.at);
  v(7, "spec", f.spec);
}

template <class V>
void Describe(V& v, domain::RolloutStatus& f) {
  v(2, "state", f.state);
  v(4, "phase", f.phase);
  v(6, "percentage", f.percentage);
  v(8, "since", f.since);
  v(1, "waiting_for", f.waiting_for);
  v(3, "previous_stable", f.previous_stable);
  v(5, "last_verdict", f.last_verdict);
  v(7, "approvals", f.approvals);
  v(9, "rollback_revision", f.rollback_revision);
  v(11, "completed_at", f.completed_at);
  v(13, "rollback_kind", f.rollback_kind);
  v(15, "rollback_by", f.rollback_by);
  v(17, "percentage_before", f.percentage_before, OmitZero());
  v(19, "rollback_step", f.rollback_step, OmitZero());
  v(21, "rollback_started_at", f.rollback_started_at);
  v(23, "promoted_at", f.promoted_at);
  v(25, "unloaded_previous", f.unloaded_previous, OmitZero());
  v(27, "entered", f.entered);
  v(29, "spec_by", f.spec_by);
  v(31, "started_by", f.started_by);
}

template <class V>
void Describe(V& v, domain::ExperimentGroup& f) {
  v(2, "name", f.name, Required());
  v(4, "weight", f.weight);
}

template <class V>
void Describe(V& v, domain::ExperimentSpec& f) {
  v(2, "hash_key", f.hash_key, Aliases("hashKey"));
  v(4, "hash_seed", f.hash_seed, {.aliases = {"hashSeed", "seed"}});
  v(6, "groups", f.groups);
  v(1, "description", f.description);
}

template <class V>
void Describe(V& v, domain::EmergencySpec& f) {
  v(2, "kill_switch", f.kill_switch);
  v(4, "rollback_to_baseline", f.rollback_to_baseline);
  v(6, "freeze", f.freeze);
}

template <class V>
void Describe(V& v, domain::ObservabilitySpec& f) {
  v(1, "log_feature_decisions", f.log_feature_decisions);
  v(3, "log_keys", f.log_keys);
  v(5, "export_metrics", f.export_metrics);
  v(7, "metric_prefix", f.metric_prefix);
}

template <class V>
void Describe(V& v, domain::VariantEntry& f) {
  v(2, "name", f.name);
  v(4, "value", f.value);
}

template <class V>
void Describe(V& v, domain::ScheduledEntry& f) {
  v(2, "at_wall_ms", f.at_wall_ms);
  v(4, "enabled", f.enabled);
  v(6, "threshold", f.threshold);
  v(8, "default_variant", f.default_variant);
}

template <class V>
void Describe(V& v, domain::FlagEntry& f) {
  v(2, "name", f.name);
  v(4, "enabled", f.enabled);
  v(6, "threshold", f.threshold);
  v(8, "seed", f.seed);
  v(10, "random", f.random);
  v(12, "allowlist_only", f.allowlist_only);
  v(14, "allowlist", f.allowlist);
  v(16, "parents", f.parents);
  v(18, "rolled_back", f.rolled_back);
  v(20, "variants", f.variants);
  v(22, "default_variant", f.default_variant);
  v(24, "off_variant", f.off_variant);
  v(26, "targeting", f.targeting);
  v(28, "malformed", f.malformed);
  v(30, "schedule", f.schedule);
  v(1, "metadata", f.metadata);
}

template <class V>
void Describe(V& v, domain::FaultEntry& f) {
  v(2, "error_rate", f.error_rate);
  v(4, "delay_ms", f.delay_ms);
  v(6, "expires_wall_ms", f.expires_wall_ms);
}

template <class V>
void Describe(V& v, domain::VersionEntry& f) {
  v(2, "version", f.version);
  v(4, "runtime", f.runtime);
  v(6, "sha256", f.sha256);
  v(8, "fault", f.fault);
  v(10, "urls", f.urls);
  v(12, "remote_model", f.remote_model);
  v(14, "remote_version", f.remote_version);
  v(16, "timeout_ms", f.timeout_ms);
  v(18, "health", f.health);
  v(20, "max_connections", f.max_connections, OmitZero());
  v(22, "blocked", f.blocked);
  v(24, "unloaded", f.unloaded, OmitZero());
}

template <class V>
void Describe(V& v, domain::ModelEntry& f) {
  v(2, "name", f.name);
  v(4, "stable", f.stable);
  v(6, "pinned", f.pinned);
  v(8, "versions", f.versions);
  v(10, "inputs", f.inputs);
  v(12, "flags", f.flags);
}

template <class V>
void Describe(V& v, domain::SplitEntry& f) {
  v(2, "rollout", f.rollout);
  v(4, "model", f.model);
  v(6, "flag", f.flag);
  v(8, "candidate", f.candidate);
  v(10, "threshold", f.threshold);
  v(12, "hash_key", f.hash_key);
  v(14, "seed", f.seed);
  v(16, "random", f.random);
  v(18, "nodes", f.nodes);
  v(20, "shadow", f.shadow);
  v(22, "fallback", f.fallback);
  v(24, "unwatched_after_ms", f.unwatched_after_ms);
  v(26, "flags", f.flags);
  v(1, "log_level", f.log_level);
  v(3, "since_wall_ms", f.since_wall_ms);
  v(5, "attribution_ms", f.attribution_ms);
}

template <class V>
void Describe(V& v, domain::ExperimentEntry& f) {
  v(2, "name", f.name);
  v(4, "hash_key", f.hash_key);
  v(6, "seed", f.seed);
  v(8, "groups", f.groups);
}

template <class V>
void Describe(V& v, domain::ObservabilityEntry& f) {
  v(2, "name", f.name);
  v(4, "settings", f.settings);
}

template <class V>
void Describe(V& v, domain::TokenEntry& f) {
  v(2, "name", f.name);
  v(4, "hash", f.hash);
  v(6, "scopes", f.scopes);
  v(8, "expires_wall_ms", f.expires_wall_ms);
}

template <class V>
void Describe(V& v, domain::LimitActEntry& f) {
  v(2, "action", f.action);
  v(4, "version", f.version);
  v(6, "value", f.value);
  v(8, "caller_requests_per_second", f.caller_requests_per_second);
  v(10, "caller_concurrent", f.caller_concurrent);
  v(12, "until_wall_ms", f.until_wall_ms);
  v(14, "node", f.node);
  v(1, "reason", f.reason);
}

template <class V>
void Describe(V& v, domain::LimitEntry& f) {
  v(2, "name", f.name);
  v(4, "max_concurrent", f.max_concurrent);
  v(6, "max_queue", f.max_queue);
  v(8, "min_concurrent", f.min_concurrent);
  v(10, "most_concurrent", f.most_concurrent);
  v(12, "requests_per_second", f.requests_per_second);
  v(14, "caller_requests_per_second", f.caller_requests_per_second);
  v(16, "caller_concurrent", f.caller_concurrent);
  v(18, "target_delay_ms", f.target_delay_ms);
  v(20, "acts", f.acts);
}

template <class V>
void Describe(V& v, domain::EmergencyOverlay& f) {
  v(2, "epoch", f.epoch);
  v(4, "version", f.version);
  v(6, "kill_switch", f.kill_switch);
  v(8, "baseline", f.baseline);
  v(10, "freeze", f.freeze);
}

}  // namespace weir::codec
