// SPDX-License-Identifier: Apache-2.0
// Who may do what, with the real programs: https, roles, scopes, and secrets that are nowhere to be
// read.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <signal.h>

#include <filesystem>
#include <map>

#include "tests/fakes/receiver.h"
#include "tests/integration/harness/cli.h"
#include "tests/unit/shared/http/tls_harness.h"

namespace weir::integration {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr char kBootstrap[] = "the-first-secret-of-all-8461";
constexpr char kBreakGlass[] = "break-this-glass-please-3391";
constexpr char kOfrepToken[] = "ofrep-token-of-the-node-7702";
constexpr char kSinkSecret[] = "what-signs-the-webhooks-5518";

class Auth : public CliTest {
 protected:
  void SetUp() override {
    Install(first_);
    bootstrap_file_ = Write("bootstrap.token", std::string(kBootstrap) + "\n");
    control.more = {"--tls-cert",     Path("cert.pem"),         "--tls-key",
                    Path("key.pem"),  "--bootstrap-token-file", bootstrap_file_,
                    "--require-token"};
  }

  std::string Path(const std::string& name) const { return dir.path() + "/" + name; }
  // As a renewal does: the files change under their names.
  void Install(const http::Certificate& certificate) {
    const std::string cert = certificate.Save("auth_cert.pem");
    const std::string key = certificate.SaveKey("auth_key.pem");
    std::filesystem::copy_file(cert, Path("ca.pem"),
                               std::filesystem::copy_options::overwrite_existing);
    std::filesystem::rename(cert, Path("cert.pem"));
    std::filesystem::rename(key, Path("key.pem"));
  }
  std::string Url() { return "https://" + control.api().address(); }

  // weir with its own contexts; everything that it prints is kept.
  Output Run(std::vector<std::string> arguments,
             std::map<std::string, std::string> variables = {}) {
    arguments.insert(arguments.begin(), Program("weir"));
    variables.insert({{"XDG_CONFIG_HOME", dir.path() + "/xdg"}, {"NO_COLOR", "1"}});
    Output output = RunProgram(arguments, variables);
    said_ += output.Text();
    return output;
  }
  // The same without what hands a secret over.
  std::string Create(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {Program("weir"), "token", "create"});
    const Output output =
        RunProgram(arguments, {{"XDG_CONFIG_HOME", dir.path() + "/xdg"}, {"NO_COLOR", "1"}});
    EXPECT_EQ(output.exit_code, 0) << output.Text();
    said_ += output.err;
    return output.out.substr(0, output.out.find('\n'));
  }
  // The admin API, as who shows this token.
  Answer Ask(const std::string& token, const std::string& method, const std::string& target,
             const std::string& body = "") {
    http::ClientOptions options;
    options.timeout_ms = 10'000 * kSlowness;
    options.bearer_token = token;
    options.ca_file = Path("ca.pem");
    http::Client client(Url(), options);
    const auto response = client.Do(method, target, {}, body);
    Answer answer;
    if (!response.ok()) {
      answer.text = response.status().ToString();
      return answer;
    }
    answer.status = response->status;
    answer.text = response->body;
    answer.headers = response->headers;
    if (const auto json = codec::ParseJson(response->body); json.ok()) answer.json = *json;
    return answer;
  }
  static Answer InferAs(const Node& node, const std::string& token) {
    return node.api().Call("POST", std::string("/v2/models/") + kModel + "/infer", Requests()[0],
                           {{"Authorization", "Bearer " + token}});
  }

  // A context with the bootstrap token, an enrolled node that asks for tokens, and a model on it.
  void StartAll() {
    ASSERT_TRUE(control.Start().ok()) << control.process().Tail();
    ASSERT_EQ(Run({"context", "set", "prod", "--server", Url(), "--token-file", bootstrap_file_,
                   "--ca-file", Path("ca.pem")})
                  .exit_code,
              0);
    enrolment_ = Create({"--expires", "10m"});
    const std::string enrolment_file = Write("enrolment.token", enrolment_);
    const std::string glass = Write("glass.token", kBreakGlass);
    const std::string ofrep = Write("ofrep.token", kOfrepToken);
    nodes.push_back(std::make_unique<Node>(
        dir.path(), NodeOptions{.id = "n1",
                                .control = Url(),
                                .more = {"--control-ca-file", Path("ca.pem"), "--enroll-token-file",
                                         enrolment_file, "--break-glass-token-file", glass,
                                         "--ofrep-tokens-file", ofrep, "--require-token",
                                         "ofrep,inference,admin"}}));
    ASSERT_TRUE(node(0).Start().ok()) << node(0).process().Tail();
    ASSERT_TRUE(WaitFor("the node has enrolled", [&] { return IsReady(node(0)); }))
        << node(0).process().Tail();
    const std::string model = Write("model.json", ModelFile("1.0.0"));
    const Output pushed = Run({"model", "push", kModel, "1.0.0", model});
    ASSERT_EQ(pushed.exit_code, 0) << pushed.Text();
    ASSERT_TRUE(WaitFor("the node has fetched it", [&] {
      const Answer models = Ask(kBootstrap, "GET", std::string("/v1/models/") + kModel);
      return models.text.find("READY") != std::string::npos;
    })) << node(0).process().Tail();
  }

