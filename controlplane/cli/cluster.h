// SPDX-License-Identifier: Apache-2.0
// A control plane and nodes on this machine, for `weir up`, `weir down` and `weir demo`: started
// from the programs beside this one, detached, with their state, logs and addresses in one
// directory:
//   control/ (database, keys, blobs)  node-1/ … (keys, last snapshot)  log/  cluster.json
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "shared/base/status.h"

namespace weir::control::cli {

struct ClusterOptions {
  std::string dir;
  int nodes = 3;
  // False: the default ports (7080–7083 and 8080 upwards), so that every command finds it.
  // True: free ports.
  bool free_ports = false;
};

struct Process {
  std::string name;  // "control", "node-1"
  pid_t pid = 0;
  std::string http;  // "127.0.0.1:8080"; the control plane's API
  std::string log;   // its file
};

class Cluster {
 public:
  using Progress = std::function<void(const std::string&)>;  // one line each

  // Starts what is not running yet in options.dir and waits until the control plane answers and
  // every node serves. On an error, what this call started is stopped again; the message ends with
  // the last lines of the log that says why.
  static Result<Cluster> Up(const ClusterOptions& options, const Progress& progress);
  // The cluster of a directory, running or not. NotFound when there never was one.
  static Result<Cluster> Find(const std::string& dir);

  const Process& control() const { return control_; }
  const std::vector<Process>& nodes() const { return nodes_; }
  const std::string& dir() const { return dir_; }
  std::string server() const { return "http://" + control_.http; }

  // SIGTERM to nodes, then to the control plane; SIGKILL after the deadline. OK when all are gone.
  Status Down(int64_t deadline_ms);
  bool IsRunning() const;

 private:
  Status StartControl(const ClusterOptions& options);
  Status StartNode(int index, const ClusterOptions& options);
  Status WaitUntilReady(const Progress& progress);
  Status Save() const;

  std::string dir_;
  Process control_;
  std::vector<Process> nodes_;
};

// $XDG_STATE_HOME/weir/local, by default ~/.local/state/weir/local.
std::string DefaultClusterDir();
// The folder of this program; "" when it cannot be told.
std::string ProgramDir();

}  // namespace weir::control::cli
