// SPDX-License-Identifier: Apache-2.0
#include "controlplane/cli/cluster.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>

#include "shared/base/clock.h"
#include "shared/base/text.h"
#include "shared/codec/json.h"
#include "shared/http/client.h"

extern char** environ;  // NOLINT: POSIX

namespace weir::control::cli {
namespace {

constexpr int64_t kStartDeadlineMs = 30'000;
constexpr int kControlPort = 7080;
constexpr int kNodePort = 8080;

void PauseMs(int64_t ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

// True while the process exists and is not a zombie; reaps it if it is our child.
bool IsAlive(pid_t pid) {
  if (pid <= 0) return false;
  if (::waitpid(pid, nullptr, WNOHANG) == pid) return false;
  return ::kill(pid, 0) == 0;
}

// The process is still the program we started: pids are used again.
bool IsOurs(const Process& process) {
  if (!IsAlive(process.pid)) return false;
  std::error_code error;
  const std::string exe =
      std::filesystem::read_symlink(fmt::format("/proc/{}/exe", process.pid), error)
          .filename()
          .string();
  return !error && exe.rfind(process.name == "control" ? "weir-control" : "weir-node", 0) == 0;
}

std::string LastLines(const std::string& path, size_t count) {
  const Result<std::string> text = ReadFile(path);
  if (!text.ok()) return "";
  std::vector<std::string> lines = Split(*text, '\n');
  std::erase(lines, "");
  const size_t from = lines.size() > count ? lines.size() - count : 0;
  return Join({lines.begin() + static_cast<std::ptrdiff_t>(from), lines.end()}, "\n");
}

Result<pid_t> Spawn(const std::vector<std::string>& arguments, const std::string& log) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int error =
      ::posix_spawn(&pid, arguments[0].c_str(), &actions, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0)
    return Unavailable(fmt::format("cannot start {}: {}", arguments[0], std::strerror(error)));
  return pid;
}

// The ready file once the program has written it; an error when the program ended before.
Result<codec::Json> WaitForReadyFile(const Process& process, const std::string& ready_file) {
  for (int64_t waited_ms = 0; waited_ms < kStartDeadlineMs; waited_ms += 20) {
    if (const Result<std::string> text = ReadFile(ready_file); text.ok())
      return codec::ParseJson(*text);
    if (!IsAlive(process.pid)) {
      return FailedPrecondition(fmt::format("{} did not start ({}):\n{}", process.name, process.log,
                                            LastLines(process.log, 3)));
    }
    PauseMs(20);
  }
  return Unavailable(fmt::format("{} is not ready after {} ({}):\n{}", process.name,
                                 FormatDurationMs(kStartDeadlineMs), process.log,
                                 LastLines(process.log, 5)));
}

http::Client Quick(const std::string& address) {
  http::ClientOptions options;
  options.timeout_ms = 1000;
  return http::Client("http://" + address, options);
}

bool Answers(const std::string& address, const std::string& path) {
  http::Client client = Quick(address);
  const auto response = client.Do("GET", path);
  return response.ok() && response->status == 200;
}

// How many nodes the control plane sees at its head.
size_t LiveNodes(const std::string& address) {
  http::Client client = Quick(address);
  const auto response = client.Do("GET", "/v1/nodes");
  if (!response.ok() || response->status != 200) return 0;
  const Result<codec::Json> json = codec::ParseJson(response->body);
  if (!json.ok() || !json->contains("items")) return 0;
  size_t live = 0;
  for (const codec::Json& node : (*json)["items"])
    live += node.value("state", "") == "ready" ? 1 : 0;
  return live;
}

codec::Json ToJson(const Process& process) {
  return {
      {"name", process.name}, {"pid", process.pid}, {"http", process.http}, {"log", process.log}};
}

Process FromJson(const codec::Json& json) {
  return {json.value("name", ""), json.value("pid", 0), json.value("http", ""),
          json.value("log", "")};
}

}  // namespace

std::string ProgramDir() {
  std::error_code error;
  const auto exe = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "" : exe.parent_path().string();
}

std::string DefaultClusterDir() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state == '/') return std::string(state) + "/weir/local";
  const char* home = std::getenv("HOME");
  return std::string(home != nullptr ? home : ".") + "/.local/state/weir/local";
}