  http::Certificate first_{"IP:127.0.0.1"};
  std::string bootstrap_file_;
  std::string enrolment_;
  std::string said_;
};

TEST_F(Auth, RolesAndScopesOverHttps) {
  ASSERT_NO_FATAL_FAILURE(StartAll());
  // Nobody without a token, a trusted certificate and https.
  const Output none = Run({"--server", Url(), "--ca-file", Path("ca.pem"), "get", "flags"});
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.err, HasSubstr("a token is needed"));
  const Output untrusted = Run({"--server", Url(), "status"});
  EXPECT_EQ(untrusted.exit_code, 3);
  EXPECT_THAT(untrusted.err, HasSubstr("certificate is not trusted"));
  const Answer plain = control.api().Get("/v1/flags");
  EXPECT_EQ(plain.status, 400);
  EXPECT_THAT(plain.text, HasSubstr("speaks https, not http"));

  // Roles; what alice does is alice's, whatever she calls herself.
  const std::string alice = Create({"alice", "--role", "operator", "--expires", "90d"});
  const std::string bob = Create({"bob", "--role", "viewer"});
  const std::string alice_file = Write("alice.token", alice);
  EXPECT_EQ(Run({"flag", "create", "beta", "--percent", "10"}, {{"WEIR_TOKEN_FILE", alice_file}})
                .exit_code,
            0)
      << said_;
  const Output refused = Run({"flag", "set", "beta", "--percent", "0"}, {{"WEIR_TOKEN", bob}});
  EXPECT_EQ(refused.exit_code, 1) << refused.Text();
  EXPECT_THAT(refused.err, HasSubstr("needs the role operator"));
  EXPECT_EQ(
      Run({"token", "create", "mallory", "--role", "admin"}, {{"WEIR_TOKEN", alice}}).exit_code, 1);
  EXPECT_EQ(Run({"get", "flags"}, {{"WEIR_TOKEN", bob}}).exit_code, 0);
  const Answer history = Ask(bob, "GET", "/v1/history?kind=Flag&name=beta");
  EXPECT_EQ(history.json["items"][0]["actor"], "alice") << history;

  // Scopes, which reach the node with the snapshot.
  const std::string shop = Create({"shop", "--scope", "inference,ofrep"});
  EXPECT_EQ(InferAs(node(0), shop).status, 200) << InferAs(node(0), shop);
  EXPECT_EQ(InferAs(node(0), bob).status, 401) << "a role opens no node";
  EXPECT_EQ(node(0).api().Get("/metrics").status, 401);
  EXPECT_EQ(node(0).api().Get("/health").status, 200);
  EXPECT_EQ(node(0).api().Call("GET", "/metrics", "", {{"Authorization", "Bearer " + shop}}).status,
            403);
  const Output revoked = Run({"token", "revoke", "shop", "--reason", "it leaked"});
  EXPECT_EQ(revoked.exit_code, 0) << revoked.Text();
  EXPECT_EQ(InferAs(node(0), shop).status, 401) << "revoked once the command has returned";

  // From the last good snapshot as well.
  const std::string till = Create({"till", "--scope", "inference"});
  EXPECT_EQ(InferAs(node(0), till).status, 200);
  EXPECT_EQ(node(0).Stop(), 0);
  control.Kill9();
  ASSERT_TRUE(node(0).Start().ok());
  ASSERT_TRUE(WaitFor("it serves", [&] { return InferAs(node(0), till).status == 200; }))
      << InferAs(node(0), till);
  EXPECT_EQ(InferAs(node(0), shop).status, 401);
}

