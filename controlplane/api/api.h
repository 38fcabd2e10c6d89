// SPDX-License-Identifier: Apache-2.0
// The admin API of the control plane: JSON over HTTP. Api owns the HTTP server and its threads. A
// request is parsed on an HTTP worker, answered by one function on the core thread, where
// everything in Dependencies lives, and written by the worker again.
//
// Lifecycle: construct → Start → OnCommitted for each commit (from the catalog's listener) and Tick
// about every 200 ms → BeginDrain → Drain → Stop. Who calls shows a bearer token (access.h) if
// tokens are required, and the token's name is then the actor of a change; else bind it to loopback
// (IsLoopback), and the actor is the header X-Weir-Actor, "api" without one. GET needs the role
// viewer, everything else operator, but for what is marked.
//
// clang-format off
// Answers, where SURFACES leaves them open (every error is application/problem+json {type, title,
// status, detail, code, field?}; unknown keys and unknown query parameters are errors):
//   GET    /v1/flags?l=k=v,k=v   {items: [resource]}; also models, rollouts, experiments, emergency
//                                (always one, named default), observability (at most that one)
//   GET    /v1/flags/NAME        resource, ETag: "REVISION"; once nodes have decided, status.stats:
//                                {since, total, by_outcome}, since the flag last changed, and of a
//                                rollout flag {enabled, actual_percentage, configured_percentage};
//                                and status.last_evaluated_at, whatever changed since
//   PUT    /v1/flags/NAME?reason=    resource (JSON) → resource, 201 when created
//   PATCH  /v1/flags/NAME?reason=    JSON merge patch of {metadata, spec} → resource
//   DELETE /v1/flags/NAME?reason=&force=   → commit answer. All three take If-Match: REVISION
//                                (0: shall not exist); PUT and PATCH answer `X-Weir-Version`, too
//   POST   /v1/apply             {resources, dry_run?, replace?, prune?: {k: v}, reason?, source?}
//                                or a text of resources, with ?source= &dry_run= &replace= &prune=k=v
//                                &reason=; → commit answer + {dry_run, warnings}
//   commit answer                {revision, version, changes: [{kind, name, action, diff, kept}]};
//                                nodes that have applied `version` have the change
//   POST   /v1/validate          {content, file?} → {valid, errors: [{file, line, path, message}],
//                                warnings: [the same]}
//   GET    /v1/history?kind=&name=&limit=&before=
//                                {items: [{revision, at, actor, reason, evidence?,
//                                changes: [{kind, name, action, before, after}]}]}, newest first
//   POST   /v1/revert            {revision, reason?} → commit answer
//   POST   /v1/undo              {kind, name, to_revision?, reason?} → commit answer
//   POST   /v1/rollouts/NAME/VERB    {reason?, full?, force?} → {revision, version, resource}
//   POST   /v1/sinks/NAME/test   {} → 202 {id}; GET /v1/sinks/NAME has status: {waiting, delivered,
//                                failed, dropped, last?: {id, type, at, attempts, result: delivered |
//                                retry | failed, detail}}
//   GET    /v1/policies/NAME     status: {state: ok | warning | violated | no_data | disabled, reason?,
//                                dry_run, slos: [{name, model, version, state, severity, value,
//                                comparison, threshold, samples, since?, text}], executor: {state:
//                                ready | open, reason?, since?, executions, max_executions},
//                                violations, remediations, dry_run_actions, suppressed: {cooldown,
//                                budget, loop, breaker, outranked, frozen, disabled}, last: [{at,
//                                action, target, slo, result: done | dry_run | suppressed | failed,
//                                reason, revision?}]}, the last 20; a spell of the same is one
//   POST   /v1/policies/NAME/reset       {} → resource; closes the executor's breaker
//   POST   /v1/policies/NAME/backtest    (viewer) {since: "24h"} or {from, to?} → {from, to, step_ms,
//                                slos: [{name, model, violations, first_at?, violated_ms, worst?}],
//                                actions: [{at, action, target, slo, value, result, reason}]}; 429
//                                with Retry-After while another is under way
//   GET    /v1/alerts?state=&severity=&policy=&limit=
//                                {items: [{id, state: firing | acknowledged | silenced | resolved,
//                                severity: info | warning | high | critical, policy, slo, model,
//                                version, summary, value, threshold, started_at, told,
//                                acknowledged_at?, acknowledged_by?, reason?, resolved_at?,
//                                silenced_by?, runbook_url?}]}; those that are open, the worst first,
//                                unless state is one of these, or all: then also the last that ended
//   POST   /v1/alerts/ID/ack     {reason?} → the alert; of one that somebody looks after already, who
//   GET    /v1/snapshot          {epoch, version, digest, emergency, entries: [{kind, name, entry}]}
//   GET    /v1/nodes[/ID]        publish::ToJson
//   GET    /v1/status            {head, version, epoch, build, nodes: {total, live, applied,
//                                states: {ready: 3}, behind: [id]}, rollouts: [{name, subject, state,
//                                phase, phase_name, percentage, waiting_for?, last_verdict?}],
//                                emergency: {kill_switch, rollback_to_baseline, freeze, since?, by?},
//                                problems: [{severity, what, since, evidence, remedy}]}
//   GET    /v1/telemetry?subject=&from=&to=&step=
//                                times in RFC 3339 or ms; default: the last hour in steps of 10s
//   GET    /v1/events            SSE from now on; Last-Event-ID (or ?since=) resumes, 0: from the
//                                oldest kept; `reset` comes first when some are lost.
//                                With ?follow=false: {items: [{id, type, at, data}], complete}
//   POST   /v1/explain           {key, model?, flag?, context?} → shared/explain/explain.h;
//                                with at (a time) and perhaps node: what it was then, past.h;
//                                {key, flag, count: 1..1000000, context?} → {flag, keys, outcomes:
//                                {outcome: n}, percentage} over the keys KEY1 … KEYcount
//   GET    /v1/bootstrap         {epoch, server_key, fingerprint, channels: {cfg, session, telemetry},
//                                heartbeat_ms, next?: {server_key, fingerprint, channels}}
//   POST   /v1/enroll            {node, public_key, token?} → {node}; 403 when refused
//   POST   /v1/nodes/ID/revoke   {reason?} → {node, revoked: true}; its key is let in no more, and its
//                                connections end
//   GET    /v1/keys              {server_key, fingerprint, nodes: {current: [id], next: [id]}, next?:
//                                {server_key, fingerprint, channels}}; next while a rotation goes on
//   POST   /v1/keys/rotate       {reason?} → as GET; a second key, on ports of its own
//   POST   /v1/keys/finish       {force?, reason?} → as GET; the first key ends. 409 while live nodes
//                                use it, unless forced
//   POST   /v1/tokens            (admin) {expires?: "1h"} → {token, expires_at}; lets one node enrol,
//                                once. With a name: {name, role?, scopes?, expires?, description?,
//                                reason?} → {name, token, role, scopes, expires_at?, revision,
//                                version}: a bearer token, shown this once
//   DELETE /v1/tokens/NAME?reason=   (admin) → commit answer. GET shows tokens as other resources,
//                                with a prefix of the hash
//   PUT    /v1/blobs/SHA256      raw bytes → {sha256, bytes}, 201 when new; GET gives the bytes, to
//                                viewers and nodes (Authorization: Weir-Node ID.PROOF)
//   POST   /v1/backup            {reason?} → 202 {id, state: running | ready | failed, done_bytes,
//                                total_bytes, bytes?, manifest?, error?}; GET /v1/backup/ID the same;
//                                GET /v1/backup/ID/data?offset=&bytes= the file, in pieces of at
//                                most 4 MiB, empty at its end; DELETE /v1/backup/ID. It holds keys.
//   GET    /v1/backups           {dir, age?, every, keep, keep_for, next_at, last_error?, items:
//                                [{file, created_at, bytes, revision}]}, the automatic ones
//   POST   /v1/nodes/ID/drain    {reason?} → {node, cordoned, told, reason, by, since}: it is unready
//                                until POST /v1/nodes/ID/uncordon, over restarts of both
//   GET    /v1/telemetry/audit?node=   ingest::Deliveries::View
//   GET    /v1/audit/verify?expect_head=   backup::AuditVerdict
//   GET    /v1/upgrade           {build, schema: {version, known}, wire, epoch, disk: {dir,
//                                free_bytes, total_bytes, database_bytes}, backup: {age_ms, dir},
//                                nodes: [{id, state, program, can_cordon, pending_batches}],
//                                rollouts: [name]}
//   GET    /health /ready /metrics /health/canary[?rollout=NAME]; the first two, bootstrap and
//                                enroll are for everyone
//   401 without a good token, 403 {role} without the role, 429 after 20 wrong tokens a minute
// clang-format on
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/api/event_log.h"
#include "controlplane/api/past.h"
#include "controlplane/catalog/catalog.h"
#include "shared/base/clock.h"
#include "shared/base/executor.h"
#include "shared/base/status.h"
#include "shared/codec/json.h"
#include "shared/http/server.h"