Result<Cluster> Cluster::Find(const std::string& dir) {
  const Result<std::string> text = ReadFile(dir + "/cluster.json");
  if (!text.ok())
    return NotFound(fmt::format("no cluster in {} (weir up --dir {} starts one)", dir, dir));
  const Result<codec::Json> json = codec::ParseJson(*text);
  if (!json.ok() || !json->is_object())
    return DataLoss(fmt::format("{}/cluster.json is damaged", dir));
  Cluster cluster;
  cluster.dir_ = dir;
  cluster.control_ = FromJson((*json)["control"]);
  for (const codec::Json& node : (*json)["nodes"]) cluster.nodes_.push_back(FromJson(node));
  return cluster;
}

bool Cluster::IsRunning() const {
  return IsOurs(control_) || std::any_of(nodes_.begin(), nodes_.end(), IsOurs);
}

Result<Cluster> Cluster::Up(const ClusterOptions& options, const Progress& progress) {
  std::error_code error;
  const std::string dir = std::filesystem::absolute(options.dir, error).lexically_normal().string();
  if (error || options.dir.empty())
    return InvalidArgument("--dir", "\"" + options.dir + "\" is no directory");
  WEIR_RETURN_IF_ERROR(MakeDirectories(dir + "/log"));
  Cluster cluster;
  cluster.dir_ = dir;
  const Result<Cluster> before = Find(dir);
  if (before.ok() && before->IsRunning()) cluster = *before;
  Cluster started;  // what this call starts, to take it back on failure
  const auto start = [&]() -> Status {
    if (!IsOurs(cluster.control_)) {
      progress("starting weir-control");
      WEIR_RETURN_IF_ERROR(cluster.StartControl(options));
      started.control_ = cluster.control_;
    }
    for (int i = 0; i < options.nodes; ++i) {
      if (i < static_cast<int>(cluster.nodes_.size()) &&
          IsOurs(cluster.nodes_[static_cast<size_t>(i)]))
        continue;
      progress(fmt::format("starting weir-node {} of {}", i + 1, options.nodes));
      WEIR_RETURN_IF_ERROR(cluster.StartNode(i, options));
      started.nodes_.push_back(cluster.nodes_[static_cast<size_t>(i)]);
    }
    WEIR_RETURN_IF_ERROR(cluster.Save());
    return cluster.WaitUntilReady(progress);
  };
  if (const Status status = start(); !status.ok()) {
    static_cast<void>(started.Down(5000));
    return status;
  }
  return cluster;
}

Status Cluster::StartControl(const ClusterOptions& options) {
  const std::string ready_file = dir_ + "/control.ready.json";
  ::unlink(ready_file.c_str());
  const auto address = [&](int offset) {
    return fmt::format("127.0.0.1:{}", options.free_ports ? 0 : kControlPort + offset);
  };
  // Nodes that still run look for it where it was; they learn the other addresses from there.
  const bool is_awaited = std::any_of(nodes_.begin(), nodes_.end(), IsOurs);
  const std::string api = is_awaited && !control_.http.empty() ? control_.http : address(0);
  control_ = {.name = "control", .pid = 0, .http = "", .log = dir_ + "/log/control.log"};
  WEIR_ASSIGN_OR_RETURN(
      control_.pid,
      Spawn({ProgramDir() + "/weir-control", "--data-dir", dir_ + "/control", "--listen", api,
             "--cfg-listen", address(1), "--session-listen", address(2), "--telemetry-listen",
             address(3), "--ready-file", ready_file},
            control_.log));
  const Result<codec::Json> ready = WaitForReadyFile(control_, ready_file);
  if (!ready.ok()) {
    if (IsOurs(control_)) ::kill(control_.pid, SIGTERM);  // nodes that serve go on
    return ready.status();
  }
  control_.http = ready->value("api", "");
  return OkStatus();
}