TEST_F(Auth, ACertificateIsRenewedWithoutARestart) {
  ASSERT_TRUE(control.Start().ok()) << control.process().Tail();
  EXPECT_EQ(Ask(kBootstrap, "GET", "/v1/flags").status, 200);
  Write("key.pem", "no key");
  control.process().Signal(SIGHUP);
  ASSERT_TRUE(WaitFor("the bad one is told", [&] {
    return control.process().Tail().find("the certificate stays as it was: tls_key: ") !=
           std::string::npos;
  })) << control.process().Tail();
  EXPECT_EQ(Ask(kBootstrap, "GET", "/v1/flags").status, 200);
  const http::Certificate second("IP:127.0.0.1");
  Install(second);  // the client trusts it alone from now on
  control.process().Signal(SIGHUP);
  ASSERT_TRUE(WaitFor("the new one serves", [&] {
    return Ask(kBootstrap, "GET", "/v1/flags").status == 200;
  })) << Ask(kBootstrap, "GET", "/v1/flags");
}

TEST_F(Auth, TheBootstrapTokenEndsWhenItIsRevokedOrTakenAway) {
  ASSERT_TRUE(control.Start().ok()) << control.process().Tail();
  const Answer root = Ask(kBootstrap, "POST", "/v1/tokens", R"({"name": "root", "role": "admin"})");
  ASSERT_EQ(root.status, 201) << root;
  const std::string token = root.json["token"];
  ASSERT_EQ(control.Stop(), 0);
  std::vector<std::string> with = control.more;
  control.more = {with[0], with[1], with[2], with[3]};
  ASSERT_TRUE(control.Start().ok()) << control.process().Tail();
  EXPECT_EQ(Ask(kBootstrap, "GET", "/v1/flags").status, 401) << "taken away";
  EXPECT_EQ(Ask(token, "GET", "/v1/flags").status, 200);
  EXPECT_EQ(Ask("", "GET", "/v1/flags").status, 401) << "tokens stay required";
  ASSERT_EQ(control.Stop(), 0);
  control.more = with;
  ASSERT_TRUE(control.Start().ok()) << control.process().Tail();
  EXPECT_EQ(Ask(kBootstrap, "GET", "/v1/flags").status, 200);
  EXPECT_EQ(Ask(token, "DELETE", "/v1/tokens/bootstrap").status, 200);
  EXPECT_EQ(Ask(kBootstrap, "GET", "/v1/flags").status, 401);
  ASSERT_EQ(control.Stop(), 0);
  ASSERT_TRUE(control.Start().ok()) << control.process().Tail();
  EXPECT_EQ(Ask(kBootstrap, "GET", "/v1/flags").status, 401) << "revoked for good";
}

TEST_F(Auth, WhatIsNotSafeDoesNotStart) {
  const auto start = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {
        Program("weir-control"), "--data-dir",  Path("other"),        "--cfg-listen", "127.0.0.1:0",
        "--session-listen",      "127.0.0.1:0", "--telemetry-listen", "127.0.0.1:0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Output output = RunProgram(arguments);
    EXPECT_EQ(output.exit_code, 2) << output.Text();
    return output.err;
  };
  EXPECT_THAT(start({"--listen", "0.0.0.0:0"}),
              AllOf(HasSubstr("--listen: "), HasSubstr("--tls-cert and --tls-key")));
  EXPECT_THAT(start({"--listen", "0.0.0.0:0", "--tls-cert", Path("cert.pem"), "--tls-key",
                     Path("key.pem")}),
              HasSubstr("no admin token"));
  EXPECT_THAT(start({"--listen", "127.0.0.1:0", "--tls-cert", Path("none.pem"), "--tls-key",
                     Path("key.pem")}),
              AllOf(HasSubstr("tls_cert: "), HasSubstr("none.pem")));
  EXPECT_THAT(start({"--listen", "127.0.0.1:0", "--tls-cert", Path("cert.pem")}),
              HasSubstr("tls_key"));
}

