// SPDX-License-Identifier: Apache-2.0
// weir model push, test, pin, unpin.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <thread>

#include "controlplane/cli/session.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"

namespace weir::control::cli {
namespace {

using codec::Json;

struct Words {
  std::string name;
  std::string version;
  std::string file;
  std::string runtime = "xgboost";
  std::string reason;
  std::vector<std::string> inputs;
  bool replace = false;
};

// "features:FP32:-1,12" → {name, datatype, shape}
Result<Json> ParseInput(const std::string& text) {
  const std::vector<std::string> parts = Split(text, ':');
  if (parts.size() != 3)
    return InvalidArgument(
        "--input", fmt::format("\"{}\" is not NAME:DATATYPE:SHAPE (features:FP32:-1,12)", text));
  Json shape = Json::array();
  for (const std::string& dimension : Split(parts[2], ',')) {
    const Result<Json> number = codec::ParseJson(dimension);
    if (!number.ok() || !number->is_number_integer())
      return InvalidArgument("--input", fmt::format("\"{}\" is not a whole number", dimension));
    shape.push_back(*number);
  }
  return Json{{"name", parts[0]}, {"datatype", parts[1]}, {"shape", shape}};
}

std::string ModelPath(const std::string& name) { return "/v1/models/" + http::PercentEncode(name); }

// Waits until every live node has loaded the version or failed to; a failure is the command's.
void WaitUntilLoaded(Session& session, const Words& words) {
  const int64_t deadline = Clock::System().MonotonicMs() + session.timeout_ms();
  for (;;) {
    const Result<Json> nodes = session.api().Get("/v1/nodes");
    if (!nodes.ok()) return session.Fail(nodes.status());
    int live = 0;
    int ready = 0;
    for (const Json& node : (*nodes)["items"]) {
      if (node.value("state", "") == "gone") continue;
      ++live;
      for (const Json& version : node.value("versions", Json::array())) {
        if (version.value("model", "") != words.name ||
            version.value("version", "") != words.version)
          continue;
        const std::string state = version.value("state", "");
        ready += state == "READY" ? 1 : 0;
        if (state != "FAILED") continue;
        return session.FailAs(kExitNo,
                              fmt::format("{} {} is FAILED on {}: {}", words.name, words.version,
                                          Text(node["id"]), version.value("detail", "")));
      }
    }
    if (ready == live) {
      std::fprintf(stderr, "READY on %d/%d nodes\n", ready, live);
      return;
    }
    if (Clock::System().MonotonicMs() > deadline) {
      return session.FailAs(
          kExitTimeout,
          fmt::format("stored, but only {}/{} nodes have loaded it within {} (weir node list)",
                      ready, live, session.timeout));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

void Push(Session& session, const Words& words) {
  const Result<std::string> bytes = ReadFile(words.file);
  if (!bytes.ok()) return session.FailAs(kExitUsage, bytes.status().message());
  Json spec = Json::object();
  for (const std::string& text : words.inputs) {
    const Result<Json> input = ParseInput(text);
    if (!input.ok()) return session.FailAs(kExitUsage, input.status().ToString());
    spec["inputs"].push_back(*input);
  }
  const Result<std::string> blob = session.api().PutBlob(*bytes);
  if (!blob.ok()) return session.Fail(blob.status());
  spec["versions"][words.version] = {{"runtime", words.runtime}, {"blob", *blob}};
  const Result<Json> before = session.api().Get(ModelPath(words.name));
  if (!before.ok() && session.api().last_status() != 404) return session.Fail(before.status());
  const Json known =
      before.ok() ? (*before)["spec"].value("versions", Json::object()) : Json::object();
  if (known.contains(words.version) && known[words.version].value("blob", "") != *blob &&
      !words.replace) {
    return session.FailAs(
        kExitNo, fmt::format("{} {} exists with other bytes; push another version, or --replace it",
                             words.name, words.version));
  }
  const std::string query =
      "?reason=" +
      http::PercentEncode(words.reason.empty() ? "pushed " + words.version : words.reason);
  Result<Json> answer = NotFound("");
  if (before.ok()) {
    answer = session.api().Send("PATCH", ModelPath(words.name) + query, {{"spec", spec}});
  } else {
    spec["stable"] = words.version;  // a model's first version is its stable one
    answer = session.api().Send("PUT", ModelPath(words.name) + query,
                                {{"apiVersion", "weir/v1"},
                                 {"kind", "Model"},
                                 {"metadata", {{"name", words.name}}},
                                 {"spec", spec}});
  }
  if (!answer.ok()) return session.Fail(answer.status());
  if (!session.PrintData(*answer))
    std::printf("%s %s %s\n", words.name.c_str(), words.version.c_str(), blob->c_str());
  const std::string stable = Text((*answer)["spec"].value("stable", Json()));
  std::fprintf(stderr, "pushed to %s; stable is %s\n", session.Target().c_str(), stable.c_str());
  session.WaitForNodes(session.api().last_version());
  if (session.exit_code() == kExitDone) WaitUntilLoaded(session, words);
}

void Test(Session& session, const Words& words) {
  const Result<std::string> body = ReadFile(words.file);
  if (!body.ok()) return session.FailAs(kExitUsage, body.status().message());
  // Of a .jsonl file, its first request.
  const std::string request =
      words.file.ends_with(".jsonl") ? body->substr(0, body->find('\n')) : *body;
  if (request.empty()) return session.FailAs(kExitUsage, words.file + " holds no request");
  const Result<Json> nodes = session.api().Get("/v1/nodes");
  if (!nodes.ok()) return session.Fail(nodes.status());
  int asked = 0;
  Json results = Json::array();
  for (const Json& node : (*nodes)["items"]) {
    if (node.value("state", "") == "gone" || node.value("http", "").empty()) continue;
    ++asked;
    http::Client client("http://" + node.value("http", ""));
    const auto answer =
        client.Do("POST",
                  fmt::format("/v2/models/{}/versions/{}/infer", http::PercentEncode(words.name),
                              http::PercentEncode(words.version)),
                  {{"Content-Type", "application/json"}}, request);
    const std::string text = answer.ok() ? answer->body : answer.status().ToString();
    const bool passed = answer.ok() && answer->status == 200;
    results.push_back(
        {{"node", node["id"]}, {"status", answer.ok() ? answer->status : 0}, {"answer", text}});
    if (!session.json())
      std::printf("%s  %s  %s\n", Text(node["id"]).c_str(),
                  answer.ok() ? std::to_string(answer->status).c_str() : "-", text.c_str());
    if (!passed) session.No();
  }
  if (session.json()) session.PrintData({{"items", results}});
  if (asked == 0) session.FailAs(kExitNo, "no live node to ask");
}

void Pin(Session& session, const Words& words) {
  const std::string reason =
      words.reason.empty() ? (words.version.empty() ? "unpinned" : "pinned to " + words.version)
                           : words.reason;
  const Result<Json> answer = session.api().Send(
      "PATCH", ModelPath(words.name) + "?reason=" + http::PercentEncode(reason),
      {{"spec", {{"pinned", words.version.empty() ? Json() : Json(words.version)}}}});
  if (!answer.ok()) return session.Fail(answer.status());
  if (!session.PrintData(*answer)) {
    std::printf("%s %s\n", words.name.c_str(),
                words.version.empty() ? "is not pinned"
                                      : ("answers with " + words.version + " alone").c_str());
  }
  std::fprintf(stderr, "on %s\n", session.Target().c_str());
  session.WaitForNodes(session.api().last_version());
}

}  // namespace

void AddModelCommands(CLI::App& app, Session& session) {
  CLI::App* model = app.add_subcommand("model", "Model versions: push, test, pin");
  model->require_subcommand(1);
  auto words = std::make_shared<Words>();
  CLI::App* push = model->add_subcommand(
      "push", "Store a version: weir model push fraud_detection 1.1.0 model.json");
  push->add_option("name", words->name, "The model")->required();
  push->add_option("version", words->version, "The new version")->required();
  push->add_option("file", words->file, "The model file")->required();
  push->add_option("--runtime", words->runtime, "What runs it")->capture_default_str();
  push->add_option("--input", words->inputs,
                   "What clients may send: NAME:DATATYPE:SHAPE, features:FP32:-1,12");
  push->add_option("--reason", words->reason, "Why; shown in history");
  push->add_flag("--replace", words->replace, "Even if the version exists with other bytes");
  push->callback([&session, words] { Push(session, *words); });

  CLI::App* test =
      model->add_subcommand("test", "Ask every node with one version, past any rollout");
  test->add_option("name", words->name, "The model")->required();
  test->add_option("version", words->version, "The version")->required();
  test->add_option("-f,--file", words->file,
                   "A request (Open Inference Protocol JSON; of a .jsonl file, the first line)")
      ->required();
  test->callback([&session, words] { Test(session, *words); });

  CLI::App* pin =
      model->add_subcommand("pin", "One version answers everything, whatever a rollout says");
  pin->add_option("name", words->name, "The model")->required();
  pin->add_option("version", words->version, "The version")->required();
  pin->add_option("--reason", words->reason, "Why; shown in history");
  pin->callback([&session, words] { Pin(session, *words); });

  CLI::App* unpin = model->add_subcommand("unpin", "End a pin");
  unpin->add_option("name", words->name, "The model")->required();
  unpin->add_option("--reason", words->reason, "Why; shown in history");
  unpin->callback([&session, words] {
    words->version.clear();
    Pin(session, *words);
  });
}

}  // namespace weir::control::cli
