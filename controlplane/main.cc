// SPDX-License-Identifier: Apache-2.0
// weir-control: settings, signals, and Control between them.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "controlplane/control.h"
#include "controlplane/control_settings.h"
#include "shared/base/build_info.h"
#include "shared/base/log.h"
#include "shared/base/text.h"

namespace weir::control {
namespace {

constexpr int kBadConfiguration = 2;

// The signals that the main thread waits for; blocked in all others, so made before them.
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set_, signal);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    signal(SIGPIPE, SIG_IGN);
  }
  int Wait() const {
    int signal = 0;
    sigwait(&set_, &signal);
    return signal;
  }
  // Waits that long, or until a second request to stop.
  void WaitFor(int64_t ms) const {
    const timespec timeout{ms / 1000, (ms % 1000) * 1'000'000};
    sigset_t stop = set_;
    sigdelset(&stop, SIGHUP);
    sigtimedwait(&stop, nullptr, &timeout);
  }

 private:
  sigset_t set_;
};

int Fail(const Status& status) {
  fmt::print(stderr, "weir-control: {}\n", status.ToString());
  return kBadConfiguration;
}

Status WriteStartFiles(const ControlSettings& settings, const codec::Json& addresses) {
  if (!settings.pid_file.empty())
    WEIR_RETURN_IF_ERROR(WriteFileAtomic(settings.pid_file, fmt::format("{}\n", getpid())));
  if (settings.ready_file.empty()) return OkStatus();
  return WriteFileAtomic(settings.ready_file, addresses.dump() + "\n");
}

int Run(int argc, char** argv) {
  ControlSettings settings;
  const auto outcome = LoadControlSettings(settings, argc, argv);
  if (!outcome.ok()) return Fail(outcome.status());
  if (!outcome->run) return outcome->exit_code;
  const Status logging = InitLogging("weir-control", settings.log_level, settings.log_format);
  if (!logging.ok()) return Fail(logging);
  const Signals signals;
  Control control(settings);
  const Status started = control.Start();
  if (!started.ok()) return Fail(started);
  const codec::Json addresses = control.Addresses();
  const Status written = WriteStartFiles(settings, addresses);
  if (written.ok()) {
    Log("control").info("weir-control {} serves: {}", BuildVersion(), addresses.dump());
    Log("control").info("the admin API asks for no token; it is on loopback only");
    while (signals.Wait() == SIGHUP) control.Reload();
    Log("control").info("stopping");
  }
  control.Stop([&] { signals.WaitFor(settings.drain_delay.ms); });
  for (const std::string& path : {settings.pid_file, settings.ready_file}) {
    if (!path.empty()) unlink(path.c_str());
  }
  return written.ok() ? 0 : Fail(written);
}

}  // namespace
}  // namespace weir::control

int main(int argc, char** argv) { return weir::control::Run(argc, argv); }
