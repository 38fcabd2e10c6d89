// SPDX-License-Identifier: Apache-2.0
// Resources: what people and the control plane's own parts want, as in Kubernetes. Plain values;
// the rules they obey are in validate.h, their text and wire forms in codec. `spec` is what is
// wanted, `status` what the system worked out; only rollouts keep a status, every other one is
// computed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "shared/domain/policy.h"
#include "shared/domain/units.h"

namespace weir::domain {

inline constexpr char kApiVersion[] = "weir/v1";

enum class Kind : uint8_t {
  kFlag = 1,
  kModel = 2,
  kRollout = 3,
  kExperiment = 4,
  kEmergency = 5,
  kObservability = 6,
  kSink = 7,
  kToken = 8,
  kPolicy = 9,
  kLimit = 10,
  kSilence = 11
};
inline constexpr Kind kKinds[] = {Kind::kFlag,       Kind::kModel,     Kind::kRollout,
                                  Kind::kExperiment, Kind::kEmergency, Kind::kObservability,
                                  Kind::kSink,       Kind::kToken,   Kind::kPolicy,
                                  Kind::kLimit,      Kind::kSilence};
const char* KindName(Kind kind);    // "Flag"
const char* KindPlural(Kind kind);  // "flags"; "emergency" and "observability" have none
std::optional<Kind> ParseKind(std::string_view text);  // any case, singular or plural

using Labels = std::map<std::string, std::string>;
// `labels` carry everything that `selector` asks for.
bool Selects(const Labels& selector, const Labels& labels);

// From `at` on, what `set` gives replaces the flag's own. Nodes do it on time by themselves; the
// control plane writes it into the flag afterwards and drops the item.
struct FlagChange {
  std::optional<bool> enabled;
  std::optional<double> rollout_percentage;
  std::string default_variant;
  bool operator==(const FlagChange&) const = default;
};
struct ScheduledChange {
  TimeMs at;
  FlagChange set;
  bool operator==(const ScheduledChange&) const = default;
};

// A rollout flag, or with `variants` a variant flag in flagd's terms (DECISIONS). Dotted names of
// rollout flags are sub-features: "a.b" also needs "a" on for the key.
struct FlagSpec {
  std::optional<bool> enabled;
  std::optional<double> rollout_percentage;  // percent, at most three decimals
  std::string hash_seed;
  std::string strategy = "hash";  // hash | random
  bool allowlist_only = false;
  std::vector<std::string> allowlist;
  std::vector<std::string> prerequisites;  // in text: "requires"
  std::string description;
  std::string owner;
  std::vector<std::string> tags;
  TimeMs expires;  // afterwards the flag is stale: it works on, and `weir flag list --stale` has it
  std::vector<ScheduledChange> schedule;  // ascending

  std::map<std::string, JsonText> variants;  // values all of one type
  std::string default_variant;
  std::string off_variant;  // answered under kill switch, baseline and roll-back
  JsonText targeting;       // JsonLogic, references resolved
  JsonText metadata;        // an object of plain values, passed on to callers
  std::string malformed;    // why an imported definition cannot be evaluated; then nothing else is