TEST_F(Auth, SecretsAreNowhereToBeRead) {
  fakes::Receiver receiver;
  ASSERT_NO_FATAL_FAILURE(StartAll());
  const std::string sink_file = Write("sink.key", kSinkSecret);
  const std::string till = Create({"till", "--role", "operator", "--scope", "inference"});
  const Json sink = {{"apiVersion", "weir/v1"},
                     {"kind", "Sink"},
                     {"metadata", {{"name", "hook"}}},
                     {"spec", {{"url", receiver.url()}, {"secret_file", sink_file}}}};
  ASSERT_EQ(Ask(kBootstrap, "PUT", "/v1/sinks/hook", sink.dump()).status, 201);
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{"status"},
                                             {"doctor"},
                                             {"token", "list"},
                                             {"token", "list", "-o", "json"},
                                             {"get", "tokens", "-o", "yaml"},
                                             {"get", "tokens"},
                                             {"history"},
                                             {"history", "token/till", "-o", "json"},
                                             {"node", "list"},
                                             {"node", "show", "n1"},
                                             {"context", "list"},
                                             {"sink", "test", "hook"},
                                             {"get", "sinks", "-o", "yaml"},
                                             {"token", "revoke", "nobody"},
                                             {"get", "flags", "-o", "json"}}) {
    Run(command);
  }
  Run({"get", "flags"}, {{"WEIR_TOKEN", till + "x"}});
  InferAs(node(0), till);
  InferAs(node(0), till + "x");
  node(0).admin().Call("GET", "/weir/v1/override", "",
                       {{"Authorization", std::string("Bearer ") + kBreakGlass}});
  std::string everything = said_;
  for (const char* target :
       {"/v1/snapshot", "/v1/tokens", "/v1/history?limit=1000", "/v1/status", "/v1/nodes",
        "/metrics", "/v1/events?follow=false&since=0", "/v1/sinks", "/v1/bootstrap"}) {
    const Answer answer = Ask(kBootstrap, "GET", target);
    EXPECT_EQ(answer.status, 200) << target << ": " << answer;
    everything += answer.text;
  }
  everything += node(0).admin().Get("/ready").text;
  const Output check = RunProgram({Program("weir-control"), "--check", "--data-dir", Path("x"),
                                   "--bootstrap-token-file", bootstrap_file_});
  EXPECT_EQ(check.exit_code, 0) << check.Text();
  everything += check.Text();
  // A secret of the wrong kind is refused without being repeated.
  const std::string numbers = Write("control.yaml", "bootstrap_token: 83461234567812345678\n");
  const Output wrong = RunProgram({Program("weir-control"), "--config", numbers, "--check"});
  EXPECT_EQ(wrong.exit_code, 2) << wrong.Text();
  EXPECT_THAT(wrong.err, Not(HasSubstr("83461234567812345678")));
  ASSERT_TRUE(WaitFor("the sink was told", [&] { return !receiver.posts().empty(); }));
  EXPECT_EQ(node(0).Stop(), 0);
  EXPECT_EQ(control.Stop(), 0);
  for (const auto& post : receiver.posts()) everything += post.body;
  for (const Process* process : {&control.process(), &node(0).process()}) {
    const Result<std::string> log = ReadFile(process->log());
    ASSERT_TRUE(log.ok());
    everything += *log;
  }
  const auto key_line = [&](const std::string& file, const std::string& begin) {
    const Result<std::string> text = ReadFile(file);
    EXPECT_TRUE(text.ok()) << file;
    const size_t at = text.ok() ? text->find(begin) : std::string::npos;
    EXPECT_NE(at, std::string::npos) << file;
    return at == std::string::npos ? begin : text->substr(at + begin.size(), 40);
  };
  const std::pair<const char*, std::string> secrets[] = {
      {"the bootstrap token", kBootstrap},
      {"the enrolment token", enrolment_.substr(0, enrolment_.find('.'))},
      {"an access token", till},
      {"the break-glass token", kBreakGlass},
      {"the OFREP token", kOfrepToken},
      {"the sink's secret", kSinkSecret},
      {"the server's key", key_line(control.data_dir() + "/server.key", "secret-key = ")},
      {"the node's key", key_line(Path("n1/node.key"), "secret-key = ")},
      {"the key of the certificate", key_line(Path("key.pem"), "PRIVATE KEY-----\n")}};
  EXPECT_THAT(everything, AllOf(HasSubstr("till"), HasSubstr("hook"), HasSubstr("n1")));
  for (const auto& [what, secret] : secrets) {
    ASSERT_GE(secret.size(), 16u) << what;
    const size_t at = everything.find(secret);
    EXPECT_EQ(at, std::string::npos)
        << what << " is in: " << everything.substr(at < 200 ? 0 : at - 200, 400);
  }
}

}  // namespace
}  // namespace weir::integration
