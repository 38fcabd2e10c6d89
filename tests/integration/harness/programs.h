// SPDX-License-Identifier: Apache-2.0
// The real programs, each with its state in one directory, so that it can be stopped or killed and
// started again where it was. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "shared/base/status.h"
#include "tests/integration/harness/api.h"
#include "tests/integration/harness/process.h"

namespace weir::integration {

class Control {
 public:
  // State in `dir`/control, log in `dir`/control.log. Keeps its four ports from start to start.
  explicit Control(const std::string& dir);

  // Returns once the API is served; the message of an error ends with the log.
  Status Start();
  // SIGTERM. The exit code; absent when it had to be killed.
  std::optional<int> Stop();
  void Kill9() { process_.Kill9(); }

  Api api() const { return Api(address_); }
  std::string url() const { return "http://" + address_; }
  std::string data_dir() const { return dir_ + "/control"; }
  Process& process() { return process_; }
  // What Start runs; for starting it in another way.
  std::vector<std::string> Arguments() const;

  // From the next Start on:
  std::vector<std::string> more;                 // further arguments
  std::string channel_host = "127.0.0.1";        // where the nodes' channels are
  std::map<std::string, std::string> variables;  // beside the environment

 private:
  const std::string dir_;
  const std::vector<int> ports_;
  std::string address_;
  Process process_;
};

struct NodeOptions {
  std::string id = "n1";
  std::string control;  // URL
  bool cached = true;   // with a cache directory
  std::vector<std::string> more;
  std::vector<std::string> prefix{};  // before the program
};

class Node {
 public:
  // State in `dir`/ID, log in `dir`/ID.log. Keeps its port.
  Node(const std::string& dir, NodeOptions options);

  // Returns once HTTP is served, with or without a snapshot.
  Status Start();
  std::optional<int> Stop();
  void Kill9() { process_.Kill9(); }
  void Signal(int signal) const { process_.Signal(signal); }

  const std::string& id() const { return options_.id; }
  const std::string& address() const { return address_; }
  Api api() const { return Api(address_); }
  const std::string& admin_address() const { return admin_address_; }
  Api admin() const { return Api(admin_address_); }
  Process& process() { return process_; }
  std::vector<std::string> Arguments() const;

  std::map<std::string, std::string> variables;  // beside the environment, from the next Start on

 private:
  const std::string dir_;
  const NodeOptions options_;
  const int port_;
  std::string address_;
  std::string admin_address_;
  Process process_;
};

}  // namespace weir::integration
