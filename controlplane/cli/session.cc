// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "controlplane/cli/context.h"
#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "shared/codec/yaml.h"

namespace weir::control::cli {

namespace {

// "" if the variable is not set.
std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Of the context that is named or current, if the server is not given otherwise.
std::string OfContext(const Session& session, std::map<std::string, std::string> Contexts::*files) {
  if (!session.server_option.empty()) return "";
  const Contexts contexts = LoadContexts();
  const auto& known = contexts.*files;
  const auto found =
      known.find(session.context_option.empty() ? contexts.current : session.context_option);
  return found == known.end() ? "" : found->second;
}

}  // namespace

std::string Session::CaFile() const {
  if (ca_file_option.has_value()) return *ca_file_option;
  const std::string file = Variable("WEIR_CA_FILE");
  return file.empty() ? OfContext(*this, &Contexts::ca_files) : file;
}

Result<std::string> Session::Token() const {
  if (!token_option.empty()) return token_option;
  std::string file = token_file_option.value_or("");
  if (file.empty()) {
    if (std::string token = Variable("WEIR_TOKEN"); !token.empty()) return token;
    file = Variable("WEIR_TOKEN_FILE");
  }
  if (file.empty()) file = OfContext(*this, &Contexts::token_files);
  if (file.empty()) return std::string();
  WEIR_ASSIGN_OR_RETURN(std::string token, ReadFile(file));
  token.erase(token.find_last_not_of(" \t\r\n") + 1);
  return token;
}

ApiClient& Session::api() {
  if (api_ == nullptr) {
    std::string server = server_option;
    if (server.empty()) {
      const Contexts contexts = LoadContexts();
      const std::string name = context_option.empty() ? contexts.current : context_option;
      const auto found = contexts.servers.find(name);
      server = found == contexts.servers.end() ? "http://127.0.0.1:7080" : found->second;
    }
    const Result<std::string> token = Token();
    if (!token.ok())
      std::fprintf(stderr, "warning: no token: %s\n", token.status().ToString().c_str());
    api_ = std::make_unique<ApiClient>(
        server, ApiAccess{token.ok() ? *token : std::string(), CaFile()}, timeout_ms());
  }
  return *api_;
}

std::string Session::Target() {
  if (!server_option.empty()) return api().server();
  const Contexts contexts = LoadContexts();
  const std::string name = context_option.empty() ? contexts.current : context_option;
  return name.empty() ? api().server() : fmt::format("{} ({})", name, api().server());
}

int64_t Session::timeout_ms() const {
  const Result<int64_t> ms = ParseDurationMs(timeout);
  return ms.ok() ? *ms : 10'000;
}

bool Session::PrintData(const codec::Json& data) const {
  if (output == "json") {
    std::printf("%s\n", data.dump(2).c_str());
    return true;
  }
  if (output == "yaml") {
    std::printf("%s", codec::ToYaml(data).c_str());
    return true;
  }
  return false;
}

void Session::Fail(const Status& status) {
  FailAs(api_ == nullptr ? kExitNo : api_->exit_code(), status.ToString());
}

void Session::FailAs(int exit_code, const std::string& message) {
  std::fprintf(stderr, "error: %s\n", message.c_str());
  exit_code_ = exit_code;
}

void Session::WaitForNodes(uint64_t version) {
  if (!wait || version == 0) return;
  const int64_t deadline = Clock::System().MonotonicMs() + timeout_ms();
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  for (;;) {
    const Result<codec::Json> nodes = api().Get("/v1/nodes");
    if (!nodes.ok()) return Fail(nodes.status());
    size_t live = 0;
    size_t applied = 0;
    std::string behind;
    std::string gone;
    for (const codec::Json& node : (*nodes)["items"]) {
      if (node.value("state", "") == "gone") {
        gone += " " + node.value("id", "");
        continue;
      }
      ++live;
      if (node["snapshot"].value("version", uint64_t{0}) >= version) {
        ++applied;
      } else {
        behind += " " + node.value("id", "");
      }
    }
    if (terminal) std::fprintf(stderr, "\r\x1b[Kapplied by %zu/%zu nodes", applied, live);
    if (applied == live) {
      std::fprintf(stderr, "%sapplied by %zu/%zu nodes%s%s\n", terminal ? "\r\x1b[K" : "", applied,
                   live, gone.empty() ? "" : "; not reached, since gone:", gone.c_str());
      if (live == 0) std::fprintf(stderr, "warning: no node is live (weir node list)\n");
      return;
    }
    if (Clock::System().MonotonicMs() > deadline) {
      if (terminal) std::fprintf(stderr, "\n");
      return FailAs(kExitTimeout, fmt::format("committed, but only {}/{} nodes have applied it "
                                              "within {}; missing:{} (weir node list)",
                                              applied, live, timeout, behind));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void PrintTable(const std::vector<std::string>& header,
                const std::vector<std::vector<std::string>>& rows) {
  if (rows.empty()) {
    std::fprintf(stderr, "none\n");
    return;
  }
  std::vector<size_t> widths;
  for (size_t c = 0; c < header.size(); ++c) {
    widths.push_back(header[c].size());
    for (const auto& row : rows) widths[c] = std::max(widths[c], row[c].size());
  }
  const auto print = [&](const std::vector<std::string>& row) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      line += c + 1 == row.size() ? row[c] : fmt::format("{:<{}}  ", row[c], widths[c]);
    }
    std::printf("%s\n", line.substr(0, line.find_last_not_of(' ') + 1).c_str());
  };
  print(header);
  for (const auto& row : rows) print(row);
}

void PrintCommitted(const codec::Json& commit, bool with_diff) {
  const bool is_dry = commit.value("dry_run", false);
  for (const codec::Json& change : commit["changes"]) {
    std::printf("%s/%s %s\n", Text(change["kind"]).c_str(), Text(change["name"]).c_str(),
                Text(change["action"]).c_str());
    const bool is_new = change.value("action", "") == "created";
    const codec::Json diff = !with_diff || (is_new && !is_dry)
                                 ? codec::Json::object()
                                 : change.value("diff", codec::Json::object());
    for (const auto& [path, values] : diff.items()) {
      if (path.rfind("status.", 0) == 0) continue;  // follows by itself
      std::printf("  %s: %s -> %s\n", path.c_str(),
                  values.value("from", codec::Json()).dump().c_str(),
                  values.value("to", codec::Json()).dump().c_str());
    }
    for (const codec::Json& kept : change.value("kept", codec::Json::array()))
      std::printf("  kept %s\n", Text(kept).c_str());
  }
}

std::string Age(const codec::Json& time) {
  if (!time.is_string()) return "";
  const Result<int64_t> ms = ParseTimeMs(time.get<std::string>());
  if (!ms.ok()) return "";
  const int64_t seconds = std::max<int64_t>(0, (Clock::System().WallMs() - *ms) / 1000);
  if (seconds < 120) return fmt::format("{}s", seconds);
  if (seconds < 7200) return fmt::format("{}m", seconds / 60);
  if (seconds < 172'800) return fmt::format("{}h", seconds / 3600);
  return fmt::format("{}d", seconds / 86'400);
}

std::string Text(const codec::Json& value) {
  if (value.is_null()) return "";
  if (value.is_number_float()) return fmt::format("{}", value.get<double>());
  if (!value.is_string()) return value.dump();
  std::string text = value.get<std::string>();
  // What somebody wrote must not steer a terminal or break a table.
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return text;
}

}  // namespace weir::control::cli
