// SPDX-License-Identifier: Apache-2.0
// weir token: enrolment tokens of nodes, and access tokens of people, programs and callers of
// nodes.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "controlplane/cli/session.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "shared/domain/token.h"

namespace weir::control::cli {
namespace {

using codec::Json;

struct CreateOptions {
  std::string name;
  std::string role;
  std::vector<std::string> scopes;
  std::string expires;
  std::string description;
  std::string reason;
  std::string out;
};

// The secret to stdout, or into a file that nobody else may read; everything else to stderr.
Status HandOver(const std::string& secret, const std::string& out) {
  if (out.empty()) {
    std::printf("%s\n", secret.c_str());
    return OkStatus();
  }
  WEIR_RETURN_IF_ERROR(WriteFileAtomic(out, secret + "\n", 0600));
  std::fprintf(stderr, "written to %s\n", out.c_str());
  return OkStatus();
}

void Create(Session& session, const CreateOptions& options) {
  Json body = Json::object();
  if (!options.expires.empty()) body["expires"] = options.expires;
  if (!options.name.empty()) {
    body["name"] = options.name;
    if (options.role.empty() && options.scopes.empty()) {
      return session.FailAs(kExitUsage,
                            "--role or --scope: an access token opens nothing without; an "
                            "enrolment token has no name");
    }
  }
  if (!options.role.empty()) body["role"] = options.role;
  if (!options.scopes.empty()) body["scopes"] = options.scopes;
  if (!options.description.empty()) body["description"] = options.description;
  if (!options.reason.empty()) body["reason"] = options.reason;
  const Result<Json> answer = session.api().Send("POST", "/v1/tokens", body);
  if (!answer.ok()) return session.Fail(answer.status());
  const std::string expires = Text(answer->value("expires_at", Json()));
  if (options.out.empty() && session.PrintData(*answer)) return;
  const Status handed = HandOver(Text((*answer)["token"]), options.out);
  if (!handed.ok()) {
    return session.FailAs(
        kExitNo,
        handed.ToString() +
            (options.name.empty()
                 ? ""
                 : "; the token cannot be shown again: weir token revoke " + options.name));
  }
  std::fprintf(stderr, "%s\n",
               expires.empty() ? "never expires" : ("good until " + expires).c_str());
  if (answer->contains("note")) std::fprintf(stderr, "note: %s\n", Text((*answer)["note"]).c_str());
  if (!options.name.empty() && !options.scopes.empty())
    session.WaitForNodes(answer->value("version", uint64_t{0}));
}

void ListTokens(Session& session) {
  const Result<Json> answer = session.api().Get("/v1/tokens");
  if (!answer.ok()) return session.Fail(answer.status());
  if (session.PrintData(*answer)) return;
  const int64_t now_ms = Clock::System().WallMs();
  std::vector<std::vector<std::string>> rows;
  for (const Json& item : (*answer)["items"]) {
    const Json& spec = item["spec"];
    const std::string expires = Text(spec.value("expires", Json()));
    const auto at_ms = ParseTimeMs(expires);
    const bool is_over = at_ms.ok() && *at_ms <= now_ms;
    const auto scopes = spec.value("scopes", std::vector<std::string>());
    rows.push_back({Text(item["metadata"]["name"]), Text(spec.value("role", Json("-"))),
                    scopes.empty() ? "-" : Join(scopes, ","),
                    expires.empty() ? "never" : expires + (is_over ? " (over)" : ""),
                    Text(spec["hash"]), Age(item["metadata"].value("updated_at", Json())),
                    Text(item["metadata"].value("updated_by", Json()))});
  }
  PrintTable({"NAME", "ROLE", "SCOPES", "EXPIRES", "HASH", "AGE", "BY"}, rows);
}

void RevokeToken(Session& session, const std::string& name, const std::string& reason) {
  std::string target = "/v1/tokens/" + http::PercentEncode(name);
  if (!reason.empty()) target += "?reason=" + http::PercentEncode(reason);
  const Result<Json> answer = session.api().Send("DELETE", target, Json());
  if (!answer.ok()) return session.Fail(answer.status());
  if (session.PrintData(*answer)) return;
  std::printf("Token/%s revoked\n", name.c_str());
  session.WaitForNodes(answer->value("version", uint64_t{0}));
}

}  // namespace

void AddTokenCommands(CLI::App& app, Session& session) {
  CLI::App* token = app.add_subcommand(
      "token", "Tokens: without a name, one that lets a node in, once; with one, who may do what");
  token->require_subcommand(1);
  auto options = std::make_shared<CreateOptions>();
  CLI::App* create = token->add_subcommand(
      "create",
      "A new token, shown once. Without NAME: an enrolment token, for weir-node --enroll-token, "
      "good for one node and 1h. With NAME: an access token with a role, scopes, or both");
  create->add_option("name", options->name, "Whose it is; the actor of what is done with it");
  create->add_option("--role", options->role, "Of the admin API: viewer, operator or admin")
      ->check(CLI::IsMember(std::vector<std::string>(domain::Roles())));
  create->add_option("--scope", options->scopes, "Of nodes: ofrep, inference, node-admin")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::IsMember(std::vector<std::string>(domain::Scopes())));
  create->add_option("--expires", options->expires,
                     "How long it is good: 10m, 12h, 90d (default: 1h for enrolment, else never)");
  create->add_option("--description", options->description, "What it is for");
  create->add_option("--reason", options->reason, "Why; shown in history");
  create->add_option("--out", options->out, "Write it into FILE (mode 0600) instead of showing it");
  create->footer(
      "Examples:\n"
      "  weir token create --expires 10m                           lets one node in\n"
      "  weir token create alice --role operator --expires 90d\n"
      "  weir token create prometheus --role viewer --scope node-admin --out /etc/weir/prom.token\n"
      "  weir token create shop --scope ofrep,inference            for callers of nodes");
  create->callback([&session, options] { Create(session, *options); });
  token->add_subcommand("list", "Access tokens: roles, scopes, expiry; never the token")
      ->callback([&session] { ListTokens(session); });
  auto name = std::make_shared<std::string>();
  auto reason = std::make_shared<std::string>();
  CLI::App* revoke = token->add_subcommand("revoke", "End an access token, at once and for good");
  revoke->add_option("name", *name, "Its name")->required();
  revoke->add_option("--reason", *reason, "Why; shown in history");
  revoke->callback([&session, name, reason] { RevokeToken(session, *name, *reason); });
}

}  // namespace weir::control::cli