Status Cluster::StartNode(int index, const ClusterOptions& options) {
  const std::string name = fmt::format("node-{}", index + 1);
  const std::string ready_file = fmt::format("{}/{}.ready.json", dir_, name);
  ::unlink(ready_file.c_str());
  WEIR_RETURN_IF_ERROR(MakeDirectories(dir_ + "/" + name));
  if (static_cast<int>(nodes_.size()) <= index) nodes_.resize(static_cast<size_t>(index) + 1);
  Process& node = nodes_[static_cast<size_t>(index)];
  node = {.name = name, .pid = 0, .http = "", .log = fmt::format("{}/log/{}.log", dir_, name)};
  const std::string listen =
      fmt::format("127.0.0.1:{}", options.free_ports ? 0 : kNodePort + index);
  WEIR_ASSIGN_OR_RETURN(
      node.pid, Spawn({ProgramDir() + "/weir-node", "--control", server(), "--id", name, "--listen",
                       listen, "--admin-listen", listen, "--workers", "1", "--cache-dir",
                       dir_ + "/" + name, "--ready-file", ready_file},
                      node.log));
  const Result<codec::Json> ready = WaitForReadyFile(node, ready_file);
  if (!ready.ok()) {
    ::kill(node.pid, SIGTERM);
    return ready.status();
  }
  node.http = ready->value("http", "");
  return OkStatus();
}

Status Cluster::WaitUntilReady(const Progress& progress) {
  progress("waiting until all are ready");
  for (int64_t waited_ms = 0; waited_ms < kStartDeadlineMs; waited_ms += 50) {
    // A node without models is ready as soon as it has a snapshot.
    const bool ready = Answers(control_.http, "/ready") &&
                       std::all_of(nodes_.begin(), nodes_.end(), [](const Process& node) {
                         return Answers(node.http, "/ready");
                       });
    if (ready && LiveNodes(control_.http) >= nodes_.size()) return OkStatus();
    PauseMs(50);
  }
  for (const Process& node : nodes_) {
    http::Client client = Quick(node.http);
    const auto response = client.Do("GET", "/ready");
    if (!response.ok())
      return Unavailable(
          fmt::format("{} is not ready: {}", node.name, response.status().ToString()));
    if (response->status != 200)
      return Unavailable(fmt::format("{} is not ready: {}", node.name, response->body));
  }
  return Unavailable(fmt::format("only {} of {} nodes have joined the control plane; see {}/log",
                                 LiveNodes(control_.http), nodes_.size(), dir_));
}

Status Cluster::Save() const {
  codec::Json nodes = codec::Json::array();
  for (const Process& node : nodes_) nodes.push_back(ToJson(node));
  const codec::Json json = {{"control", ToJson(control_)}, {"nodes", nodes}};
  return WriteFileAtomic(dir_ + "/cluster.json", json.dump(2) + "\n", 0600);
}

Status Cluster::Down(int64_t deadline_ms) {
  const auto stop = [](const std::vector<Process>& processes, int64_t within_ms) {
    std::vector<Process> alive = processes;
    std::erase_if(alive, [](const Process& process) { return !IsOurs(process); });
    for (const Process& process : alive) ::kill(process.pid, SIGTERM);
    for (int64_t waited_ms = 0; waited_ms < within_ms && !alive.empty(); waited_ms += 20) {
      PauseMs(20);
      std::erase_if(alive, [](const Process& process) { return !IsOurs(process); });
    }
    for (const Process& process : alive) ::kill(process.pid, SIGKILL);
    for (const Process& process : alive) ::waitpid(process.pid, nullptr, 0);
    return alive;
  };
  std::vector<Process> killed = stop(nodes_, deadline_ms);
  for (const Process& process : stop({control_}, deadline_ms)) killed.push_back(process);
  if (killed.empty()) return OkStatus();
  return FailedPrecondition(fmt::format("{} did not stop within {} and was killed", killed[0].name,
                                        FormatDurationMs(deadline_ms)));
}

}  // namespace weir::control::cli
