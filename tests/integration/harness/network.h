// SPDX-License-Identifier: Apache-2.0
// A network of its own for one program of a test, which can be cut off and joined again. Needs
// root, and iproute2.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "shared/base/status.h"

namespace weir::integration {

// A network namespace with one cable (veth) to the test's. Names and addresses are random; all of
// it goes with the object. One thread.
class Cell {
 public:
  // Unavailable, with what is missing, where this is not permitted.
  static Result<std::unique_ptr<Cell>> Make();
  ~Cell();
  Cell(const Cell&) = delete;
  Cell& operator=(const Cell&) = delete;

  // The test's end of the cable: where what runs inside finds what listens outside.
  const std::string& outside() const { return outside_; }
  // Before the arguments of a program that shall run inside; its pid stays its own.
  std::vector<std::string> Prefix() const;
  // Runs on a thread inside and waits for it: the sockets it opens are the cell's.
  void Run(const std::function<void()>& task) const;
  // Packets are lost without a word, as when a switch dies.
  Status Cut() const;
  Status Heal() const;

 private:
  Cell() = default;
  std::string name_;
  std::string cable_;
  std::string outside_;
};

// Passes TCP connections on to a loopback address: the admin API is on loopback only. One thread of
// its own from Open to destruction.
class Forwarder {
 public:
  // Listens on HOST with a free port.
  static Result<std::unique_ptr<Forwarder>> Open(const std::string& host,
                                                 const std::string& target);
  ~Forwarder();
  const std::string& address() const { return address_; }

 private:
  Forwarder() = default;
  void Run();

  int listener_ = -1;
  std::string address_;
  std::string target_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace weir::integration