namespace weir::control::store {
class BlobStore;
}
namespace weir::control::ingest {
class FlagTotals;
}
namespace weir::control::publish {
struct NodesView;
}
namespace weir::control::rollout {
class Driver;
}

namespace weir::control::api {

// Where nodes find the control plane, and by which key they know it.
struct Place {
  std::string server_key;   // z85
  std::string fingerprint;  // of the server key
  std::string cfg;          // "tcp://127.0.0.1:7081"
  std::string session;
  std::string telemetry;
};

// What /v1/bootstrap tells a node.
struct Bootstrap {
  uint64_t epoch = 0;
  Place current;
  std::optional<Place> next;  // while the server's key is rotated
  int64_t heartbeat_ms = 1000;
};

struct Enrolment {
  std::string node;
  std::string public_key;  // z85, 40 characters
  std::string token;       // "" if none was sent
};

struct TelemetryQuery {
  std::string subject;  // "model/fraud_detection"; flags have totals, no history
  int64_t from_ms = 0;  // wall time, since the Unix epoch
  int64_t to_ms = 0;
  int64_t step_ms = 0;
};

// What an operator does with the program itself. All but read_backup and what check_audit gives are
// called on core.
struct Operations {
  std::function<Result<codec::Json>(const std::string& actor, const std::string& reason)>
      begin_backup;
  std::function<Result<codec::Json>(const std::string& id)> show_backup;
  std::function<Status(const std::string& id)> drop_backup;
  std::function<Result<std::string>(const std::string& id, uint64_t offset, uint64_t bytes)>
      read_backup;  // any thread
  std::function<codec::Json()> list_backups;
  // "": all nodes.
  std::function<codec::Json(const std::string& node)> telemetry_audit;
  // What it gives takes its time, and may run on any thread.
  std::function<std::function<Result<codec::Json>()>(const std::string& expected_head)> check_audit;
  std::function<Result<codec::Json>(const std::string& node, bool cordoned,
                                    const std::string& actor, const std::string& reason)>
      cordon;
  // {by, reason, since} of a cordoned node; null of any other.
  std::function<codec::Json(const std::string& node)> cordon_of;
  std::function<Result<codec::Json>()> upgrade;
};

struct AlertQuery {
  std::string state;     // open | firing | acknowledged | silenced | resolved | all
  std::string severity;  // "": all
  std::string policy;
  uint64_t limit = 100;
};

// What is known of alerts; the answers of GET /v1/alerts (its items) and of an acknowledgement.
struct AlertActions {
  std::function<Result<codec::Json>(const AlertQuery&)> list;
  std::function<Result<codec::Json>(const std::string& id, const std::string& actor,
                                    const std::string& reason)>
      acknowledge;
};

// Something is wrong; shown by GET /v1/status with what the Api finds itself.
struct Problem {
  std::string severity;  // critical | high | warning | info
  std::string what;
  int64_t since_wall_ms = 0;
  std::string evidence;
  std::string remedy;  // the command that helps
};

// What operators do about keys; a missing function answers that it is not there.
struct KeyActions {
  // NotFound: a node that was never enrolled.
  std::function<Status(const std::string& node, const std::string& actor,
                       const std::string& reason)>
      revoke{};
  // The rest answer GET /v1/keys.
  std::function<Result<codec::Json>(const std::string& actor, const std::string& reason)> rotate{};
  std::function<Result<codec::Json>(const std::string& actor, const std::string& reason,
                                    bool force)>
      finish{};
  std::function<Result<codec::Json>()> status{};
};

// What policies say and are told; a missing function answers that it is not there.
struct PolicyActions {
  // Null when it is not known.
  std::function<codec::Json(const std::string& policy)> status{};
  std::function<Status(const std::string& policy, const std::string& actor)> reset{};
  // What it gives takes its time, and may run on any thread. Moments are wall ms.
  std::function<Result<std::function<codec::Json()>>(const std::string& policy, int64_t from_ms,
                                                     int64_t to_ms)>
      backtest{};
};

// Everything here outlives the Api and is used on the core thread only (core.Post and blobs
// excepted).
struct Dependencies {
  Executor& core;
  const Clock& clock;
  catalog::Catalog& catalog;  // loaded
  store::BlobStore& blobs;
  rollout::Driver& rollouts;
  EventLog& events;
  const ingest::FlagTotals& flag_totals;
  uint64_t epoch = 0;
  std::function<Bootstrap()> bootstrap;

