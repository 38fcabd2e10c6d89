// SPDX-License-Identifier: Apache-2.0
// weir up, down, demo: what runs on this machine.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "controlplane/cli/cluster.h"
#include "controlplane/cli/demo.h"
#include "controlplane/cli/session.h"

namespace weir::control::cli {
namespace {

void Up(Session& session, const ClusterOptions& options) {
  const Result<Cluster> cluster = Cluster::Up(
      options, [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); });
  if (!cluster.ok()) return session.FailAs(kExitUsage, cluster.status().message());
  codec::Json data = {
      {"dir", cluster->dir()}, {"server", cluster->server()}, {"nodes", codec::Json::array()}};
  std::vector<std::vector<std::string>> rows = {
      {"control", std::to_string(cluster->control().pid), cluster->server()}};
  for (const Process& node : cluster->nodes()) {
    data["nodes"].push_back({{"id", node.name}, {"pid", node.pid}, {"http", node.http}});
    rows.push_back({node.name, std::to_string(node.pid), "http://" + node.http});
  }
  if (session.PrintData(data)) return;
  PrintTable({"PROGRAM", "PID", "ADDRESS"}, rows);
  std::fprintf(stderr, "state in %s; `weir down --dir %s` stops it and keeps the state\n",
               cluster->dir().c_str(), cluster->dir().c_str());
}

void Down(Session& session, const std::string& dir) {
  Result<Cluster> cluster = Cluster::Find(dir);
  if (!cluster.ok()) return session.FailAs(kExitNo, cluster.status().message());
  if (!cluster->IsRunning()) {
    std::fprintf(stderr, "nothing of %s is running\n", dir.c_str());
    return;
  }
  if (const Status down = cluster->Down(15'000); !down.ok())
    return session.FailAs(kExitNo, down.message());
  std::fprintf(stderr, "stopped; the state stays in %s\n", dir.c_str());
}

}  // namespace

void AddLocalCommands(CLI::App& app, Session& session) {
  auto demo_options = std::make_shared<DemoOptions>();
  CLI::App* demo = app.add_subcommand(
      "demo", "The whole story in under a minute: a canary promoted, a broken one taken back");
  demo->add_flag("--keep", demo_options->keep, "Leave it running and print the addresses");
  demo->add_option("--dir", demo_options->dir,
                   "Directory for its state (default: a temporary one)");
  demo->callback([&session, demo_options] {
    demo_options->json = session.json();
    const int code = RunDemo(*demo_options);
    if (code != kExitDone) session.No();
  });

  auto options = std::make_shared<ClusterOptions>();
  options->dir = DefaultClusterDir();
  CLI::App* up =
      app.add_subcommand("up", "Start a control plane and nodes on this machine, or resume them");
  up->add_option("--nodes", options->nodes, "How many nodes")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  up->add_option("--dir", options->dir, "Directory for state and logs")->capture_default_str();
  up->add_flag("--free-ports", options->free_ports,
               "Any free ports instead of 7080–7083 and 8080 upwards");
  up->callback([&session, options] { Up(session, *options); });

  CLI::App* down = app.add_subcommand("down", "Stop what `weir up` started; the state stays");
  down->add_option("--dir", options->dir, "Directory given to `weir up`")->capture_default_str();
  down->callback([&session, options] { Down(session, options->dir); });
}

}  // namespace weir::control::cli
