// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/harness/programs.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include "tests/integration/harness/wait.h"

namespace weir::integration {
namespace {

std::string Local(int port) { return fmt::format("127.0.0.1:{}", port); }

// Starts, and gives what the ready file says.
Result<Json> StartProgram(Process& process, const std::vector<std::string>& arguments,
                          const std::map<std::string, std::string>& variables,
                          const std::string& ready_file) {
  ::unlink(ready_file.c_str());
  WEIR_RETURN_IF_ERROR(process.Start(arguments, variables));
  return WaitForReadyFile(process, ready_file);
}

std::optional<int> StopProgram(Process& process) {
  process.Signal(SIGTERM);
  const std::optional<int> exit_code = process.Wait(kPatienceMs);
  process.Kill9();
  return exit_code;
}

}  // namespace

Control::Control(const std::string& dir)
    : dir_(dir),
      ports_{FreePort(), FreePort(), FreePort(), FreePort()},
      process_(dir + "/control.log") {}

std::vector<std::string> Control::Arguments() const {
  const auto channel = [this](size_t i) { return fmt::format("{}:{}", channel_host, ports_[i]); };
  std::vector<std::string> arguments = {Program("weir-control"),
                                        "--data-dir",
                                        data_dir(),
                                        "--listen",
                                        Local(ports_[0]),
                                        "--cfg-listen",
                                        channel(1),
                                        "--session-listen",
                                        channel(2),
                                        "--telemetry-listen",
                                        channel(3),
                                        "--ready-file",
                                        dir_ + "/control.ready"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

Status Control::Start() {
  WEIR_ASSIGN_OR_RETURN(const Json ready,
                        StartProgram(process_, Arguments(), variables, dir_ + "/control.ready"));
  address_ = ready.value("api", "");
  if (ready.value("pid", 0) == process_.pid() && !address_.empty()) return OkStatus();
  return Internal("the ready file says " + ready.dump());
}

std::optional<int> Control::Stop() { return StopProgram(process_); }

Node::Node(const std::string& dir, NodeOptions options)
    : dir_(dir),
      options_(std::move(options)),
      port_(FreePort()),
      process_(dir + "/" + options_.id + ".log") {}

std::vector<std::string> Node::Arguments() const {
  std::vector<std::string> arguments = {Program("weir-node"),
                                        "--control",
                                        options_.control,
                                        "--id",
                                        options_.id,
                                        "--listen",
                                        Local(port_),
                                        "--admin-listen",
                                        "127.0.0.1:0",
                                        "--workers",
                                        "1",
                                        "--ready-file",
                                        dir_ + "/" + options_.id + ".ready"};
  if (options_.cached) {
    arguments.insert(arguments.end(), {"--cache-dir", dir_ + "/" + options_.id});
  }
  arguments.insert(arguments.end(), options_.more.begin(), options_.more.end());
  arguments.insert(arguments.begin(), options_.prefix.begin(), options_.prefix.end());
  return arguments;
}

Status Node::Start() {
  WEIR_ASSIGN_OR_RETURN(const Json ready, StartProgram(process_, Arguments(), variables,
                                                       dir_ + "/" + options_.id + ".ready"));
  address_ = ready.value("http", "");
  admin_address_ = ready.value("admin", "");
  if (ready.value("pid", 0) == process_.pid() && !address_.empty()) return OkStatus();
  return Internal("the ready file says " + ready.dump());
}

std::optional<int> Node::Stop() { return StopProgram(process_); }

}  // namespace weir::integration