  std::function<std::shared_ptr<const publish::NodesView>()> nodes;  // may give null at first
  // An error refuses the node (403), except Unavailable and ResourceExhausted. From elsewhere than
  // loopback it is called only with a token, which it must then check.
  std::function<Status(const Enrolment&)> enroll;
  // Before every request that may change something: what is due by then comes to stand first.
  std::function<void()> before_change = [] {};
  // A new one-time enrolment token, good for `lifetime_ms`: {token, expires_at}.
  std::function<Result<codec::Json>(int64_t lifetime_ms, const std::string& actor)> create_token;
  // Whether `proof` is transport::Prove of `text` by the key of that node, which is enrolled.
  std::function<bool(const std::string& node, const std::string& text, const std::string& proof)>
      is_node{};
  bool require_tokens = false;  // in any case; else as soon as there is an admin token
  bool open_metrics = false;    // /metrics without a token
  // The answer of GET /v1/telemetry.
  std::function<Result<codec::Json>(const TelemetryQuery&)> telemetry;
  // What was in force in a span of the past. NotFound: a node that nobody has heard of.
  std::function<Result<Past>(const PastQuery&)> past{};
  KeyActions keys{};
  // Optional: how a sink stands, for its status; and one that is told as a test, which gives the id
  // that status.last has once it was tried.
  std::function<codec::Json(const std::string& sink)> sink_status{};
  std::function<Result<std::string>(const std::string& sink)> test_sink{};
  PolicyActions policies{};
  // Optional: absent, their addresses are not there.
  std::optional<Operations> operations{};
  std::optional<AlertActions> alerts{};
  // Optional: more lines for /metrics, in Prometheus text, each ending with a newline.
  std::function<std::string()> metrics;
  // Optional: more problems for /v1/status (a resource file that was refused, …).
  std::function<std::vector<Problem>()> problems;
  // Optional: "" when the control plane can do its work, else what is missing, for /ready.
  std::function<std::string()> not_ready;
};

// "127.0.0.1:4711", "[::1]:80", "[::ffff:127.0.0.1]:80", "localhost:0" → true; ":80" → false.
bool IsLoopback(std::string_view address);

// The token whose secret an operator keeps in a file (--bootstrap-token-file).
inline constexpr char kBootstrapToken[] = "bootstrap";

inline constexpr size_t kMaxBody = 8 * 1024 * 1024;  // bytes; above: 413

class Api {
 public:
  explicit Api(Dependencies dependencies);
  ~Api();  // Stop()

  // Bodies may be as large as a blob; others than blobs are limited to kMaxBody. Of who may not ask
  // none is read.
  Status Start(http::ServerOptions options);
  std::string address() const;  // with the real port; between Start and Stop

  // See http::Server::ReloadCertificate; on the core thread.
  Status ReloadCertificate();
  // Of the HTTP server. Any thread; between Start and Stop.
  http::ServerCounters counters() const;

  // On the core thread, from the catalog's listener: notes the version nodes must have, writes the
  // event log.
  void OnCommitted(const catalog::Committed& committed);
  // On the core thread: writes what changed with the nodes into the event log, keeps event streams
  // alive.
  void Tick();

  // On the core thread: /ready answers 503, event streams end.
  void BeginDrain();
  // On another thread than core's: accepts nothing new, answers what is in flight, at most so long.
  void Drain(int64_t deadline_ms);
  // On the core thread or when it runs no more tasks. Idempotent.
  void Stop();

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace weir::control::api