  bool IsVariant() const { return !variants.empty() || !malformed.empty(); }
  bool operator==(const FlagSpec&) const = default;
};

// A rehearsed fault: the version answers with errors or late, until it expires by itself.
struct Fault {
  double error_rate = 0;  // ratio 0..1
  DurationMs delay;
  std::string expires;  // RFC 3339, or a duration that becomes one when it is committed
  bool operator==(const Fault&) const = default;
};

// A file that nodes load (xgboost), or a service that nodes call: `oip` speaks the Open Inference
// Protocol, `predict` takes whatever JSON is posted to /predict/<model>.
struct VersionSpec {
  std::string runtime{};  // xgboost | oip | predict
  std::string uri{};      // a file beside the applied file; becomes `blob` when it is applied
  std::string blob{};     // "sha256:<64 hex digits>"
  std::optional<Fault> fault{};
  // Of services only.
  std::string url{};                // "http://host:port[/prefix]"; one of url and urls
  std::vector<std::string> urls{};  // balanced
  std::string remote_model{};       // the model's name over there; default: the model's
  std::string remote_version{};     // asked for in the path, if the service has several
  DurationMs timeout{0};            // of one call; 0: the node's request time-out
  std::string health{};             // path that answers 200 while it can serve; default: by runtime
  uint64_t max_connections = 0;     // to one url, of one worker; 0: kDefaultMaxConnections
  // Set by Weir, and by people who know why.
  std::string blocked{};  // why nobody may be answered by it (an emergency rollback); "" if not
  bool unloaded = false;  // nodes let go of it, once what is in flight has ended
  bool operator==(const VersionSpec&) const = default;
};

// One input tensor that clients may send. -1 in the shape is any size.
struct TensorSpec {
  std::string name;
  std::string datatype;  // Open Inference Protocol: FP32, FP64, INT64, …
  std::vector<int64_t> shape;
  bool operator==(const TensorSpec&) const = default;
};

struct ModelSpec {
  std::string stable{};
  std::map<std::string, VersionSpec> versions{};
  std::vector<TensorSpec> inputs{};
  std::string pinned{};  // a version that answers everything, whatever a rollout says; "" for none
  // Decided for the key of each request: services get them in the header x-weir-flags, and rollouts
  // of these flags are judged on the requests.
  std::vector<std::string> flags{};
  bool operator==(const ModelSpec&) const = default;
};

inline constexpr uint64_t kDefaultMaxConnections = 64;

// What must hold before a phase may be left. Which fields a type takes: validate_rollout.cc.
struct Gate {
  // metrics_threshold | manual_approval | automated_test | time_based | prometheus
  std::string type{};
  std::string name{};       // in status and history; default: by type and subject
  std::string metric{};     // a metric of analysis/evaluation_window.h, else one of outcomes
  std::string condition{};  // "< 0.01"; of metrics_threshold and prometheus
  uint64_t min_requests = 0;
  // manual_approval
  std::vector<std::string> approvers{};  // who may; empty: everyone who may change rollouts
  uint64_t approvals = 0;                // how many different ones; 0: one
  // Whether who wrote the spec as it stands, or started the rollout, counts among them; default:
  // where one approval is enough.
  std::optional<bool> allow_author{};
  // automated_test: a command of the control plane's allow-list, or an address that answers 2xx
  std::vector<std::string> command{};  // a path and its arguments
  std::string url{};                   // also prometheus: "http://prometheus:9090"
  DurationMs timeout{};                // of one attempt; 0: 30s
  DurationMs every{};                  // from one attempt to the next; 0: 60s, of prometheus 15s
  // time_based: a length of the phase, a window of the week, or both
  DurationMs duration{};
  std::vector<std::string> days{};  // mon … sun; empty: every day
  std::string from{};               // "09:00"
  std::string to{};                 // "17:00"
  std::string time_zone{};          // "Europe/Berlin"; default UTC
  // prometheus
  std::string query{};
  std::string on_no_data{};  // wait (default) | pass | fail: the rollout pauses
  bool operator==(const Gate&) const = default;
};

// One way to find a canary bad: JUDGEMENT, "A threshold is the effect".
struct TriggerSpec {
  std::string name{};                  // default: from metric and threshold
  std::string metric{};                // as of a gate; also system_failure, prediction_drift
  std::string family{};                // absolute | relative | sequential; default: by metric
  std::string comparison{};            // > (default) | >= | < | <=
  double threshold = 0;                // in the metric's unit
  std::optional<DurationMs> window{};  // default: rollback.evaluation_window
  uint64_t min_requests = 0;
  DurationMs for_ms{};     // in text `for`: exceeded this long before it fires
  std::string severity{};  // critical (default): at once; warning: after three looks in a row
  std::string action{};    // in text `do`: rollback (default) | pause | alert
  bool raw = false;        // the bare threshold, no e-process
  bool operator==(const TriggerSpec&) const = default;
};

// What a phase sets otherwise than the rollout.
struct PhaseRollback {
  std::optional<double> error_rate{};  // ratio 0..1
  std::optional<double> p99_latency_ms;
  std::optional<double> performance_degradation{};  // p95 canary / p95 stable - 1
  bool operator==(const PhaseRollback&) const = default;
};

struct Phase {
  std::string name{};
  double percentage = 0;
  DurationMs duration{};
  uint64_t min_requests = 0;
  std::vector<Gate> gates{};  // all must pass before the next phase (or promotion)
  std::string mode{};         // canary | shadow; default: the rollout's
  Labels nodes{};             // besides the rollout's
  PhaseRollback rollback{};
  std::vector<std::string> flags{};  // on for the keys that this phase sends to the candidate
  std::string log_level{};    // of the phase's nodes: debug | info | warn | error; "" as it is
  uint64_t min_nodes = 0;     // 0: the rollout's
  double max_node_share = 0;  // ratio 0..1; 0: the rollout's
  bool operator==(const Phase&) const = default;
};

struct GradualRollback {
  std::vector<double>
      to{};  // percent, falling, last 0; those not below the current one are skipped
  DurationMs every{30'000};
  bool operator==(const GradualRollback&) const = default;
};

struct RollbackSpec {
  bool enabled = true;
  std::optional<double> error_rate{};    // ratio 0..1, absolute trigger
  std::optional<double> p99_latency_ms;  // absolute trigger
  DurationMs evaluation_window{300'000};
  DurationMs cooldown{600'000};  // before the same rollout may start again without force
  uint64_t min_requests = 0;     // of the canary, before the absolute triggers look
  std::optional<double> performance_degradation{};  // relative trigger
  std::vector<TriggerSpec> triggers{};              // besides the default ones
  std::optional<GradualRollback> gradual{};         // absent: 0 % at once
  std::string on_failure = "zero";  // zero | previous_phase (which then waits, paused)
  DurationMs keep_previous{
      86'400'000};  // how long the version that a promotion replaced stays loaded
  // What a trigger for errors, a breaker or a crash loop leads to where one node alone has them and
  // the others see the candidate well: rollback (default) | pause | alert
  std::string one_node{};
  bool operator==(const RollbackSpec&) const = default;
};

// What nodes do with canary keys while they hear nothing from the control plane.
struct WhenUnwatched {
  DurationMs after{300'000};
  std::string action = "stable";  // in text `do`: stable | hold
  bool operator==(const WhenUnwatched&) const = default;
};

struct RolloutSpec {
  std::string model{};  // exactly one of model, flag
  std::string flag{};
  std::string candidate{};  // a version of the model; absent for flags
  std::string hash_key = "user_id";
  std::string hash_seed{};  // default: the subject's name
  std::string strategy = "hash";
  Labels nodes{};  // only nodes that carry all of these labels
  std::vector<Phase> phases{};
  RollbackSpec rollback{};
  std::string start = "auto";   // auto | manual
  std::string mode = "canary";  // canary | shadow: stable answers, the candidate gets a copy
  std::string fallback{};       // stable: it answers what failed on the canary; "" for none
  WhenUnwatched when_unwatched{};
  DurationMs attribution_window{86'400'000};  // from an answer to an outcome that still counts
  // How many nodes a phase's requests must come from; 0: two where two or more take part.
  uint64_t min_nodes = 0;
  double max_node_share =
      0;  // of what counts for min_requests, of one node; ratio; 0: by min_nodes
  std::string description{};
  bool operator==(const RolloutSpec&) const = default;
};

// What a judge saw when it decided; kept with the rollout and in history.
struct VerdictRecord {
  std::string trigger{};
  std::string action{};
  std::string evidence{};  // one sentence with the numbers
  double canary_rate = 0;
  double stable_rate = 0;
  uint64_t canary_requests = 0;
  uint64_t canary_bad = 0;
  uint64_t stable_requests = 0;
  uint64_t stable_bad = 0;
  TimeMs first_bad_at{};  // when the control plane's clock says the first bad canary answer was
  TimeMs detected_at{};
  bool operator==(const VerdictRecord&) const = default;
};

struct Approval {
  std::string actor{};
  std::string phase{};
  TimeMs at{};
  std::string spec{};  // digest of the spec that was approved; another spec voids the approval
  bool operator==(const Approval&) const = default;
};

struct RolloutStatus {
  std::string state = "pending";  // SURFACES, `weir rollout show`
  uint64_t phase = 0;             // index into spec.phases
  double percentage = 0;          // in force now
  TimeMs since{};                 // of this state and phase
  std::string waiting_for{};
  std::string previous_stable{};  // what promotion replaced or rollback returned to
  std::optional<VerdictRecord> last_verdict{};
  std::vector<Approval> approvals{};
  uint64_t rollback_revision = 0;  // the commit that took it back
  TimeMs completed_at{};           // when the last live node had it
  // Of a rollback, under way or done.
  std::string rollback_kind{};   // automatic | manual | emergency | graceful
  std::string rollback_by{};     // who
  double percentage_before = 0;  // percent
  uint64_t rollback_step = 0;    // of rollback.gradual
  TimeMs rollback_started_at{};
  TimeMs promoted_at{};
  bool unloaded_previous = false;  // keep_previous has passed
  std::vector<TimeMs> entered{};   // each phase so far, in order
  std::string spec_by{};           // who wrote the spec as it stands
  std::string started_by{};        // who started it last
  bool operator==(const RolloutStatus&) const = default;
};

struct ExperimentGroup {
  std::string name;
  uint64_t weight = 1;
  bool operator==(const ExperimentGroup&) const = default;
};

struct ExperimentSpec {
  std::string hash_key = "user_id";
  std::string hash_seed;
  std::vector<ExperimentGroup> groups;  // the first is the control group
  std::string description;
  bool operator==(const ExperimentSpec&) const = default;
};

struct EmergencySpec {
  bool kill_switch = false;
  bool rollback_to_baseline = false;
  bool freeze = false;
  bool operator==(const EmergencySpec&) const = default;
};

// How decisions on flags are shown (the documents' `observability` block). One, named "default".
struct ObservabilitySpec {
  bool log_feature_decisions = false;
  bool log_keys = false;  // keys in full; else a salted short hash
  bool export_metrics = true;
  std::string metric_prefix;  // metrics of flags also appear under this name
  bool operator==(const ObservabilitySpec&) const = default;
};

// Where notifications go. The secret signs bodies and is read by the control plane, never stored.
struct SinkSpec {
  std::string url{};  // http:// or https://; of log and exec none
  std::string format = "json";  // json | slack | alertmanager | pagerduty | log | exec
  std::vector<std::string> events{};  // types as of `weir event list`; empty: all that notify
  std::string min_severity = "info";  // info | warning | high | critical
  std::string secret_file{};  // on the control plane's machine; "" does not sign. PagerDuty's key
  DurationMs timeout{5'000};
  bool enabled = true;
  std::vector<std::string> command{};  // exec: a program of the control plane's allow-list
  // Of alerts: whom it reaches, and when.
  std::string team{};
  bool on_call = false;         // told of critical ones whatever min_severity says
  DurationMs escalate_after{};  // only of alerts that nobody acknowledged for so long; 0: at once
  DurationMs repeat_every{};    // again while it fires and nobody acknowledged it; 0: never
  bool operator==(const SinkSpec&) const = default;
};

// What a bearer token opens. Only its hash is known; the token is shown once, when it is made.
struct TokenSpec {
  std::string hash{};                 // SHA-256 of the token, 64 hex digits
  std::string role{};                 // of the admin API: viewer | operator | admin; "": none
  std::vector<std::string> scopes{};  // of nodes: ofrep | inference | node-admin
  TimeMs expires{};                   // 0: never
  std::string description{};
  bool operator==(const TokenSpec&) const = default;
};

using Spec = std::variant<FlagSpec, ModelSpec, RolloutSpec, ExperimentSpec, EmergencySpec,
                          ObservabilitySpec, SinkSpec, TokenSpec, PolicySpec, LimitSpec, SilenceSpec>;

struct Resource {
  Kind kind = Kind::kFlag;
  std::string name;
  Labels labels;
  Labels annotations;
  uint64_t revision = 0;  // of the last commit that changed it
  TimeMs updated_at;
  std::string updated_by;
  Spec spec;
  std::optional<RolloutStatus> status;  // rollouts only

  // The spec as its type; aborts when the kind is another.
  template <class T>
  const T& As() const {
    return std::get<T>(spec);
  }
  template <class T>
  T& As() {
    return std::get<T>(spec);
  }
  bool operator==(const Resource&) const = default;
};

// The spec's alternative of a kind, default-made.
Spec EmptySpec(Kind kind);

struct ResourceKey {
  Kind kind;
  std::string name;
  auto operator<=>(const ResourceKey&) const = default;
};

}  // namespace weir::domain
